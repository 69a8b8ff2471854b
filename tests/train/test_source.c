#include "base/parallel.h"
#include "model/network.h"
#include "train/checkpoint.h"
#include "train/checksums.h"
#include "train/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of runs in which checkpoints of a tiny network are written. */
typedef struct {
    char *folder;
    Config config;
    Unet *unet;
    TrainState state;
} Case;

static Case new_case(void)
{
    Err err;
    Case c = {.folder = test_temp_folder(), .config = config_default()};
    c.config.data.format = DATA_SHAPES;
    c.config.model = network_rgb16();
    c.config.model.base_channels = 4;
    c.config.model.norm_groups = 2;
    c.config.train.emas = 2;
    c.config.train.ema_decay[1] = 0.5;
    c.config.diffusion.timesteps = 77;
    c.config.diffusion.beta_end = 0.2;
    c.unet = unet_new(&c.config.model, true, &err);
    if (!c.unet || !train_state_init(&c.state, unet_params(c.unet), 2, 7, &err))
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < 2; i++) params_draw(c.state.ema[i], unet_params(c.unet), 10 + i);
    c.state.updates = 4;
    return c;
}

static void free_case(Case *c)
{
    train_state_release(&c->state);
    unet_free(c->unet);
    test_remove_folder(c->folder);
}

static void write_run(Case *c, const char *name, uint64_t step)
{
    char *run = test_path(c->folder, name);
    Err err;
    c->state.step = step;
    if (!checkpoint_write(NULL, run, &c->config, unet_params(c->unet), &c->state, &err))
        fail_msg("%s", err.text);
    free(run);
}

static Source open_in(const Case *c, const char *name)
{
    char *path = test_path(c->folder, name);
    Source source;
    Err err;
    if (!source_open(&source, path, &err)) fail_msg("%s", err.text);
    free(path);
    return source;
}

static void remove_in(const Case *c, const char *name)
{
    char *path = test_path(c->folder, name);
    Err err;
    if (!file_exists(path) || !file_remove(path, &err)) fail_msg("%s", path);
    free(path);
}

static void move_in(const Case *c, const char *from, const char *to)
{
    char *old = test_path(c->folder, from), *new = test_path(c->folder, to);
    assert_int_equal(rename(old, new), 0);
    free(old), free(new);
}

static void assert_weights(const Case *c, Source *source, int which)
{
    size_t floats = unet_params(c->unet)->floats;
    float *weights = test_floats(floats);
    Err err;
    if (!source_weights(weights, source, c->unet, which, &err)) fail_msg("%s", err.text);
    assert_memory_equal(weights, which == SOURCE_RAW ? c->state.weights : c->state.ema[which],
                        floats * sizeof(float));
    free(weights);
}

static void a_run_is_its_latest_checkpoint(void **state)
{
    (void)state;
    Case c = new_case();
    write_run(&c, "run", 5);
    write_run(&c, "run", 9);
    const char *const names[] = {"run", "run/", "run/checkpoints/step-00000009",
                                 "run/checkpoints/latest"};
    for (int i = 0; i < 4; i++) {
        Source s = open_in(&c, names[i]);
        assert_int_equal(s.kind, SOURCE_CHECKPOINT);
        assert_int_equal(s.step, 9);
        assert_int_equal(s.config.diffusion.timesteps, 77);
        if (i != 3) assert_non_null(strstr(s.folder, "step-00000009"));
        assert_int_equal(s.updates, 4);
        for (int which = SOURCE_RAW; which < 2; which++) assert_weights(&c, &s, which);
    }
    Source older = open_in(&c, "run/checkpoints/step-00000005");
    assert_int_equal(older.step, 5);
    free_case(&c);
}

/* As if a run that goes on removed what was opened before it was read. */
static void what_latest_named_is_gone(void **state)
{
    (void)state;
    Case c = new_case();
    write_run(&c, "run", 5);
    Source s = open_in(&c, "run");
    write_run(&c, "run", 9);
    remove_in(&c, "run/checkpoints/step-00000005");
    Err err;
    if (!source_check_size(&s, c.unet, &err)) fail_msg("%s", err.text);
    assert_int_equal(s.step, 9);
    assert_non_null(strstr(s.folder, "step-00000009"));
    write_run(&c, "run", 12);
    remove_in(&c, "run/checkpoints/step-00000009");
    for (int which = SOURCE_RAW; which < 2; which++) assert_weights(&c, &s, which);
    assert_int_equal(s.step, 12);
    /* nothing else took its place, or one of another model */
    float *weights = test_floats(unet_params(c.unet)->floats);
    remove_in(&c, "run/checkpoints/step-00000012");
    assert_false(source_weights(weights, &s, c.unet, SOURCE_FIRST_EMA, &err));
    c.config.train.ema_decay[1] = 0.25;
    write_run(&c, "run", 15);
    assert_false(source_weights(weights, &s, c.unet, SOURCE_FIRST_EMA, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_int_equal(s.step, 12);
    free(weights);
    free_case(&c);
}

static void averages_are_found_by_their_rate(void **state)
{
    (void)state;
    Case c = new_case();
    Err err;
    int which = 9;
    write_run(&c, "run", 5);
    Source s = open_in(&c, "run");
    assert_true(source_find_ema(&which, &s, 0.9999, &err));
    assert_int_equal(which, SOURCE_FIRST_EMA);
    assert_true(source_find_ema(&which, &s, 0.5, &err));
    assert_int_equal(which, 1);
    assert_false(source_find_ema(&which, &s, 0.999, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "--ema 0.999: "));
    assert_non_null(strstr(err.text, " has 0.9999, 0.5"));
    free_case(&c);
}

static void assert_refused(const Case *c, const char *name, const char *words)
{
    char *path = test_path(c->folder, name);
    Source s;
    Err err;
    if (source_open(&s, path, &err)) fail_msg("%s is a model", name);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, name) || !strstr(err.text, words)) fail_msg("%s", err.text);
    free(path);
}

/* For the sake of another file. */
static void assert_lacks(const Case *c, const char *name, const char *words)
{
    char *path = test_path(c->folder, name);
    Source s;
    Err err;
    if (source_open(&s, path, &err)) fail_msg("%s is a model", name);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, words)) fail_msg("%s", err.text);
    free(path);
}

static void put_text(const Case *c, const char *name, const char *text)
{
    test_put(c->folder, name, text, strlen(text));
}

static void link_in(const Case *c, const char *target, const char *name)
{
    char *path = test_path(c->folder, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

/* As if it had never been a checkpoint. */
static void list_pipeline(const Case *c, const char *name)
{
    static const char *const files[] = {"model_index.json", "unet/config.json",
                                        "unet/diffusion_pytorch_model.safetensors",
                                        "scheduler/scheduler_config.json"};
    char *path = test_path(c->folder, name);
    Err err;
    if (!checksums_write(path, files, 4, &err)) fail_msg("%s", err.text);
    free(path);
}

static void without_our_own_files_it_is_a_pipeline(void **state)
{
    (void)state;
    Case c = new_case();
    Err err;
    write_run(&c, "run", 5);
    move_in(&c, "run/checkpoints/step-00000005", "pipeline");
    remove_in(&c, "pipeline/ddpm.json");
    assert_refused(&c, "pipeline", "ddpm.json: missing, though ");
    remove_in(&c, "pipeline/training.safetensors");
    list_pipeline(&c, "pipeline");
    Source s = open_in(&c, "pipeline");
    assert_int_equal(s.kind, SOURCE_DIFFUSERS);
    assert_int_equal(s.config.diffusion.timesteps, 77);
    assert_close(s.config.diffusion.beta_end, 0.2, 0);
    assert_int_equal(s.config.model.base_channels, 4);
    assert_weights(&c, &s, SOURCE_FIRST_EMA);
    float *weights = test_floats(unet_params(c.unet)->floats);
    assert_false(source_weights(weights, &s, c.unet, SOURCE_RAW, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    int which;
    assert_false(source_find_ema(&which, &s, 0.9999, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    free(weights);
    free_case(&c);
}

/* Wherever it is; a pipeline has one, and a U-Net that is alone says so. */
static void the_chain_is_that_of_the_scheduler(void **state)
{
    (void)state;
    Case c = new_case();
    write_run(&c, "run", 5);
    move_in(&c, "run/checkpoints/step-00000005", "pipeline");
    link_in(&c, "pipeline/unet", "link");
    static const char *const parts[] = {"pipeline/unet", "pipeline/unet/.", "link", "link/"};
    for (int i = 0; i < 4; i++) {
        Source s = open_in(&c, parts[i]);
        assert_int_equal(s.kind, SOURCE_DIFFUSERS);
        assert_int_equal(s.config.diffusion.timesteps, 77);
        assert_false(s.chain_assumed);
        assert_weights(&c, &s, SOURCE_FIRST_EMA);
    }
    remove_in(&c, "pipeline/ddpm.json");
    move_in(&c, "pipeline/scheduler", "scheduler");
    assert_refused(&c, "pipeline", "ddpm.json: missing, though ");
    remove_in(&c, "pipeline/checksums.json");
    assert_refused(&c, "pipeline", "pipeline/scheduler/scheduler_config.json: missing");
    for (int i = 0; i < 4; i++)
        assert_lacks(&c, parts[i], "scheduler/scheduler_config.json: missing");
    remove_in(&c, "pipeline/model_index.json");
    Source s = open_in(&c, "pipeline/unet"); /* the network and its weights alone */
    assert_true(s.chain_assumed);
    assert_int_equal(s.config.diffusion.timesteps, 1000);
    assert_weights(&c, &s, SOURCE_FIRST_EMA);
    move_in(&c, "scheduler/scheduler_config.json", "pipeline/unet/scheduler_config.json");
    s = open_in(&c, "link");
    assert_false(s.chain_assumed);
    assert_int_equal(s.config.diffusion.timesteps, 77);
    put_text(&c, "pipeline/unet/model_index.json", "{}"); /* a pipeline in one folder */
    s = open_in(&c, "pipeline/unet");
    assert_int_equal(s.config.diffusion.timesteps, 77);
    assert_weights(&c, &s, SOURCE_FIRST_EMA);
    remove_in(&c, "pipeline/unet/scheduler_config.json");
    assert_refused(&c, "pipeline/unet", "scheduler_config.json: missing");
    free_case(&c);
}

/* Of what a copy may lack, nothing makes the network one that is alone, with the default chain. */
static void a_pipeline_that_is_not_whole_keeps_its_chain(void **state)
{
    (void)state;
    static const char *const parts[] = {"whole/unet", "whole/unet/.", "link"};
    Case c = new_case();
    write_run(&c, "run", 5);
    move_in(&c, "run/checkpoints/step-00000005", "whole");
    link_in(&c, "whole/unet", "link");
    move_in(&c, "whole/model_index.json", "index");
    assert_lacks(&c, "whole/unet", "whole/model_index.json: missing, though ");
    move_in(&c, "whole/checksums.json", "list");
    for (int i = 0; i < 6; i++) {
        if (i == 3)
            remove_in(&c, "whole/training.safetensors"), move_in(&c, "whole/ddpm.json", "d");
        Source s = open_in(&c, parts[i % 3]);
        assert_int_equal(s.config.diffusion.timesteps, 77);
        assert_false(s.chain_assumed);
    }
    move_in(&c, "whole/scheduler", "scheduler");
    assert_true(open_in(&c, "whole/unet").chain_assumed);
    move_in(&c, "d", "whole/ddpm.json");
    assert_lacks(&c, "whole/unet", "whole/scheduler/scheduler_config.json: missing, and ");
    remove_in(&c, "whole/ddpm.json");
    move_in(&c, "list", "whole/checksums.json");
    move_in(&c, "index", "whole/model_index.json");
    assert_lacks(&c, "whole/unet", "whole/scheduler/scheduler_config.json: missing, though ");
    free_case(&c);
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    Case c = new_case();
    assert_refused(&c, "none", "no such folder");
    put_text(&c, "a_file", "x");
    assert_refused(&c, "a_file", "is a file");
    put_text(&c, "empty/x", "x");
    assert_refused(&c, "empty", "model_index.json");
    put_text(&c, "index/model_index.json", "{}");
    assert_refused(&c, "index", "unet/config.json");
    put_text(&c, "latents/model_index.json", "{\"_class_name\": \"LDMPipeline\", \"vqvae\": []}");
    assert_refused(&c, "latents", "vqvae");
    put_text(&c, "list/model_index.json", "[]");
    assert_refused(&c, "list", "a list");
    put_text(&c, "other/config.json", "{\"_class_name\": \"VQModel\"}");
    assert_refused(&c, "other", "UNet2DModel");
    put_text(&c, "condition/model_index.json", "{}");
    put_text(&c, "condition/unet/config.json", "{\"_class_name\": \"UNet2DConditionModel\"}");
    assert_refused(&c, "condition", "_class_name");
    /* which cannot work: refused before any memory is taken */
    put_text(&c, "odd/config.json", "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 9}");
    assert_refused(&c, "odd", "9");
    /* keys that are good one by one */
    write_run(&c, "unfit", 5);
    remove_in(&c, "unfit/checkpoints/step-00000005/checksums.json");
    put_text(&c, "unfit/checkpoints/step-00000005/ddpm.json",
             "{\"config\": {\"data\": {\"format\": \"shapes\"}, \"model\": {\"freq_shift\": 64}},"
             " \"step\": 5, \"images\": 5, \"updates\": 5, \"bad_steps\": 0}");
    assert_refused(&c, "unfit", "ddpm.json: model.base_channels = 128");
    free_case(&c);
}

/* A config of a few bytes could otherwise ask for any amount of memory. */
static void a_network_is_not_made_for_a_file_too_small_for_it(void **state)
{
    (void)state;
    Case c = new_case();
    Err err;
    write_run(&c, "run", 7);
    Source source = open_in(&c, "run");
    assert_true(source_check_size(&source, c.unet, &err));
    ModelConfig wide = c.config.model;
    wide.base_channels *= 4;
    Unet *unet = unet_new(&wide, true, &err);
    if (!unet) fail_msg("%s", err.text);
    assert_false(source_check_size(&source, unet, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, source.weights));
    assert_non_null(strstr(err.text, "too few"));
    assert_int_equal(truncate(source.weights, 2 * (off_t)unet_params(c.unet)->parameters), 0);
    assert_true(source_check_size(&source, c.unet, &err)); /* as those of F16 are */
    assert_int_equal(truncate(source.weights, 2 * (off_t)unet_params(c.unet)->parameters - 1), 0);
    assert_false(source_check_size(&source, c.unet, &err));
    remove_in(&c, "run/checkpoints/latest/unet/diffusion_pytorch_model.safetensors");
    assert_false(source_check_size(&source, c.unet, &err));
    assert_non_null(strstr(err.text, "missing"));
    unet_free(unet);
    free_case(&c);
}

static void a_file_of_a_model_names_its_folder(void **state)
{
    (void)state;
    Case c = new_case();
    write_run(&c, "run", 5);
    const char *const folders[][2] = {
        {"run/checkpoints/latest/unet/config.json", "run/checkpoints/latest"},
        {"run/checkpoints/latest/scheduler/scheduler_config.json", "run/checkpoints/latest"},
        {"run/checkpoints/latest/ddpm.json", "run/checkpoints/latest"},
        {"flat/unet/config.json", "flat/unet"},
    };
    put_text(&c, "flat/unet/config.json", "{}");
    for (int i = 0; i < 4; i++) {
        char *file = test_path(c.folder, folders[i][0]), *name = test_path(c.folder, folders[i][1]);
        char folder[FILE_PATH];
        source_folder_of(folder, file);
        assert_string_equal(folder, name);
        assert_refused(&c, folders[i][0], "is a file");
        assert_refused(&c, folders[i][0], name);
        free(file), free(name);
    }
    free_case(&c);
}

static void a_run_without_a_checkpoint_is_told_from_no_run(void **state)
{
    (void)state;
    Case c = new_case();
    put_text(&c, "begun/config.json", "{\"train\": {\"steps\": 3}}");
    assert_refused(&c, "begun", "neither a run");
    put_text(&c, "begun/metrics.jsonl", "");
    assert_refused(&c, "begun", "no checkpoint yet");
    write_run(&c, "begun", 5);
    assert_int_equal(open_in(&c, "begun").step, 5);
    remove_in(&c, "begun/checkpoints/step-00000005/ddpm.json");
    assert_refused(&c, "begun", "begun/checkpoints/latest: has no ddpm.json");
    remove_in(&c, "begun/checkpoints/step-00000005"); /* its latest names nothing */
    assert_refused(&c, "begun", "no checkpoint yet");
    /* which is damaged is named, not passed over */
    put_text(&c, "damaged/config.json", "{\"_class_name\": \"UNet2DModel\", \"sample_size\": ");
    assert_refused(&c, "damaged", "damaged/config.json: line 1");
    free_case(&c);
}

static void set_time(const Case *c, const char *run, long seconds, long nanoseconds)
{
    char path[FILE_PATH];
    Err err;
    struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    file_path(path, &err, "%s/%s/checkpoints/latest", c->folder, run);
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void assert_newest(const Case *c, const char *expected)
{
    char run[FILE_PATH];
    Err err;
    if (!source_newest_run(run, c->folder, &err)) fail_msg("%s", err.text);
    assert_string_equal(strrchr(run, '/') + 1, expected);
}

static void the_newest_run_has_the_newest_latest(void **state)
{
    (void)state;
    Case c = new_case();
    char run[FILE_PATH];
    Err err;
    put_text(&c, "unfinished/metrics.jsonl", "");
    put_text(&c, "a_file", "");
    assert_false(source_newest_run(run, c.folder, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, c.folder));
    write_run(&c, "a", 90);
    write_run(&c, "b", 10);
    write_run(&c, "c", 20);
    set_time(&c, "a", 1000, 3), set_time(&c, "b", 2000, 5), set_time(&c, "c", 2000, 4);
    assert_newest(&c, "b");
    set_time(&c, "c", 2000, 6);
    assert_newest(&c, "c");
    remove_in(&c, "c/checkpoints/step-00000020"); /* its latest names nothing */
    assert_newest(&c, "b");
    assert_false(source_newest_run(run, "/nonexistent", &err));
    assert_non_null(strstr(err.text, "/nonexistent"));
    free_case(&c);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_its_latest_checkpoint),
        cmocka_unit_test(what_latest_named_is_gone),
        cmocka_unit_test(averages_are_found_by_their_rate),
        cmocka_unit_test(without_our_own_files_it_is_a_pipeline),
        cmocka_unit_test(the_chain_is_that_of_the_scheduler),
        cmocka_unit_test(a_pipeline_that_is_not_whole_keeps_its_chain),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(a_network_is_not_made_for_a_file_too_small_for_it),
        cmocka_unit_test(a_file_of_a_model_names_its_folder),
        cmocka_unit_test(a_run_without_a_checkpoint_is_told_from_no_run),
        cmocka_unit_test(the_newest_run_has_the_newest_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
