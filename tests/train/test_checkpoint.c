#include "base/clock.h"
#include "base/parallel.h"
#include "data/dataset_open.h"
#include "model/network.h"
#include "train/checkpoint.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* ---- help ---- */

static Config tiny_config(void)
{
    Config c = config_default();
    c.data.format = DATA_SHAPES;
    c.model = network_rgb16();
    c.model.height = c.model.width = 8;
    c.model.base_channels = 4;
    c.model.norm_groups = 2;
    c.model.attention_count = 0;
    c.train.batch_size = c.train.micro_batch = 2;
    c.train.learning_rate = 1e-3;
    c.train.sample_every = 0;
    c.train.keep_checkpoints = 2;
    c.train.emas = 3;
    c.train.ema_decay[1] = 0.5;
    c.train.ema_decay[2] = 0.999;
    return c;
}

typedef struct {
    char *folder;
    Config config;
    Unet *unet;
    TrainState state;
} Case;

static const ParamTable *table_of(const Case *c)
{
    return unet_params(c->unet);
}

/* A state in which every array has other numbers, and zeros as padding. */
static Case new_case(void)
{
    Err err;
    Case c = {.folder = test_temp_folder(), .config = tiny_config()};
    c.unet = unet_new(&c.config.model, true, &err);
    if (!c.unet || !train_state_init(&c.state, table_of(&c), 3, 7, &err)) fail_msg("%s", err.text);
    params_draw(c.state.adam_m, table_of(&c), 8);
    params_draw(c.state.adam_v, table_of(&c), 9);
    for (size_t i = 0; i < table_of(&c)->floats; i++) c.state.adam_v[i] = fabsf(c.state.adam_v[i]);
    for (uint32_t i = 0; i < 3; i++) params_draw(c.state.ema[i], table_of(&c), 10 + i);
    c.state.step = 30, c.state.images = 60, c.state.updates = 29, c.state.bad_steps = 1;
    return c;
}

static void free_case(Case *c)
{
    train_state_release(&c->state);
    unet_free(c->unet);
    test_remove_folder(c->folder);
}

static void write_at(Case *c, uint64_t step)
{
    Err err;
    c->state.step = step;
    if (!checkpoint_write(NULL, c->folder, &c->config, table_of(c), &c->state, &err) ||
        !checkpoint_prune(c->folder, &c->config.train, step, &err))
        fail_msg("%s", err.text);
}

static bool has(const Case *c, const char *name)
{
    char *path = test_path(c->folder, name);
    bool is = file_exists(path);
    free(path);
    return is;
}

static void assert_latest(const Case *c, const char *name)
{
    char target[64] = {0}, *path = test_path(c->folder, "checkpoints/latest");
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_string_equal(target, name);
    free(path);
}

static void assert_states_equal(const TrainState *a, const TrainState *b, size_t floats)
{
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->images, b->images);
    assert_int_equal(a->updates, b->updates);
    assert_int_equal(a->bad_steps, b->bad_steps);
    assert_memory_equal(a->weights, b->weights, floats * sizeof(float));
    assert_memory_equal(a->adam_m, b->adam_m, floats * sizeof(float));
    assert_memory_equal(a->adam_v, b->adam_v, floats * sizeof(float));
    assert_int_equal(a->emas, b->emas);
    for (int i = 0; i < a->emas; i++)
        assert_memory_equal(a->ema[i], b->ema[i], floats * sizeof(float));
}

/* ---- there and back ---- */

static void all_of_the_state_comes_back(void **state)
{
    (void)state;
    Case c = new_case();
    char path[FILE_PATH];
    Err err;
    TrainState read;
    CheckpointInfo info;
    assert_false(checkpoint_exists(c.folder));
    if (!checkpoint_write(path, c.folder, &c.config, table_of(&c), &c.state, &err))
        fail_msg("%s", err.text);
    assert_non_null(strstr(path, "/checkpoints/step-00000030"));
    assert_true(checkpoint_is(path));
    assert_true(checkpoint_exists(c.folder));
    assert_true(checkpoint_info(&info, path, &err));
    assert_null(config_frozen_difference(&info.config, &c.config));
    assert_int_equal(info.config.train.batch_size, 2);
    assert_int_equal(info.step, 30);
    assert_true(strlen(info.blas_core) > 0);
    assert_true(train_state_init(&read, table_of(&c), 3, 99, &err));
    if (!checkpoint_read(&read, table_of(&c), path, &err)) fail_msg("%s", err.text);
    assert_states_equal(&read, &c.state, table_of(&c)->floats);
    train_state_release(&read);
    free_case(&c);
}

static void each_array_of_weights_is_read_alone(void **state)
{
    (void)state;
    Case c = new_case();
    char path[FILE_PATH], training[FILE_PATH];
    Err err;
    size_t floats = table_of(&c)->floats;
    assert_true(checkpoint_write(path, c.folder, &c.config, table_of(&c), &c.state, &err));
    for (int which = CHECKPOINT_RAW; which < 3; which++) {
        float *weights = test_floats(floats);
        const float *expected = which == CHECKPOINT_RAW ? c.state.weights : c.state.ema[which];
        if (!checkpoint_weights(weights, table_of(&c), path, which, &err)) fail_msg("%s", err.text);
        assert_memory_equal(weights, expected, floats * sizeof *weights);
        free(weights);
    }
    Safetensors file;
    assert_true(file_path(training, &err, "%s/training.safetensors", path));
    assert_true(safetensors_read(&file, training, &err));
    assert_true(test_fixture_has(&file, "ema.0.5.conv_in.weight"));
    assert_true(test_fixture_has(&file, "ema.0.999.conv_in.weight"));
    assert_false(test_fixture_has(&file, "ema.0.9999.conv_in.weight")); /* it is in unet/ */
    safetensors_release(&file);
    free_case(&c);
}

static void the_same_step_is_written_again(void **state)
{
    (void)state;
    Case c = new_case();
    write_at(&c, 30);
    c.state.ema[0][0] += 1;
    write_at(&c, 30);
    char *path = test_path(c.folder, "checkpoints/step-00000030");
    TrainState read;
    Err err;
    assert_true(train_state_init(&read, table_of(&c), 3, 0, &err));
    assert_true(checkpoint_read(&read, table_of(&c), path, &err));
    assert_states_equal(&read, &c.state, table_of(&c)->floats);
    train_state_release(&read);
    free(path);
    free_case(&c);
}

static void bad_numbers_are_never_written(void **state)
{
    (void)state;
    Case c = new_case();
    write_at(&c, 10);
    float *arrays[] = {c.state.weights, c.state.adam_m, c.state.adam_v,
                       c.state.ema[0],  c.state.ema[1], c.state.ema[2]};
    for (int i = 0; i < 6; i++) {
        Err err;
        float good = arrays[i][5];
        arrays[i][5] = i % 2 ? NAN : INFINITY;
        c.state.step = 20;
        assert_false(checkpoint_write(NULL, c.folder, &c.config, table_of(&c), &c.state, &err));
        assert_int_equal(err.kind, ERR_DIVERGED);
        assert_non_null(strstr(err.text, "step 20"));
        assert_latest(&c, "step-00000010");
        assert_false(has(&c, "checkpoints/step-00000020"));
        arrays[i][5] = good;
    }
    free_case(&c);
}

/* Finite, and yet the next update would be no number. */
static void second_moments_below_zero_are_refused(void **state)
{
    (void)state;
    Case c = new_case();
    const ParamTable *table = table_of(&c);
    char *path = test_path(c.folder, "checkpoints/step-00000030"), words[128];
    for (int p = 0; p < table->count; p++) {
        const Param *param = &table->list[p];
        TrainState read;
        Err err;
        size_t place = param->offset + (p % 2 ? 0 : param->count - 1);
        float good = c.state.adam_v[place];
        c.state.adam_v[place] = -1e-30f;
        write_at(&c, 30);
        c.state.adam_v[place] = good;
        assert_true(train_state_init(&read, table, 3, 0, &err));
        assert_false(checkpoint_read(&read, table, path, &err));
        assert_int_equal(err.kind, ERR_DATA);
        snprintf(words, sizeof words, "training.safetensors: tensor adam_v.%s ", param->name);
        if (!strstr(err.text, words)) fail_msg("%s", err.text);
        train_state_release(&read);
    }
    free(path);
    free_case(&c);
}

/* ---- which are kept ---- */

static void old_ones_are_removed(void **state)
{
    (void)state;
    Case c = new_case();
    c.config.train.keep_every = 30;
    for (uint64_t step = 10; step <= 70; step += 10) write_at(&c, step);
    const char *const kept[] = {"30", "60", "70"}, *const gone[] = {"10", "20", "40", "50"};
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "checkpoints/step-000000%s", kept[i]);
        assert_true(has(&c, name));
    }
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "checkpoints/step-000000%s", gone[i]);
        assert_false(has(&c, name));
    }
    assert_latest(&c, "step-00000070");
    free_case(&c);
}

/* After going on from an older one by hand, those beyond it are no part of the run. */
static void those_beyond_the_newest_go(void **state)
{
    (void)state;
    Case c = new_case();
    write_at(&c, 50);
    write_at(&c, 60);
    write_at(&c, 20);
    assert_latest(&c, "step-00000020");
    assert_true(has(&c, "checkpoints/step-00000020"));
    assert_false(has(&c, "checkpoints/step-00000060"));
    free_case(&c);
}

static void what_a_crash_left_goes_and_what_is_not_ours_stays(void **state)
{
    (void)state;
    Case c = new_case();
    test_put(c.folder, "checkpoints/.step-00000005/unet/half", "x", 1);
    test_put(c.folder, "checkpoints/notes.txt", "x", 1);
    test_put(c.folder, "checkpoints/step-best/x", "x", 1);
    for (uint64_t step = 10; step <= 40; step += 10) write_at(&c, step);
    assert_false(has(&c, "checkpoints/.step-00000005"));
    assert_true(has(&c, "checkpoints/notes.txt"));
    assert_true(has(&c, "checkpoints/step-best/x"));
    assert_false(has(&c, "checkpoints/step-00000020"));
    assert_true(has(&c, "checkpoints/step-00000030"));
    free_case(&c);
}

/* As `cp -rL`, or an archive without links, leaves it. */
static void a_latest_that_is_a_folder_becomes_a_link(void **state)
{
    (void)state;
    Case c = new_case();
    write_at(&c, 10);
    char *latest = test_path(c.folder, "checkpoints/latest");
    char *old = test_path(c.folder, "checkpoints/step-00000010");
    assert_int_equal(unlink(latest), 0);
    assert_int_equal(rename(old, latest), 0);
    write_at(&c, 20);
    assert_latest(&c, "step-00000020");
    assert_true(checkpoint_exists(c.folder));
    assert_false(has(&c, "checkpoints/.step-latest"));
    free(latest), free(old);
    free_case(&c);
}

/* ---- damage ---- */

/* Every length to begin with, then some hundred. */
static void assert_cuts_fail(const Case *c, const char *name)
{
    char *folder = test_path(c->folder, "checkpoints/latest"), *path = test_path(folder, name);
    unsigned char *whole;
    size_t size;
    Err err;
    TrainState read;
    assert_true(train_state_init(&read, table_of(c), 3, 0, &err));
    assert_true(file_read(&whole, &size, path, 1 << 24, &err));
    size_t last = size - (strstr(name, ".json") ? 2 : 1); /* the newline may be missing */
    for (size_t cut = 0; cut <= last; cut += cut < 200 ? 1 : 1 + size / 300) {
        test_put(folder, name, whole, cut);
        if (checkpoint_read(&read, table_of(c), folder, &err))
            fail_msg("%s cut to %zu of %zu bytes is read", name, cut, size);
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, name));
    }
    test_put(folder, name, whole, size);
    assert_true(checkpoint_read(&read, table_of(c), folder, &err));
    train_state_release(&read);
    free(whole), free(path), free(folder);
}

static void a_file_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    Case c = new_case();
    write_at(&c, 30);
    assert_cuts_fail(&c, "ddpm.json");
    assert_cuts_fail(&c, "unet/diffusion_pytorch_model.safetensors");
    assert_cuts_fail(&c, "training.safetensors");
    free_case(&c);
}

static void counters_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"config\": {}}",
        "{\"config\": 3, \"step\": 1, \"images\": 1, \"updates\": 1, \"bad_steps\": 0}",
        "{\"config\": {}, \"step\": -1, \"images\": 1, \"updates\": 1, \"bad_steps\": 0}",
        "{\"config\": {}, \"step\": 1.5, \"images\": 1, \"updates\": 1, \"bad_steps\": 0}",
        "{\"config\": {}, \"step\": 1, \"images\": 1e300, \"updates\": 1, \"bad_steps\": 0}",
        "{\"config\": {}, \"step\": 1, \"images\": 1, \"updates\": \"1\", \"bad_steps\": 0}",
        "{\"config\": {}, \"step\": 1, \"images\": 1, \"updates\": 1}",
        "{\"config\": {\"model\": {\"base_channels\": -4}}, \"step\": 1, \"images\": 1,"
        " \"updates\": 1, \"bad_steps\": 0}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *folder = test_temp_folder();
        CheckpointInfo info;
        Err err;
        test_put(folder, "ddpm.json", texts[i], strlen(texts[i]));
        if (checkpoint_info(&info, folder, &err)) fail_msg("%s", texts[i]);
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, "ddpm.json"));
        test_remove_folder(folder);
    }
}

static void words_of_a_file_do_not_steer_the_terminal(void **state)
{
    (void)state;
    static const char text[] = "{\"config\": {}, \"step\": 1, \"images\": 1, \"updates\": 1, "
                               "\"bad_steps\": 0, \"blas_core\": \"\\u001b[31mX\\n\"}";
    char *folder = test_temp_folder();
    CheckpointInfo info;
    Err err;
    test_put(folder, "ddpm.json", text, strlen(text));
    if (!checkpoint_info(&info, folder, &err)) fail_msg("%s", err.text);
    assert_string_equal(info.blas_core, "?[31mX?");
    test_remove_folder(folder);
}

/* ---- runs that diverge ---- */

typedef struct {
    Trainer *trainer;
    uint64_t poison; /* the step after which a weight is made bad */
    int refused;     /* steps that were not applied */
    char bad[64];
} Watch;

static void on_step(void *context, const StepReport *report)
{
    Watch *w = context;
    if (report->step == w->poison) {
        const ParamTable *table = unet_params(trainer_unet(w->trainer));
        const Param *p = params_find(table, "mid_block.resnets.0.conv1.weight");
        trainer_state(w->trainer)->weights[p->offset] = INFINITY;
    }
    if (report->applied) return;
    w->refused++;
    snprintf(w->bad, sizeof w->bad, "%s", report->bad);
}

/* As after a load that took the time that there was. */
static void training_counts_the_time_from_where_it_is_told(void **state)
{
    (void)state;
    Case c = new_case();
    Dataset set;
    Err err;
    RunEnd end = RUN_DONE;
    RunObserver observer = {0};
    RunOptions options = {.max_seconds = 1000, .start = clock_seconds() - 1000};
    c.config.train.steps = 2;
    assert_true(dataset_open(&set, &c.config.data, DATASET_TRAIN, 8, 8, 3, &err));
    Trainer *trainer = trainer_new(&c.config, &set, &err);
    assert_non_null(trainer);
    if (!run_train(&end, trainer, &c.config, c.folder, options, &observer, &err))
        fail_msg("%s", err.text);
    assert_int_equal(end, RUN_OUT_OF_TIME);
    assert_latest(&c, "step-00000000");
    options.start = clock_seconds();
    assert_true(run_train(&end, trainer, &c.config, c.folder, options, &observer, &err));
    assert_int_equal(end, RUN_DONE);
    assert_latest(&c, "step-00000002");
    trainer_free(trainer);
    dataset_release(&set);
    free_case(&c);
}

static void training_stops_after_bad_steps_in_a_row(void **state)
{
    (void)state;
    Case c = new_case();
    Dataset set;
    Err err;
    RunEnd end;
    c.config.train.steps = 100;
    c.config.train.checkpoint_every = 4;
    c.config.train.max_bad_steps = 3;
    c.config.train.log_every = 1;
    assert_true(dataset_open(&set, &c.config.data, DATASET_TRAIN, 8, 8, 3, &err));
    Watch w = {.trainer = trainer_new(&c.config, &set, &err), .poison = 4};
    RunObserver observer = {.context = &w, .step = on_step};
    assert_non_null(w.trainer);
    assert_false(run_train(&end, w.trainer, &c.config, c.folder, (RunOptions){0}, &observer, &err));
    assert_int_equal(err.kind, ERR_DIVERGED);
    assert_non_null(strstr(err.text, "step 7"));
    assert_non_null(strstr(err.text, "3 steps in a row"));
    assert_non_null(strstr(err.text, "mid_block.resnets.0; the last checkpoint")); /* no more */
    assert_int_equal(w.refused, 3);
    assert_string_equal(w.bad, "mid_block.resnets.0");
    assert_latest(&c, "step-00000004");
    char *path = test_path(c.folder, "checkpoints/latest");
    if (!checkpoint_read(&c.state, table_of(&c), path, &err)) fail_msg("%s", err.text);
    assert_int_equal(c.state.step, 4);
    assert_int_equal(c.state.bad_steps, 0);
    assert_true(train_state_finite(&c.state, table_of(&c)));
    free(path);
    trainer_free(w.trainer);
    dataset_release(&set);
    free_case(&c);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_the_state_comes_back),
        cmocka_unit_test(each_array_of_weights_is_read_alone),
        cmocka_unit_test(the_same_step_is_written_again),
        cmocka_unit_test(bad_numbers_are_never_written),
        cmocka_unit_test(second_moments_below_zero_are_refused),
        cmocka_unit_test(old_ones_are_removed),
        cmocka_unit_test(those_beyond_the_newest_go),
        cmocka_unit_test(what_a_crash_left_goes_and_what_is_not_ours_stays),
        cmocka_unit_test(a_latest_that_is_a_folder_becomes_a_link),
        cmocka_unit_test(a_file_cut_anywhere_is_an_error),
        cmocka_unit_test(counters_that_cannot_be_are_refused),
        cmocka_unit_test(words_of_a_file_do_not_steer_the_terminal),
        cmocka_unit_test(training_counts_the_time_from_where_it_is_told),
        cmocka_unit_test(training_stops_after_bad_steps_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
