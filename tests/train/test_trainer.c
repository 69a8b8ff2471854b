#include "base/parallel.h"
#include "model/network.h"
#include "train/training.h"

#include <math.h>

/* The gradient of to_k.bias is zero (softmax does not see what all keys share), so Adam divides
 * rounding errors by rounding errors there: a step of any size up to the rate, either way. */
static bool has_no_gradient(const Param *param)
{
    return strstr(param->name, "to_k.bias") != NULL;
}

/* ---- against PyTorch ---- */

static void step_of_fixture(Trainer *trainer, const Safetensors *file, int step)
{
    StepReport report;
    float *x_0 = test_fixture_floats(file, NULL, "step%d.x0", step);
    float *epsilon = test_fixture_floats(file, NULL, "step%d.epsilon", step);
    float *loss = test_fixture_floats(file, NULL, "step%d.loss", step);
    float *norm = test_fixture_floats(file, NULL, "step%d.grad_norm", step);
    float *x_nhwc = test_nchw_to_nhwc(x_0, 4, 3, 16, 16);
    float *epsilon_nhwc = test_nchw_to_nhwc(epsilon, 4, 3, 16, 16);
    int *t = test_fixture_whole(file, NULL, "step%d.t", step);
    for (int i = 0; i < 4; i++) t[i]++; /* the file's are 0-based */
    trainer_step_on(trainer, &report, x_nhwc, epsilon_nhwc, t);
    assert_true(report.applied);
    assert_int_equal(report.step, step);
    assert_close(report.learning_rate, 2e-3, 0);
    assert_close(report.loss, (double)*loss, 2e-5);
    assert_close(report.grad_norm, (double)*norm, 2e-5 * (double)*norm);
    free(x_0), free(epsilon), free(loss), free(norm), free(x_nhwc), free(epsilon_nhwc), free(t);
}

static void assert_after(Trainer *trainer, const Safetensors *file, const char *prefix,
                         const float *actual)
{
    const ParamTable *table = unet_params(trainer_unet(trainer));
    float *expected = network_fixture(trainer_unet(trainer), file, prefix);
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        double bound = has_no_gradient(p) ? 3 * 2e-3 : 2e-5;
        for (size_t k = 0; k < p->count; k++) {
            double error = fabs((double)actual[p->offset + k] - (double)expected[p->offset + k]);
            if (!(error <= bound)) fail_msg("%s.%s[%zu] is off by %g", prefix, p->name, k, error);
        }
    }
    free(expected);
}

static void three_steps_are_pytorchs(void **state)
{
    (void)state;
    Safetensors file = test_fixture("train_steps");
    for (int micro = 4; micro >= 3; micro--) { /* whole, and split unevenly */
        Config config = small_config(network_rgb16());
        config.train.micro_batch = micro;
        Dataset set = shapes(&config);
        Trainer *trainer = new_trainer(&config, &set);
        TrainState *s = trainer_state(trainer);
        float *before = network_fixture(trainer_unet(trainer), &file, "before");
        memcpy(s->weights, before, floats_of(trainer) * sizeof *before);
        memcpy(s->ema[0], before, floats_of(trainer) * sizeof *before);
        for (int step = 0; step < 3; step++) step_of_fixture(trainer, &file, step);
        assert_after(trainer, &file, "after", s->weights);
        assert_after(trainer, &file, "ema", s->ema[0]);
        free(before);
        trainer_free(trainer);
        dataset_release(&set);
    }
    safetensors_release(&file);
}

/* ---- what must make no difference ---- */

static void micro_batches_make_no_difference(void **state)
{
    (void)state;
    Config a = small_config(network_rgb16());
    a.train.batch_size = a.train.micro_batch = 16;
    a.data.flip = a.data.labels = true;
    a.model.dropout = 0.1;
    a.model.num_classes = 9;
    a.train.label_dropout = 0.5;
    Config b = a;
    b.train.micro_batch = 4;
    Dataset set = shapes(&a);
    Trainer *whole = new_trainer(&a, &set), *split = new_trainer(&b, &set);
    StepReport one, other;
    size_t bytes = floats_of(whole) * sizeof(float);
    /* at first the branches with dropout add next to nothing: weights that matter show it */
    float *weights = network_random_weights(trainer_unet(whole), 5);
    memcpy(trainer_state(whole)->weights, weights, bytes);
    memcpy(trainer_state(split)->weights, weights, bytes);
    free(weights);
    trainer_step(whole, &one);
    trainer_step(split, &other);
    assert_close(one.loss, other.loss, 1e-5);
    assert_close(one.grad_norm, other.grad_norm, 1e-5 * one.grad_norm);
    for (int q = 0; q < LOSS_QUARTERS; q++)
        assert_close(one.quarter_loss[q], other.quarter_loss[q], 1e-5);
    const ParamTable *table = unet_params(trainer_unet(whole));
    assert_arrays_close(trainer_state(whole)->adam_m, trainer_state(split)->adam_m, table->floats,
                        1e-5, 0);
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        /* Adam's first step is the rate times the sign, where the gradient is not just rounding. */
        for (size_t k = p->offset; k < p->offset + p->count; k++)
            if (fabs((double)trainer_state(whole)->adam_m[k]) > 1e-6 * one.grad_norm)
                assert_close((double)trainer_state(whole)->weights[k],
                             (double)trainer_state(split)->weights[k], 1e-5);
    }
    trainer_free(whole), trainer_free(split);
    dataset_release(&set);
}

/* A network that puts out its variance's channels too, and both terms of its loss. */
static void a_learned_variance_is_trained(void **state)
{
    (void)state;
    Config a = small_config(network_rgb16());
    a.model.out_channels = 6;
    a.diffusion.variance = VARIANCE_LEARNED_RANGE;
    a.diffusion.loss = LOSS_HYBRID;
    Config b = a;
    b.train.micro_batch = 3;
    Dataset set = shapes(&a);
    Trainer *whole = new_trainer(&a, &set), *split = new_trainer(&b, &set);
    StepReport one, other;
    trainer_step(whole, &one);
    trainer_step(split, &other);
    assert_true(one.applied);
    assert_true(one.loss > 0.9); /* of simple, and the bound's term is positive */
    assert_close(one.loss, other.loss, 1e-5);
    const ParamTable *table = unet_params(trainer_unet(whole));
    const Param *bias = params_find(table, "conv_out.bias");
    assert_int_equal(bias->count, 6);
    const float *m = trainer_state(whole)->adam_m, *n = trainer_state(split)->adam_m;
    for (size_t c = 0; c < 6; c++) assert_true(m[bias->offset + c] != 0);
    assert_arrays_close(m, n, table->floats, 1e-5, 0);
    trainer_free(whole), trainer_free(split);
    dataset_release(&set);
}

static void threads_make_no_difference(void **state)
{
    (void)state;
    Config config = small_config(network_gray28());
    config.train.batch_size = 5;
    config.train.micro_batch = 3;
    config.model.dropout = 0.2;
    config.data.flip = true;
    Dataset set = shapes(&config);
    Trainer *trainers[2];
    for (int i = 0; i < 2; i++) {
        StepReport report;
        parallel_setup(i + 1);
        trainers[i] = new_trainer(&config, &set);
        for (int step = 0; step < 3; step++) trainer_step(trainers[i], &report);
    }
    parallel_setup(0);
    assert_states_equal(trainers[0], trainers[1]);
    trainer_free(trainers[0]), trainer_free(trainers[1]);
    dataset_release(&set);
}

/* Each of them changes what is drawn. */
static void seed_and_labels_make_a_difference(void **state)
{
    (void)state;
    Config config = small_config(network_rgb16());
    config.model.num_classes = 10;
    config.data.labels = true;
    Dataset set = shapes(&config);
    Config other = config;
    other.train.seed = 1;
    Trainer *a = new_trainer(&config, &set), *b = new_trainer(&other, &set);
    StepReport report;
    trainer_step(a, &report);
    assert_true(report.applied);
    const ParamTable *table = unet_params(trainer_unet(a));
    const Param *classes = params_find(table, "class_embedding.weight");
    double sum = 0;
    for (size_t i = 0; i < classes->count; i++)
        sum += fabs((double)trainer_state(a)->adam_m[classes->offset + i]);
    assert_true(sum > 0);
    trainer_step(b, &report);
    assert_memory_not_equal(trainer_state(a)->adam_m, trainer_state(b)->adam_m,
                            table->floats * sizeof(float));
    trainer_free(a), trainer_free(b);
    dataset_release(&set);
}

/* Which rows of the class embedding three steps on images of one class train. */
static void assert_rows_trained(double dropout, bool of_class, bool of_none)
{
    enum { ROWS = 9 };
    Config config = small_config(network_rgb16());
    config.model.num_classes = ROWS;
    config.data.labels = true;
    config.train.label_dropout = dropout;
    Dataset set = shapes(&config);
    set.count = 1;
    Trainer *trainer = new_trainer(&config, &set);
    StepReport report;
    for (int step = 0; step < 3; step++) trainer_step(trainer, &report);
    const Param *rows = params_find(unet_params(trainer_unet(trainer)), "class_embedding.weight");
    const float *v = trainer_state(trainer)->adam_v + rows->offset;
    size_t dim = rows->count / ROWS;
    for (int row = 0; row < ROWS; row++) {
        double sum = 0;
        for (size_t i = 0; i < dim; i++) sum += (double)v[(size_t)row * dim + i];
        bool wanted = (row == set.labels[0] && of_class) || (row == ROWS - 1 && of_none);
        assert_int_equal(sum > 0, wanted);
    }
    trainer_free(trainer);
    dataset_release(&set);
}

static void dropped_labels_train_the_last_row(void **state)
{
    (void)state;
    assert_rows_trained(0, true, false);
    assert_rows_trained(0.5, true, true);
    assert_rows_trained(0.999999, false, true);
}

/* ---- averages ---- */

static void averages_do_not_see_each_other(void **state)
{
    (void)state;
    static const double rates[TRAIN_MAX_EMAS] = {0.9, 0, 0.99, 0.5};
    Config several = small_config(network_rgb16());
    several.train.emas = TRAIN_MAX_EMAS;
    memcpy(several.train.ema_decay, rates, sizeof rates);
    Dataset set = shapes(&several);
    Trainer *all = new_trainer(&several, &set);
    StepReport report;
    for (int step = 0; step < 5; step++) trainer_step(all, &report);
    size_t bytes = floats_of(all) * sizeof(float);
    for (int i = 0; i < TRAIN_MAX_EMAS; i++) {
        Config alone = several;
        alone.train.emas = 1;
        alone.train.ema_decay[0] = rates[i];
        Trainer *one = new_trainer(&alone, &set);
        for (int step = 0; step < 5; step++) trainer_step(one, &report);
        assert_memory_equal(trainer_state(all)->weights, trainer_state(one)->weights, bytes);
        assert_memory_equal(trainer_state(all)->ema[i], trainer_state(one)->ema[0], bytes);
        trainer_free(one);
    }
    assert_memory_not_equal(trainer_state(all)->ema[0], trainer_state(all)->ema[3], bytes);
    trainer_free(all);
    dataset_release(&set);
}

/* ---- learning ---- */

/* What the whole of this is for: nothing but images, noise and steps, and the loss falls. */
static void eight_images_are_learnt_by_heart(void **state)
{
    (void)state;
    ModelConfig model = network_rgb16();
    model.height = model.width = 8;
    model.base_channels = 24;
    model.attention_resolutions[0] = 4;
    Config config = small_config(model);
    config.train.batch_size = config.train.micro_batch = 32;
    config.train.learning_rate = 4e-3;
    config.train.warmup_steps = 10;
    Dataset set = shapes(&config);
    set.count = 8;
    Trainer *trainer = new_trainer(&config, &set);
    enum { STEPS = 400, LAST = 100 };
    double first = NAN, mean = 0;
    for (int step = 0; step < STEPS; step++) {
        StepReport report;
        trainer_step(trainer, &report);
        if (step == 0) first = report.loss;
        if (step >= STEPS - LAST) mean += report.loss / LAST;
    }
    assert_close(first, 1, 0.05); /* the network starts near zero */
    assert_true(mean < 0.05);
    trainer_free(trainer);
    dataset_release(&set);
}

/* ---- bad numbers ---- */

typedef struct {
    Config config;
    Dataset set;
    Trainer *trainer, *untouched; /* two of the same, some steps on */
    float *x_0, *epsilon;
    int t[4];
} Bad;

static Bad bad_new(void)
{
    Bad b = {.config = small_config(network_rgb16()), .t = {1, 200, 700, 1000}};
    b.config.train.emas = 2;
    b.config.train.ema_decay[1] = 0.5;
    b.set = shapes(&b.config);
    return b;
}

static void bad_start(Bad *b)
{
    StepReport report;
    b->trainer = new_trainer(&b->config, &b->set);
    b->untouched = new_trainer(&b->config, &b->set);
    b->x_0 = test_normals(4 * 3 * 16 * 16, 30);
    b->epsilon = test_normals(4 * 3 * 16 * 16, 31);
    for (int i = 0; i < 3; i++) {
        trainer_step(b->trainer, &report);
        trainer_step(b->untouched, &report);
    }
}

static void bad_free(Bad *b)
{
    trainer_free(b->trainer), trainer_free(b->untouched);
    free(b->x_0), free(b->epsilon);
    dataset_release(&b->set);
}

static void a_bad_batch_is_not_applied(void **state)
{
    (void)state;
    const float values[] = {NAN, -INFINITY};
    Bad b = bad_new();
    for (int i = 0; i < 2; i++) {
        StepReport report;
        bad_start(&b);
        b.x_0[1700] = values[i];
        trainer_step_on(b.trainer, &report, b.x_0, b.epsilon, b.t);
        assert_false(report.applied);
        assert_int_equal(report.step, 3);
        assert_string_equal(report.bad, "conv_in");
        TrainState *s = trainer_state(b.trainer);
        assert_int_equal(s->bad_steps, 1);
        assert_int_equal(s->step, 4);
        assert_int_equal(s->images, 16);
        s->step--, s->images -= 4;
        assert_states_equal(b.trainer, b.untouched);
        s->step++, s->images += 4;
        trainer_step(b.trainer, &report); /* and the next good one is */
        assert_true(report.applied);
        assert_int_equal(s->bad_steps, 0);
        assert_int_equal(s->updates, 4);
        trainer_free(b.trainer), trainer_free(b.untouched), free(b.x_0), free(b.epsilon);
    }
    dataset_release(&b.set);
}

/* Whatever is behind it is bad too; the one that has bad weights is to be named. */
static void the_first_bad_block_is_named(void **state)
{
    (void)state;
    const char *const names[] = {"conv_in", "mid_block.attentions.0", "up_blocks.0.resnets.1",
                                 "time_embedding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        StepReport report;
        Bad b = bad_new();
        bad_start(&b);
        const ParamTable *table = unet_params(trainer_unet(b.trainer));
        for (int p = 0; p < table->count; p++)
            if (strncmp(table->list[p].name, names[i], strlen(names[i])) == 0)
                trainer_state(b.trainer)->weights[table->list[p].offset] = NAN;
        trainer_step_on(b.trainer, &report, b.x_0, b.epsilon, b.t);
        assert_false(report.applied);
        assert_string_equal(report.bad, names[i]);
        bad_free(&b);
    }
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_steps_are_pytorchs),
        cmocka_unit_test(micro_batches_make_no_difference),
        cmocka_unit_test(a_learned_variance_is_trained),
        cmocka_unit_test(threads_make_no_difference),
        cmocka_unit_test(seed_and_labels_make_a_difference),
        cmocka_unit_test(dropped_labels_train_the_last_row),
        cmocka_unit_test(averages_do_not_see_each_other),
        cmocka_unit_test(eight_images_are_learnt_by_heart),
        cmocka_unit_test(a_bad_batch_is_not_applied),
        cmocka_unit_test(the_first_bad_block_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
