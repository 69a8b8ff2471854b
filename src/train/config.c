/*
 * A value out of range is refused where it is read, by the table; what concerns two keys or more is
 * refused by config_check (config_check.c), after all of --set.
 */
#include "train/config.h"

#include "base/memory.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "diffusion/loss.h"
#include "diffusion/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SIDE = 4096, MAX_CHANNELS = 1 << 16, MAX_BATCH = 1 << 20 };

/* clang-format off */
static const Key keys[] = {
    {"data.format", KEY_CHOICE, offsetof(Config, data.format), .names = data_format_names,
     .help = "what kind of files the images are in"},
    {"data.path", KEY_TEXT, offsetof(Config, data.path), .most = sizeof((DataConfig){0}.path),
     .help = "the folder or file; sought here, in $DDPM_DATA and in the share folder"},
    {"data.flip", KEY_BOOL, offsetof(Config, data.flip),
     .help = "mirror half of the training images"},
    {"data.labels", KEY_BOOL, offsetof(Config, data.labels),
     .help = "train with the images' classes (see model.num_classes)"},
    {"data.fit", KEY_CHOICE, offsetof(Config, data.fit), .flags = KEY_NULLABLE, .names = fit_names,
     .help = "how images of another size are let in; null: they are an error"},
    {"data.validation", KEY_NUMBER, offsetof(Config, data.validation), .min = 0, .max = 1,
     .flags = KEY_NULLABLE | KEY_ABOVE_MIN | KEY_BELOW_MAX, .names = validation_names,
     .help = "the images to judge by: null (none), the test part, or a part of the training "
             "images, held out"},

    {"model.image_size", KEY_SIZE, offsetof(Config, model.height), offsetof(Config, model.width),
     .min = 1, .max = MAX_SIDE, .most = 2, .help = "pixels"},
    {"model.channels", KEY_INT, offsetof(Config, model.channels), .min = 1, .max = 3,
     .help = "1: grey, 3: colour"},
    {"model.base_channels", KEY_INT, offsetof(Config, model.base_channels), .min = 2,
     .max = MAX_CHANNELS, .help = "width of the first level"},
    {"model.channel_mult", KEY_NUMBERS, offsetof(Config, model.channel_mult),
     offsetof(Config, model.levels), 0, 64, KEY_ABOVE_MIN, 1, MODEL_MAX_LEVELS,
     .help = "width of each level over base_channels, of the first 1; each level halves the image"},
    {"model.res_blocks", KEY_INT, offsetof(Config, model.res_blocks), .min = 1, .max = 64,
     .help = "residual blocks of a level on the way down; one more on the way up"},
    {"model.attention_resolutions", KEY_INTS, offsetof(Config, model.attention_resolutions),
     offsetof(Config, model.attention_count), 1, MAX_SIDE, .most = MODEL_MAX_LEVELS,
     .help = "heights of the levels with attention"},
    {"model.attention_head_dim", KEY_INT, offsetof(Config, model.attention_head_dim), .min = 1,
     .max = MAX_CHANNELS, .flags = KEY_NULLABLE,
     .help = "channels of a head; null: one head of all channels"},
    {"model.norm_groups", KEY_INT, offsetof(Config, model.norm_groups), .min = 1,
     .max = MAX_CHANNELS, .help = "groups of the group norms"},
    {"model.norm_eps", KEY_NUMBER, offsetof(Config, model.norm_eps), .min = 0, .max = 1,
     .flags = KEY_ABOVE_MIN, .help = "added to the variance by the group norms"},
    {"model.dropout", KEY_NUMBER, offsetof(Config, model.dropout), .min = 0, .max = 1,
     .flags = KEY_BELOW_MAX, .help = "rate of the dropout in each residual block"},
    {"model.num_classes", KEY_INT, offsetof(Config, model.num_classes), .min = 0, .max = 1 << 20,
     .help = "rows of the class embedding, one more than classes where train.label_dropout is "
             "above 0; 0: none"},
    {"model.freq_shift", KEY_NUMBER, offsetof(Config, model.freq_shift), .min = 0, .max = 1024,
     .help = "time embedding: frequencies 10000^(-i / (half - freq_shift))"},
    {"model.flip_sin_to_cos", KEY_BOOL, offsetof(Config, model.flip_sin_to_cos),
     .help = "time embedding [cos | sin] instead of [sin | cos]"},
    {"model.downsample_padding", KEY_INT, offsetof(Config, model.downsample_padding), .min = 0,
     .max = 1, .help = "0: bottom and right only, 1: all around"},

    {"diffusion.timesteps", KEY_INT, offsetof(Config, diffusion.timesteps), .min = 2,
     .max = SCHEDULE_MAX_T, .help = "T, the length of the forward chain"},
    {"diffusion.schedule", KEY_CHOICE, offsetof(Config, diffusion.schedule),
     .names = schedule_names, .help = "how beta grows"},
    {"diffusion.betas", KEY_NUMBERS, offsetof(Config, diffusion.betas),
     offsetof(Config, diffusion.betas_count), 0, 1, KEY_ABOVE_MIN, .most = DIFFUSION_MAX_BETAS,
     .help = "beta_1 .. beta_T given outright, at most 4096, in place of the schedule; []: none"},
    {"diffusion.zero_terminal_snr", KEY_BOOL, offsetof(Config, diffusion.zero_terminal_snr),
     .help = "rescale the schedule so that alpha-bar_T is 0, and x_T holds nothing of x_0"},
    {"diffusion.beta_start", KEY_NUMBER, offsetof(Config, diffusion.beta_start), .min = 0, .max = 1,
     .flags = KEY_ABOVE_MIN, .help = "beta_1"},
    {"diffusion.beta_end", KEY_NUMBER, offsetof(Config, diffusion.beta_end), .min = 0, .max = 1,
     .flags = KEY_ABOVE_MIN, .help = "beta_T"},
    {"diffusion.prediction", KEY_CHOICE, offsetof(Config, diffusion.prediction),
     .names = prediction_names, .help = "what the network's output stands for"},
    {"diffusion.variance", KEY_CHOICE, offsetof(Config, diffusion.variance),
     .names = variance_names, .help = "sigma_t^2 of the reverse steps"},
    {"diffusion.loss", KEY_CHOICE, offsetof(Config, diffusion.loss), .names = loss_names,
     .help = "what is minimised: a squared error (simple, min_snr, p2), a bound, or both"},
    {"diffusion.min_snr_gamma", KEY_NUMBER, offsetof(Config, diffusion.min_snr_gamma), .min = 0,
     .max = INFINITY, .flags = KEY_ABOVE_MIN,
     .help = "of the loss min_snr: the signal-to-noise ratio that weights stop at"},
    {"diffusion.p2_gamma", KEY_NUMBER, offsetof(Config, diffusion.p2_gamma), .min = 0, .max = 16,
     .help = "of the loss p2: weights 1 / (k + SNR)^gamma"},
    {"diffusion.p2_k", KEY_NUMBER, offsetof(Config, diffusion.p2_k), .min = 0, .max = INFINITY,
     .flags = KEY_ABOVE_MIN, .help = "of the loss p2: k"},

    {"diffusion.timestep_sampler", KEY_CHOICE, offsetof(Config, diffusion.timestep_sampler),
     .names = timestep_sampler_names,
     .help = "how training draws t: each alone, spread over the batch, or where the loss is"},

    {"train.steps", KEY_INT, offsetof(Config, train.steps), .min = 1, .max = INFINITY,
     .help = "training steps in all"},
    {"train.batch_size", KEY_INT, offsetof(Config, train.batch_size), .min = 1, .max = MAX_BATCH,
     .help = "images a step"},
    {"train.micro_batch", KEY_INT, offsetof(Config, train.micro_batch), .min = 1, .max = MAX_BATCH,
     .help = "images at once: fewer need less memory"},
    {"train.learning_rate", KEY_NUMBER, offsetof(Config, train.learning_rate), .min = 0, .max = 1,
     .flags = KEY_ABOVE_MIN, .help = "of Adam, at its highest"},
    {"train.learning_rate_decay", KEY_CHOICE, offsetof(Config, train.learning_rate_decay),
     .names = rate_decay_names, .help = "how it falls after warmup_steps, to 0 at train.steps"},
    {"train.warmup_steps", KEY_INT, offsetof(Config, train.warmup_steps), .min = 0, .max = INFINITY,
     .help = "steps over which the learning rate rises"},
    {"train.weight_decay", KEY_NUMBER, offsetof(Config, train.weight_decay), .min = 0,
     .max = INFINITY,
     .help = "each step takes learning_rate * weight_decay of all parameters (AdamW)"},
    {"train.label_dropout", KEY_NUMBER, offsetof(Config, train.label_dropout), .min = 0, .max = 1,
     .flags = KEY_BELOW_MAX,
     .help = "part of the images trained without their class (data.labels), for guidance"},
    {"train.grad_clip", KEY_NUMBER, offsetof(Config, train.grad_clip), .min = 0, .max = INFINITY,
     .help = "largest norm of the gradient; 0: any"},
    {"train.ema_decay", KEY_NUMBERS, offsetof(Config, train.ema_decay),
     offsetof(Config, train.emas), 0, 1, KEY_BELOW_MAX | KEY_OR_ONE, 1, TRAIN_MAX_EMAS,
     .help = "of the moving average of the weights, or of several: a list"},
    {"train.ema_warmup", KEY_BOOL, offsetof(Config, train.ema_warmup),
     .help = "decay at most (1 + n) / (10 + n) after n updates"},
    {"train.seed", KEY_SEED, offsetof(Config, train.seed), .min = 0, .max = INFINITY,
     .help = "of all random numbers"},
    {"train.max_bad_steps", KEY_INT, offsetof(Config, train.max_bad_steps), .min = 1,
     .max = INFINITY, .help = "steps with a loss or gradient not finite, in a row, that stop it"},
    {"train.log_every", KEY_INT, offsetof(Config, train.log_every), .min = 1, .max = INFINITY,
     .help = "steps between lines of metrics.jsonl"},
    {"train.validate_every", KEY_INT, offsetof(Config, train.validate_every), .min = 0,
     .max = INFINITY, .help = "steps between looks at data.validation; 0: none"},
    {"train.validate_images", KEY_INT, offsetof(Config, train.validate_images), .min = 1,
     .max = 1 << 24, .help = "images of it that are looked at; all if there are fewer"},
    {"train.evaluate_every", KEY_INT, offsetof(Config, train.evaluate_every), .min = 0,
     .max = INFINITY,
     .help = "steps between figures of quality: sliced Wasserstein of samples, bits per dimension "
             "of data.validation; 0: none"},
    {"train.evaluate_images", KEY_INT, offsetof(Config, train.evaluate_images), .min = 2,
     .max = 1 << 24, .help = "samples, and images of data.validation, for these"},
    {"train.sample_every", KEY_INT, offsetof(Config, train.sample_every), .min = 0, .max = INFINITY,
     .help = "steps between grids of samples; 0: none"},
    {"train.checkpoint_every", KEY_INT, offsetof(Config, train.checkpoint_every), .min = 0,
     .max = INFINITY, .help = "steps between checkpoints; 0: only at the end"},
    {"train.keep_checkpoints", KEY_INT, offsetof(Config, train.keep_checkpoints), .min = 1,
     .max = INFINITY, .help = "checkpoints kept, the latest"},
    {"train.keep_every", KEY_INT, offsetof(Config, train.keep_every), .min = 0, .max = INFINITY,
     .help = "N: each N-th step's checkpoint is kept for good; 0: none"},

    {"sample.sampler", KEY_CHOICE, offsetof(Config, sample.sampler), .names = sampler_names,
     .help = "how samples are drawn"},
    {"sample.steps", KEY_INT, offsetof(Config, sample.steps), .min = 1, .max = SCHEDULE_MAX_T,
     .flags = KEY_NULLABLE, .help = "denoising steps; null: T for ddpm, 50 for the others"},
    {"sample.clip", KEY_BOOL, offsetof(Config, sample.clip),
     .help = "clip the predicted x_0 to [-1, 1] at each step"},
    {"sample.count", KEY_INT, offsetof(Config, sample.count), .min = 1, .max = 1 << 24,
     .help = "images of a grid"},
};
/* clang-format on */

enum { KEYS = sizeof keys / sizeof *keys };

const Key *config_keys(size_t *count)
{
    *count = KEYS;
    return keys;
}

Config config_default(void)
{
    return (Config){
        .data = {.format = DATA_CIFAR10},
        .model = model_config_default(),
        .diffusion = {.timesteps = 1000,
                      .schedule = SCHEDULE_LINEAR,
                      .beta_start = 1e-4,
                      .beta_end = 0.02,
                      .prediction = PREDICT_EPSILON,
                      .variance = VARIANCE_FIXED_LARGE,
                      .loss = LOSS_SIMPLE,
                      .min_snr_gamma = 5,
                      .p2_gamma = 1,
                      .p2_k = 1},
        .train = {.steps = 800000,
                  .batch_size = 128,
                  .micro_batch = 16,
                  .learning_rate = 2e-4,
                  .warmup_steps = 5000,
                  .label_dropout = 0.1,
                  .grad_clip = 1,
                  .emas = 1,
                  .ema_decay = {0.9999},
                  .ema_warmup = true,
                  .max_bad_steps = 10,
                  .log_every = 10,
                  .validate_every = 1000,
                  .validate_images = 1000,
                  .evaluate_images = 256,
                  .sample_every = 1000,
                  .checkpoint_every = 1000,
                  .keep_checkpoints = 3},
        .sample = {.sampler = SAMPLER_DDPM, .clip = true, .count = 64},
    };
}

/* -------------------------------------------------------------------------------- finding keys --
 */

/* Bytes of the section of a path: those before its dot, or all. */
static size_t section_size(const char *path)
{
    return strcspn(path, ".");
}

static bool in_section(const Key *key, const char *section)
{
    size_t size = section_size(key->path);
    return strlen(section) == size && strncmp(key->path, section, size) == 0;
}

static const Key *find_key(const char *path)
{
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(keys[i].path, path) == 0) return &keys[i];
    return NULL;
}

/* The key that has this leaf: the right name in the wrong section, or in none. */
static const char *path_of_leaf(const char *path)
{
    const char *dot = strrchr(path, '.'), *leaf = dot ? dot + 1 : path;
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(key_leaf(&keys[i]), leaf) == 0) return keys[i].path;
    return NULL;
}

static bool unknown_key(const char *path, Err *err)
{
    char sections[KEYS][16];
    const char *meant = path_of_leaf(path);
    Nearest best = {0};
    for (size_t i = 0; i < KEYS; i++)
        if (in_section(&keys[i], path))
            return err_set(err, ERR_USAGE, "%s is a section, not a key; name a key of it, as %s",
                           path, keys[i].path);
    for (size_t i = 0; i < KEYS && !meant; i++) {
        size_t size = section_size(keys[i].path);
        snprintf(sections[i], sizeof sections[i], "%.*s", (int)size, keys[i].path);
        nearest_try(&best, path, strchr(path, '.') ? keys[i].path : sections[i]);
    }
    if (!meant) meant = best.name;
    if (meant)
        return err_set(err, ERR_USAGE, "%s is not a known key; did you mean %s?", path, meant);
    return err_set(err, ERR_USAGE, "%s is not a known key; `ddpm help config` lists them", path);
}

/* ------------------------------------------------------------------------------------ reading --
 */

static bool parse_section(Config *config, const Json *section, const char *name, Err *err)
{
    if (json_type(section) != JSON_OBJECT)
        return err_set(err, ERR_USAGE, "%s is %s; expected an object of keys", name,
                       json_type_name(json_type(section)));
    for (const Json *value = json_first(section); value; value = json_next(value)) {
        char path[128];
        snprintf(path, sizeof path, "%s.%s", name, json_key(value));
        const Key *key = find_key(path);
        if (!key) return unknown_key(path, err);
        if (!key_read(config, key, value, err)) return false;
    }
    return true;
}

static bool parse_sections(Config *config, const Json *json, Err *err)
{
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_USAGE, "the config is %s; expected an object",
                       json_type_name(json_type(json)));
    for (const Json *section = json_first(json); section; section = json_next(section)) {
        const char *name = json_key(section);
        bool known = false;
        for (size_t i = 0; i < KEYS; i++) known = known || in_section(&keys[i], name);
        if (!known) return unknown_key(name, err);
        if (!parse_section(config, section, name, err)) return false;
    }
    return true;
}

/* What is no key, since it follows from keys. */
static void derive(Config *config)
{
    config->model.out_channels = loss_output_channels(&config->diffusion, config->model.channels);
}

bool config_parse(Config *config, const Json *json, const char *origin, Err *err)
{
    Config changed = *config;
    if (!parse_sections(&changed, json, err)) return err_prefix(err, "%s", origin);
    derive(&changed);
    *config = changed;
    return true;
}

bool config_read(Config *config, const char *path, Err *err)
{
    Json *json;
    *config = config_default();
    if (!json_read(&json, path, err)) return err_as(err, ERR_USAGE);
    bool good = config_parse(config, json, path, err);
    json_free(json);
    return good;
}

/* The value of --set: JSON, or where that fails or a string is wanted, the text itself. NULL where
 * there is no memory for it. */
static Json *value_of_text(const Key *key, const char *text)
{
    Json *json = NULL, *wrapper;
    Err err;
    bool parsed = json_parse(&json, text, strlen(text), "--set", &err);
    if (!parsed && err.kind == ERR_FAILED) return NULL;
    bool wants_text = key->type == KEY_TEXT || key->type == KEY_CHOICE;
    bool keep =
        parsed && (!wants_text || json_type(json) == JSON_STRING || json_type(json) == JSON_NULL);
    wrapper = json_new_object();
    if (keep) {
        json_set(wrapper, key_leaf(key), json);
        return wrapper;
    }
    if (parsed) json_free(json);
    json_set_string(wrapper, key_leaf(key), text);
    return wrapper;
}

/* A run's config.json could not be read again otherwise. */
static bool check_utf8(const char *assignment, Err *err)
{
    unsigned code;
    for (size_t at = 0, size, left = strlen(assignment); left > 0; at += size, left -= size)
        if ((size = utf8_read(&code, assignment + at, left)) == 0)
            return err_set(err, ERR_USAGE,
                           "--set %s: its byte %zu, 0x%02X, is not UTF-8, as all that a config "
                           "holds has to be; a file can be given another name by a link",
                           assignment, at + 1, (unsigned char)assignment[at]);
    return true;
}

bool config_set(Config *config, const char *assignment, Err *err)
{
    char path[128];
    if (!check_utf8(assignment, err)) return false;
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment || equals - assignment >= (int)sizeof path)
        return err_set(err, ERR_USAGE, "--set %s: expected KEY=VALUE, as in train.steps=100",
                       assignment);
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    const Key *key = find_key(path);
    if (!key) {
        unknown_key(path, err);
        return err_prefix(err, "--set %s", assignment);
    }
    Json *value = value_of_text(key, equals + 1);
    const Json *leaf = value ? json_get(value, key_leaf(key)) : NULL;
    bool good =
        leaf ? key_read(config, key, leaf, err) : memory_refused(strlen(equals), "its value", err);
    json_free(value);
    if (!good) return err_prefix(err, "--set %s", assignment);
    derive(config);
    return true;
}

bool config_find(char *out, size_t size, const char *name, Err *err)
{
    static const char *const folders[] = {"", "configs/", DDPM_SHARE "/configs/"};
    bool bare = strchr(name, '/') == NULL;
    for (int i = 0; i < (bare ? 3 : 1); i++) {
        int length = snprintf(out, size, "%s%s", folders[i], name);
        if (length >= 0 && (size_t)length < size && access(out, F_OK) == 0) return true;
    }
    if (!bare)
        return err_set(err, ERR_USAGE, "%s: there is no such file; a config is expected", name);
    return err_set(err, ERR_USAGE, "%s: there is no such config here, in %s or in %s", name,
                   folders[1], folders[2]);
}

/* ------------------------------------------------------------------------ writing, comparing -- */

Json *config_write(const Config *config)
{
    Json *json = json_new_object(), *section = NULL;
    if (!json) return NULL;
    for (size_t i = 0; i < KEYS; i++) {
        const char *path = keys[i].path;
        size_t length = section_size(path);
        if (i == 0 || strncmp(path, keys[i - 1].path, length + 1) != 0) {
            char name[32];
            snprintf(name, sizeof name, "%.*s", (int)length, path);
            section = json_new_object();
            json_set(json, name, section);
        }
        key_write(section, key_leaf(&keys[i]), &keys[i], config);
    }
    return json;
}

/* The images that training sees are the same with and without the test part. */
static bool trains_on_all(const Config *a, const Config *b)
{
    return !data_holds_out(&a->data) && !data_holds_out(&b->data);
}

const char *config_frozen_difference(const Config *a, const Config *b)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (in_section(&keys[i], "train") || in_section(&keys[i], "sample")) continue;
        if (strcmp(keys[i].path, "data.validation") == 0 && trains_on_all(a, b)) continue;
        if (!key_equal(&keys[i], a, b)) return keys[i].path;
    }
    /* the last row would mean another thing; other images would be held out */
    if (config_classes(a) != config_classes(b)) return "train.label_dropout";
    return data_holds_out(&a->data) && a->train.seed != b->train.seed ? "train.seed" : NULL;
}
