/*
 * test_damage [some|all [NAME]]: `some` inputs (that is for a test suite) or `all` of every case,
 * or of the one of this name. test_damage names: the names of the cases.
 */
#include "train/damage.h"

#include "base/npy.h"
#include "base/parallel.h"
#include "data/dataset_open.h"
#include "data/image.h"
#include "train/checkpoint.h"
#include "train/checksums.h"
#include "train/classifier.h"
#include "train/source.h"

#include <math.h>
#include <stdio.h>

/* ---- checkpoints ---- */

#define CHECKPOINT "checkpoints/step-00000030"
enum { T = 8, EMAS = 2 };

static Config tiny_config(void)
{
    Config c = config_default();
    c.data.format = DATA_SHAPES;
    c.model.height = c.model.width = 4;
    c.model.channels = c.model.out_channels = 1;
    c.model.base_channels = 4;
    c.model.levels = c.model.res_blocks = c.model.attention_count = 1;
    c.model.attention_resolutions[0] = 4;
    c.model.norm_groups = 2;
    c.diffusion.timesteps = T;
    c.diffusion.beta_end = 0.5;
    c.diffusion.timestep_sampler = TIMESTEP_IMPORTANCE;
    c.train.emas = EMAS;
    c.train.ema_decay[1] = 0.5;
    return c;
}

/* A state and, as trainers have it, the history of losses. */
typedef struct {
    Config config;
    Unet *unet;
    TrainState state;
    TimestepHistory history;
    Arena arena;
} Training;

static bool training_init(Training *t, const Config *config, Err *err)
{
    *t = (Training){.config = *config};
    if (!config_check(config, err)) return err_as(err, ERR_DATA);
    t->unet = unet_new(&config->model, false, err);
    int steps = config->diffusion.timesteps;
    if (!t->unet ||
        !train_state_init(&t->state, unet_params(t->unet), config->train.emas, 7, err) ||
        !arena_init(&t->arena, timestep_history_bytes(steps), "history", err))
        return false;
    timestep_history_init(&t->history, &t->arena, steps);
    t->state.history =
        config->diffusion.timestep_sampler == TIMESTEP_IMPORTANCE ? &t->history : NULL;
    return true;
}

static void training_release(Training *t)
{
    arena_release(&t->arena);
    train_state_release(&t->state);
    unet_free(t->unet);
}

static char *make_run(void)
{
    char *folder = test_temp_folder();
    const Config config = tiny_config();
    Training t;
    Err err;
    if (!training_init(&t, &config, &err)) fail_msg("%s", err.text);
    const ParamTable *table = unet_params(t.unet);
    params_draw(t.state.adam_m, table, 8);
    params_draw(t.state.adam_v, table, 9);
    for (size_t i = 0; i < table->floats; i++) t.state.adam_v[i] = fabsf(t.state.adam_v[i]);
    for (uint32_t i = 0; i < EMAS; i++) params_draw(t.state.ema[i], table, 10 + i);
    for (int i = 0; i < 50; i++) timestep_history_add(&t.history, i * i % T, i / 64.0);
    t.state.step = 30, t.state.images = 60, t.state.updates = 29, t.state.bad_steps = 1;
    if (!checkpoint_write(NULL, folder, &config, table, &t.state, &err)) fail_msg("%s", err.text);
    training_release(&t);
    return folder;
}

static void remove_from(const char *folder, const char *name)
{
    char *path = test_path(folder, name);
    Err err;
    if (!file_exists(path) || !file_remove(path, &err)) fail_msg("%s", path);
    free(path);
}

static char *make_unsummed_run(void)
{
    char *folder = make_run();
    remove_from(folder, CHECKPOINT "/checksums.json");
    return folder;
}

static char *make_pipeline(void)
{
    char *folder = make_run();
    static const char *const files[] = {"model_index.json", "unet/config.json",
                                        "unet/diffusion_pytorch_model.safetensors",
                                        "scheduler/scheduler_config.json"};
    char *path = test_path(folder, CHECKPOINT);
    Err err;
    remove_from(folder, CHECKPOINT "/ddpm.json");
    if (!checksums_write(path, files, 4, &err)) fail_msg("%s", err.text);
    free(path);
    return folder;
}

static char *make_unsummed_pipeline(void)
{
    char *folder = make_pipeline();
    remove_from(folder, CHECKPOINT "/checksums.json");
    return folder;
}

static void add_config(Loaded *loaded, const Config *config)
{
    Json *json = config_write(config);
    char *text;
    Err err;
    if (!json_print(&text, json, JSON_COMPACT, &err)) fail_msg("%s", err.text);
    loaded_add(loaded, text, strlen(text));
    free(text);
    json_free(json);
}

static void add_state(Loaded *loaded, const Training *t)
{
    const TrainState *s = &t->state;
    size_t bytes = unet_params(t->unet)->floats * sizeof(float);
    const uint64_t counters[] = {s->step, s->images, s->updates, (uint64_t)s->bad_steps};
    add_config(loaded, &t->config);
    loaded_add(loaded, counters, sizeof counters);
    loaded_add(loaded, s->weights, bytes);
    loaded_add(loaded, s->adam_m, bytes);
    loaded_add(loaded, s->adam_v, bytes);
    for (int i = 0; i < s->emas; i++) loaded_add(loaded, s->ema[i], bytes);
    size_t n = (size_t)t->history.T;
    loaded_add(loaded, t->history.losses, n * TIMESTEP_HISTORY * sizeof *t->history.losses);
    loaded_add(loaded, t->history.counts, n * sizeof *t->history.counts);
}

/* As `ddpm train --resume` does. */
static bool load_training(Loaded *loaded, const char *folder, Err *err)
{
    char path[FILE_PATH];
    CheckpointInfo info;
    Training t = {0};
    bool ok = file_path(path, err, "%s/" CHECKPOINT, folder) && checkpoint_info(&info, path, err);
    ok = ok && (training_init(&t, &info.config, err) || err_prefix(err, "%s", path));
    ok = ok && checkpoint_read(&t.state, unet_params(t.unet), path, err);
    if (ok) {
        assert_true(train_state_finite(&t.state, unet_params(t.unet)));
        add_state(loaded, &t);
    }
    training_release(&t);
    return ok;
}

/* As `ddpm sample` does of the folder/`name`. */
static bool load_named(Loaded *loaded, const char *folder, const char *name, Err *err)
{
    char path[FILE_PATH];
    Source source;
    if (!file_path(path, err, "%s/%s", folder, name) || !source_open(&source, path, err))
        return false;
    Unet *unet = unet_new(&source.config.model, false, err);
    float *weights = unet ? test_floats(unet_params(unet)->floats) : NULL;
    bool ok = unet && source_weights(weights, &source, unet, SOURCE_FIRST_EMA, err);
    if (ok) {
        add_config(loaded, &source.config);
        loaded_add(loaded, weights, unet_params(unet)->floats * sizeof *weights);
    }
    for (size_t i = 0; ok && i < unet_params(unet)->floats; i++)
        assert_true(weights[i] - weights[i] == 0); /* finite */
    free(weights);
    unet_free(unet);
    return ok;
}

static bool load_model(Loaded *loaded, const char *folder, Err *err)
{
    return load_named(loaded, folder, CHECKPOINT, err);
}

/* The network alone, by a name that does not say that it is a part. */
static bool load_part(Loaded *loaded, const char *folder, Err *err)
{
    return load_named(loaded, folder, CHECKPOINT "/unet/.", err);
}

static size_t safetensors_header(const unsigned char *bytes)
{
    return 8 + (bytes[0] | (size_t)bytes[1] << 8);
}

/* ---- data sets ---- */

enum { COUNT = 5, SIDE = 6 };

static Array new_images(void)
{
    const size_t shape[] = {COUNT, SIDE, SIDE, 1};
    Array array;
    Err err;
    if (!array_init(&array, ARRAY_U8, 4, shape, "test", &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < array.count; i++) ((uint8_t *)array.data)[i] = (uint8_t)(i * i >> 3);
    return array;
}

static char *make_npy(void)
{
    char *folder = test_temp_folder(), *path = test_path(folder, "x.npy");
    Array images = new_images();
    Err err;
    if (!npy_write(path, &images, &err)) fail_msg("%s", err.text);
    array_release(&images);
    free(path);
    return folder;
}

static char *make_npz(void)
{
    char *folder = test_temp_folder(), *path = test_path(folder, "x.npz");
    const size_t count = COUNT;
    Array images = new_images(), labels;
    Err err;
    const NpzEntry entries[] = {{"arr_0", &images}, {"arr_1", &labels}};
    if (!array_init(&labels, ARRAY_I64, 1, &count, "test", &err)) fail_msg("%s", err.text);
    ((int64_t *)labels.data)[2] = 3;
    if (!npz_write(path, entries, 2, &err)) fail_msg("%s", err.text);
    array_release(&images), array_release(&labels);
    free(path);
    return folder;
}

/* The images and labels of COUNT, or of SIDE rows, the file's bytes behind the sizes. */
static char *make_idx(void)
{
    char *folder = test_temp_folder();
    uint8_t images[16 + COUNT * SIDE * SIDE] = {0, 0, 8, 3,    0, 0, 0, COUNT,
                                                0, 0, 0, SIDE, 0, 0, 0, SIDE};
    uint8_t labels[8 + COUNT] = {0, 0, 8, 1, 0, 0, 0, COUNT, 1, 4, 0, 2, 1};
    for (size_t i = 16; i < sizeof images; i++) images[i] = (uint8_t)(i * i >> 3);
    test_put(folder, "train-images-idx3-ubyte", images, sizeof images);
    test_put(folder, "train-labels-idx1-ubyte", labels, sizeof labels);
    return folder;
}

static char *make_idx_gz(void)
{
    char *folder = make_idx(), command[256];
    snprintf(command, sizeof command, "gzip '%s'/train-*", folder);
    assert_int_equal(system(command), 0);
    return folder;
}

/* Two records. */
static char *make_cifar(void)
{
    enum { RECORD = 3073 };
    char *folder = test_temp_folder();
    uint8_t records[2 * RECORD];
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = i % RECORD ? (uint8_t)(i * i >> 3) : (uint8_t)(3 + i / RECORD);
    test_put(folder, "data_batch_1.bin", records, sizeof records);
    return folder;
}

static bool load_data(Loaded *loaded, const char *folder, DataFormat format, const char *file,
                      Err *err)
{
    DataConfig config = {.format = format, .labels = true};
    bool colour = format == DATA_CIFAR10;
    Dataset set;
    snprintf(config.path, sizeof config.path, "%s%s", folder, file);
    if (!dataset_open(&set, &config, DATASET_TRAIN, colour ? 32 : SIDE, colour ? 32 : SIDE,
                      colour ? 3 : 1, err))
        return false;
    size_t pixels = (size_t)set.height * (size_t)set.width * (size_t)set.channels;
    loaded_add(loaded, &set.count, sizeof set.count);
    loaded_add(loaded, set.pixels, (size_t)set.count * pixels);
    if (set.labels) loaded_add(loaded, set.labels, (size_t)set.count * sizeof *set.labels);
    dataset_release(&set);
    return true;
}

static bool load_npz(Loaded *loaded, const char *folder, Err *err)
{
    return load_data(loaded, folder, DATA_NPY, "/x.npz", err);
}

static bool load_idx(Loaded *loaded, const char *folder, Err *err)
{
    return load_data(loaded, folder, DATA_IDX, "", err);
}

static bool load_cifar(Loaded *loaded, const char *folder, Err *err)
{
    return load_data(loaded, folder, DATA_CIFAR10, "", err);
}

static bool load_npy(Loaded *loaded, const char *folder, Err *err)
{
    char path[FILE_PATH];
    Array array;
    if (!file_path(path, err, "%s/x.npy", folder) || !npy_read(&array, path, err)) return false;
    loaded_add(loaded, &array.type, sizeof array.type);
    loaded_add(loaded, array.shape, (size_t)array.ndim * sizeof *array.shape);
    loaded_add(loaded, array.data, array.count * array_type_size(array.type));
    array_release(&array);
    return true;
}

static size_t npy_header(const unsigned char *bytes)
{
    return 10 + (bytes[8] | (size_t)bytes[9] << 8);
}

static size_t idx_images_header(const unsigned char *bytes)
{
    return 4 + 4 * (size_t)bytes[3];
}

/* ---- images ---- */

static char *make_png(void)
{
    const PngText texts[] = {{"Seed", "7"}, {"Sampler", "ddim"}};
    char *folder = test_temp_folder(), *path = test_path(folder, "x.png");
    Image image;
    Err err;
    if (!image_new(&image, 9, 11, 3, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < 9 * 11 * 3; i++) image.pixels[i] = (uint8_t)(i * i >> 3);
    if (!image_write(path, &image, texts, 2, &err)) fail_msg("%s", err.text);
    image_release(&image);
    free(path);
    return folder;
}

static bool load_pixels(Loaded *loaded, const char *folder, Err *err)
{
    char path[FILE_PATH];
    Image image;
    if (!file_path(path, err, "%s/x.png", folder) || !image_read(&image, path, 0, err))
        return false;
    const int sizes[] = {image.height, image.width, image.channels};
    loaded_add(loaded, sizes, sizeof sizes);
    loaded_add(loaded, image.pixels,
               (size_t)image.height * (size_t)image.width * (size_t)image.channels);
    image_release(&image);
    return true;
}

static bool load_texts(Loaded *loaded, const char *folder, Err *err)
{
    char path[FILE_PATH];
    PngInfo info;
    if (!file_path(path, err, "%s/x.png", folder) || !png_info_read(&info, path, err)) return false;
    for (int i = 0; i < info.count; i++) {
        loaded_add(loaded, info.texts[i].key, strlen(info.texts[i].key) + 1);
        loaded_add(loaded, info.texts[i].value, strlen(info.texts[i].value) + 1);
    }
    png_info_release(&info);
    return true;
}

/* ---- classifiers ---- */

static char *make_classifier(void)
{
    char *folder = test_temp_folder(), *path = test_path(folder, "c.safetensors");
    const ConvnetShape shape = {.height = 8, .width = 8, .channels = 1, .classes = 2};
    Classifier c;
    Err err;
    if (!classifier_init(&c, &shape, &err)) fail_msg("%s", err.text);
    c.info = (ClassifierInfo){shape, 7, 30, 200, 100, 0.25};
    params_draw(c.weights, convnet_params(c.net), 3);
    if (!classifier_write(path, &c, &err)) fail_msg("%s", err.text);
    classifier_release(&c);
    free(path);
    return folder;
}

static bool load_classifier(Loaded *loaded, const char *folder, Err *err)
{
    char path[FILE_PATH];
    Classifier c;
    if (!file_path(path, err, "%s/c.safetensors", folder) || !classifier_read(&c, path, NULL, err))
        return false;
    loaded_add(loaded, &c.info.shape, sizeof c.info.shape);
    loaded_add(loaded, &c.info.seed, sizeof c.info.seed);
    loaded_add(loaded, &c.info.test_accuracy, sizeof c.info.test_accuracy);
    loaded_add(loaded, c.weights, convnet_params(c.net)->floats * sizeof *c.weights);
    classifier_release(&c);
    return true;
}

/* ---- all of them ---- */

#define WEIGHTS CHECKPOINT "/unet/diffusion_pytorch_model.safetensors"
#define IMAGES "train-images-idx3-ubyte"
#define LABELS "train-labels-idx1-ubyte"

/* With checksums.json, whatever happens to a file is noticed. */
static const DamageCase CASES[] = {
    {"resume-info", make_run, CHECKPOINT "/ddpm.json", load_training, DAMAGE_TOLD, NULL},
    {"resume-weights", make_run, WEIGHTS, load_training, DAMAGE_TOLD, NULL},
    {"resume-training", make_run, CHECKPOINT "/training.safetensors", load_training, DAMAGE_TOLD,
     NULL},
    {"resume-history", make_run, CHECKPOINT "/loss_history.safetensors", load_training, DAMAGE_TOLD,
     NULL},
    {"resume-checksums", make_run, CHECKPOINT "/checksums.json", load_training, DAMAGE_TOLD, NULL},
    {"model-info", make_run, CHECKPOINT "/ddpm.json", load_model, DAMAGE_TOLD, NULL},
    {"model-weights", make_run, WEIGHTS, load_model, DAMAGE_TOLD, NULL},
    {"part-network", make_run, CHECKPOINT "/unet/config.json", load_part, DAMAGE_TOLD, NULL},
    {"part-weights", make_run, WEIGHTS, load_part, DAMAGE_TOLD, NULL},
    {"pipeline-index", make_pipeline, CHECKPOINT "/model_index.json", load_model, DAMAGE_TOLD,
     NULL},
    {"pipeline-network", make_pipeline, CHECKPOINT "/unet/config.json", load_model, DAMAGE_TOLD,
     NULL},
    {"pipeline-scheduler", make_pipeline, CHECKPOINT "/scheduler/scheduler_config.json", load_model,
     DAMAGE_TOLD, NULL},
    {"pipeline-weights", make_pipeline, WEIGHTS, load_model, DAMAGE_TOLD, NULL},
    {"pipeline-checksums", make_pipeline, CHECKPOINT "/checksums.json", load_model, DAMAGE_TOLD,
     NULL},
    {"unsummed-resume-info", make_unsummed_run, CHECKPOINT "/ddpm.json", load_training,
     DAMAGE_CUT_TOLD, NULL},
    {"unsummed-resume-weights", make_unsummed_run, WEIGHTS, load_training, DAMAGE_HEADER_TOLD,
     safetensors_header},
    {"unsummed-resume-training", make_unsummed_run, CHECKPOINT "/training.safetensors",
     load_training, DAMAGE_HEADER_TOLD, safetensors_header},
    {"unsummed-resume-history", make_unsummed_run, CHECKPOINT "/loss_history.safetensors",
     load_training, DAMAGE_HEADER_TOLD, safetensors_header},
    {"unsummed-model-info", make_unsummed_run, CHECKPOINT "/ddpm.json", load_model, DAMAGE_CUT_TOLD,
     NULL},
    {"unsummed-pipeline-index", make_unsummed_pipeline, CHECKPOINT "/model_index.json", load_model,
     DAMAGE_TOLD, NULL},
    {"unsummed-pipeline-network", make_unsummed_pipeline, CHECKPOINT "/unet/config.json",
     load_model, DAMAGE_CUT_TOLD, NULL},
    {"unsummed-pipeline-scheduler", make_unsummed_pipeline,
     CHECKPOINT "/scheduler/scheduler_config.json", load_model, DAMAGE_CUT_TOLD, NULL},
    {"unsummed-pipeline-weights", make_unsummed_pipeline, WEIGHTS, load_model, DAMAGE_HEADER_TOLD,
     safetensors_header},
    {"classifier", make_classifier, "c.safetensors", load_classifier, DAMAGE_TOLD,
     safetensors_header},
    {"npy", make_npy, "x.npy", load_npy, DAMAGE_HEADER_TOLD, npy_header},
    {"npz", make_npz, "x.npz", load_npz, DAMAGE_TOLD, NULL},
    {"idx-images", make_idx, IMAGES, load_idx, DAMAGE_HEADER_TOLD, idx_images_header},
    {"idx-labels", make_idx, LABELS, load_idx, DAMAGE_HEADER_TOLD, idx_images_header},
    {"idx-images-gz", make_idx_gz, IMAGES ".gz", load_idx, DAMAGE_TOLD, NULL},
    {"idx-labels-gz", make_idx_gz, LABELS ".gz", load_idx, DAMAGE_TOLD, NULL},
    {"cifar", make_cifar, "data_batch_1.bin", load_cifar, DAMAGE_NOT_TOLD, NULL},
    {"png-pixels", make_png, "x.png", load_pixels, DAMAGE_TOLD, NULL},
    {"png-texts", make_png, "x.png", load_texts, DAMAGE_TOLD, NULL},
};
enum { CASE_COUNT = sizeof CASES / sizeof *CASES };

static bool all;

static void damage_is_an_error_or_nothing(void **state)
{
    damage_try(*state, all);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[CASE_COUNT];
    parallel_setup(1);
    const char *what = argc > 1 ? argv[1] : "some";
    all = strcmp(what, "all") == 0;
    for (int i = 0; i < CASE_COUNT; i++) {
        tests[i] = (struct CMUnitTest){CASES[i].name, damage_is_an_error_or_nothing, NULL, NULL,
                                       (void *)&CASES[i]};
        if (strcmp(what, "names") == 0) printf("%s\n", CASES[i].name);
    }
    if (strcmp(what, "names") == 0) return 0;
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
