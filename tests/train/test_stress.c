/* Training with data, rates and weights at the limits of what numbers can be. */
#include "base/parallel.h"
#include "model/network.h"
#include "train/checkpoint.h"
#include "train/run.h"
#include "train/training.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* A network for images of 8 x 8. */
static Config stress_config(void)
{
    Config c = small_config(network_rgb16());
    c.model.height = c.model.width = 8;
    c.model.base_channels = 8;
    c.model.norm_groups = 4;
    c.model.attention_count = 1;
    c.model.attention_resolutions[0] = 4;
    c.train.sample_every = 0;
    c.train.log_every = 1;
    return c;
}

static bool is_block(Trainer *trainer, const char *name)
{
    const Topology *t = unet_topology(trainer_unet(trainer));
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->list[i].name, name) == 0) return true;
    return false;
}

static void assert_finite(Trainer *trainer)
{
    assert_true(train_state_finite(trainer_state(trainer), unet_params(trainer_unet(trainer))));
}

/* ---- data ---- */

typedef enum { BLACK, WHITE, CHECKERS, ONE_PIXEL, ALONE, ABSURDITIES } Absurd;

static Dataset absurd_images(const ModelConfig *m, Absurd kind)
{
    Dataset set = {.count = kind == ALONE ? 1 : 7,
                   .height = m->height,
                   .width = m->width,
                   .channels = m->channels};
    size_t row = (size_t)m->width * (size_t)m->channels, bytes = row * (size_t)m->height;
    Err err;
    if (!dataset_allocate(&set, false, "test", &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < bytes * (size_t)set.count; i++) {
        size_t y = i / row, x = i % row / (size_t)m->channels;
        bool light[] = {false, true, (x + y) % 2 == 0, i % bytes == 5, x < 3};
        set.pixels[i] = light[kind] ? 255 : 0;
    }
    return set;
}

/* Of each loss, and what goes with it: the first step finds the loss that noise has, and all are
 * applied. */
static void absurd_images_are_trained_on(void **state)
{
    (void)state;
    for (int loss = 0; loss_names[loss]; loss++)
        for (int kind = 0; kind < ABSURDITIES; kind++) {
            Config c = stress_config();
            c.diffusion.loss = (Loss)loss;
            if (loss == LOSS_VLB || loss == LOSS_HYBRID) {
                c.diffusion.variance = VARIANCE_LEARNED_RANGE;
                c.model.out_channels = 2 * c.model.channels;
            }
            Dataset set = absurd_images(&c.model, (Absurd)kind);
            Trainer *trainer = new_trainer(&c, &set);
            StepReport report;
            for (int i = 0; i < 6; i++) {
                trainer_step(trainer, &report);
                if (!report.applied || !(report.loss < 1e4))
                    fail_msg("%s, data %d, step %d: loss %g", loss_names[loss], kind, i,
                             report.loss);
            }
            assert_finite(trainer);
            trainer_free(trainer);
            dataset_release(&set);
        }
}

/* Targets up to the largest that there are: a step is applied and leaves a finite state, or is
 * refused with a block's name and leaves it as it was. */
static void targets_at_the_limits_do_no_harm(void **state)
{
    (void)state;
    static const float limits[] = {1e4f, 1e10f, 1e18f, 1e19f, 1e25f, 1e38f, FLT_MAX, INFINITY, NAN};
    Config c = stress_config();
    int refused = 0;
    for (int clip = 0; clip < 2; clip++) {
        c.train.grad_clip = clip;
        Dataset set = shapes(&c);
        Trainer *trainer = new_trainer(&c, &set);
        size_t size = trainer_batch(trainer).size, n = 4 * size, floats = floats_of(trainer);
        float *x_0 = test_normals(n, 1), *epsilon = test_floats(n), *before = test_floats(floats);
        const int t[] = {1, 30, 500, 1000};
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            StepReport report;
            for (size_t k = 0; k < n; k++) epsilon[k] = k % 3 ? limits[i] : -limits[i];
            memcpy(before, trainer_state(trainer)->weights, floats * sizeof *before);
            trainer_step_on(trainer, &report, x_0, epsilon, t);
            assert_finite(trainer);
            if (report.applied) continue;
            refused++;
            assert_non_null(report.bad);
            assert_memory_equal(before, trainer_state(trainer)->weights, floats * sizeof *before);
        }
        free(x_0), free(epsilon), free(before);
        trainer_free(trainer);
        dataset_release(&set);
    }
    assert_in_range(refused, 6, 17); /* and 1e4 is not */
}

/* A large output layer makes gradients that are finite, with squares that no float holds. Clipped,
 * they are like any other. */
static void gradients_too_large_for_adam_are_refused(void **state)
{
    (void)state;
    Config c = stress_config();
    for (int clip = 0; clip < 2; clip++) {
        c.train.grad_clip = clip;
        Dataset set = shapes(&c);
        Trainer *trainer = new_trainer(&c, &set);
        const Param *out = params_find(unet_params(trainer_unet(trainer)), "conv_out.weight");
        StepReport report;
        for (size_t k = 0; k < out->count; k++)
            trainer_state(trainer)->weights[out->offset + k] = k % 2 ? 3e14f : -3e14f;
        trainer_step(trainer, &report);
        assert_true(report.grad_norm > 1e20 && report.grad_norm < 1e37);
        assert_int_equal(report.applied, clip);
        if (!clip) assert_true(is_block(trainer, report.bad));
        assert_finite(trainer);
        trainer_free(trainer);
        dataset_release(&set);
    }
}

/* ---- weights ---- */

/* Infinite in one block after the other: it is the one that is named. */
static void the_first_bad_block_is_named(void **state)
{
    (void)state;
    Config c = stress_config();
    Dataset set = shapes(&c);
    Trainer *trainer = new_trainer(&c, &set);
    const Topology *topology = unet_topology(trainer_unet(trainer));
    const ParamTable *table = unet_params(trainer_unet(trainer));
    int named = 0;
    for (int i = 0; i < topology->count; i++) {
        const Block *block = &topology->list[i];
        for (int p = 0; p < block->params; p++) {
            const Param *param = &table->list[block->param + p];
            float *weight = trainer_state(trainer)->weights + param->offset, good = *weight;
            StepReport report;
            assert_null(trainer_bad_block(trainer));
            *weight = INFINITY;
            trainer_step(trainer, &report);
            assert_false(report.applied);
            if (strcmp(report.bad, block->name) != 0)
                fail_msg("%s in %s: %s is named", param->name, block->name, report.bad);
            const char *bad = trainer_bad_block(trainer);
            assert_non_null(bad);
            assert_string_equal(bad, block->name);
            *weight = good;
            named++;
            trainer_step(trainer, &report);
            assert_true(report.applied);
        }
    }
    assert_int_equal(named, table->count);
    trainer_free(trainer);
    dataset_release(&set);
}

/* Finite, and so in a checkpoint that can be read; too large to be trained with. */
static void the_largest_weights_are_told_of_by_a_block(void **state)
{
    (void)state;
    Config c = stress_config();
    Dataset set = shapes(&c);
    Trainer *trainer = new_trainer(&c, &set);
    const ParamTable *table = unet_params(trainer_unet(trainer));
    TrainState *s = trainer_state(trainer);
    char *folder = test_temp_folder(), path[FILE_PATH];
    StepReport report;
    Err err;
    for (size_t k = 0; k < table->floats; k++)
        s->weights[k] = s->weights[k] == 0 ? 0 : copysignf(FLT_MAX / 2, s->weights[k]);
    float *before = test_floats(table->floats);
    memcpy(before, s->weights, table->floats * sizeof *before);
    if (!checkpoint_write(path, folder, &c, table, s, &err) ||
        !checkpoint_read(s, table, path, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(before, s->weights, table->floats * sizeof *before);
    trainer_step(trainer, &report);
    assert_false(report.applied);
    assert_true(is_block(trainer, report.bad));
    assert_memory_equal(before, s->weights, table->floats * sizeof *before);
    free(before);
    test_remove_folder(folder);
    trainer_free(trainer);
    dataset_release(&set);
}

/* Weights, and with them gradients, at and below the smallest normal number: the same bits for any
 * number of threads. */
static void small_numbers_have_the_same_bits_for_any_threads(void **state)
{
    (void)state;
    static const float scales[] = {1e-5f, 1e-10f, 1e-20f, 1e-37f, 1e-39f, 1e-44f};
    Config c = stress_config();
    Dataset set = shapes(&c);
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        Trainer *trainers[2];
        for (int k = 0; k < 2; k++) {
            parallel_setup(k ? 3 : 1);
            Trainer *trainer = trainers[k] = new_trainer(&c, &set);
            TrainState *s = trainer_state(trainer);
            StepReport report;
            for (size_t j = 0; j < floats_of(trainer); j++) {
                s->weights[j] *= scales[i];
                s->adam_m[j] = s->adam_v[j] = scales[i] * 1e-3f;
            }
            for (int step = 0; step < 3; step++) {
                trainer_step(trainer, &report);
                assert_true(report.applied);
            }
            assert_finite(trainer);
        }
        assert_states_equal(trainers[0], trainers[1]);
        trainer_free(trainers[0]), trainer_free(trainers[1]);
    }
    parallel_setup(0);
    dataset_release(&set);
}

/* ---- a rate that explodes ---- */

typedef struct {
    Config config;
    Dataset set;
    char *folder;
    Trainer *trainer;
    int refused, warned;
    char warning[512];
} Run;

static void on_step(void *context, const StepReport *report)
{
    ((Run *)context)->refused += !report->applied;
}

static void on_warning(void *context, const char *text)
{
    Run *r = context;
    r->warned++;
    snprintf(r->warning, sizeof r->warning, "%s", text);
}

static char *latest(const Run *r)
{
    return test_path(r->folder, "checkpoints/latest");
}

/* From the run's checkpoint, or the start, to `steps` with this rate. */
static bool go_on(Run *r, int steps, double rate, Err *err)
{
    RunEnd end;
    const RunObserver observer = {.context = r, .step = on_step, .warn = on_warning};
    char *path = latest(r);
    r->config.train.steps = steps;
    r->config.train.learning_rate = rate;
    r->refused = r->warned = 0;
    r->trainer = trainer_new(&r->config, &r->set, err);
    if (!r->trainer) fail_msg("%s", err->text);
    const ParamTable *table = unet_params(trainer_unet(r->trainer));
    if (file_exists(path) && !checkpoint_read(trainer_state(r->trainer), table, path, err))
        fail_msg("%s", err->text);
    bool ok = run_train(&end, r->trainer, &r->config, r->folder, (RunOptions){0}, &observer, err);
    free(path);
    return ok;
}

static void assert_latest(const Run *r, const char *name)
{
    char target[64] = {0}, *path = latest(r);
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_string_equal(target, name);
    free(path);
}

/* What the update made is finite, but is not put in the place of the only good checkpoint. */
static void after_an_explosion_the_last_good_checkpoint_goes_on(void **state)
{
    (void)state;
    static const double rates[] = {1e15, 1e20, 1e30, 3e38, 1e300};
    Run r = {.config = stress_config()};
    Err err;
    r.config.train.checkpoint_every = 1;
    r.config.train.keep_checkpoints = 1;
    r.config.train.max_bad_steps = 3;
    r.set = shapes(&r.config);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        r.folder = test_temp_folder();
        if (!go_on(&r, 4, 1e-3, &err)) fail_msg("%s", err.text);
        assert_latest(&r, "step-00000004");
        trainer_free(r.trainer);
        if (go_on(&r, 100, rates[i], &err)) fail_msg("%g is survived", rates[i]);
        assert_int_equal(err.kind, ERR_DIVERGED);
        assert_int_equal(r.refused, 3);
        assert_true(r.warned > 0);
        assert_non_null(strstr(r.warning, "are not written"));
        const char *in = strstr(err.text, "first in ");
        char block[128];
        if (!strstr(err.text, "step 7: 3 steps in a row") || !in ||
            sscanf(in, "first in %127[^;]", block) != 1 || !is_block(r.trainer, block) ||
            !strstr(r.warning, block))
            fail_msg("%g: %s; %s", rates[i], err.text, r.warning);
        assert_latest(&r, "step-00000004");
        trainer_free(r.trainer);
        if (!go_on(&r, 8, 1e-4, &err)) fail_msg("%s", err.text);
        assert_latest(&r, "step-00000008");
        assert_int_equal(r.refused + r.warned, 0);
        assert_finite(r.trainer);
        trainer_free(r.trainer);
        test_remove_folder(r.folder);
    }
    dataset_release(&r.set);
}

/* Where a run ends before it is found out, it is. */
static void an_explosion_at_the_end_is_an_error(void **state)
{
    (void)state;
    Run r = {.config = stress_config(), .folder = test_temp_folder()};
    Err err;
    r.config.train.checkpoint_every = 0;
    r.set = shapes(&r.config);
    if (!go_on(&r, 4, 1e-3, &err)) fail_msg("%s", err.text);
    trainer_free(r.trainer);
    assert_false(go_on(&r, 5, 1e30, &err));
    assert_int_equal(err.kind, ERR_DIVERGED);
    assert_int_equal(r.refused, 0);
    if (!strstr(err.text, "step 5: ") || !strstr(err.text, "not written")) fail_msg("%s", err.text);
    assert_latest(&r, "step-00000004");
    trainer_free(r.trainer);
    test_remove_folder(r.folder);
    dataset_release(&r.set);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absurd_images_are_trained_on),
        cmocka_unit_test(targets_at_the_limits_do_no_harm),
        cmocka_unit_test(gradients_too_large_for_adam_are_refused),
        cmocka_unit_test(the_first_bad_block_is_named),
        cmocka_unit_test(the_largest_weights_are_told_of_by_a_block),
        cmocka_unit_test(small_numbers_have_the_same_bits_for_any_threads),
        cmocka_unit_test(after_an_explosion_the_last_good_checkpoint_goes_on),
        cmocka_unit_test(an_explosion_at_the_end_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
