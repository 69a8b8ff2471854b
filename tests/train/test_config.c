#include "base/parallel.h"
#include "support.h"
#include "train/config.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

static Json *json_of(const char *text)
{
    Json *json;
    Err err;
    if (!json_parse(&json, text, strlen(text), "test", &err)) fail_msg("%s", err.text);
    return json;
}

/* The path of a key that holds the JSON `value`: {"model": {"channels": value}}. */
static Json *json_of_key(const char *path, const char *value)
{
    char text[512];
    const char *dot = strchr(path, '.');
    snprintf(text, sizeof text, "{\"%.*s\": {\"%s\": %s}}", (int)(dot - path), path, dot + 1,
             value);
    return json_of(text);
}

static bool parse_key(Config *config, const char *path, const char *value, Err *err)
{
    Json *json = json_of_key(path, value);
    bool good = config_parse(config, json, "x.json", err);
    json_free(json);
    return good;
}

static void assert_configs_equal(const Config *a, const Config *b)
{
    size_t count;
    const Key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++)
        if (!key_equal(&keys[i], a, b)) fail_msg("%s differs", keys[i].path);
    assert_int_equal(a->model.out_channels, b->model.out_channels);
}

/* JSON of a value of the key that is not its default; false if there is only one. */
static bool other_value(char *out, size_t size, const Key *key, const Config *defaults)
{
    const void *at = (const char *)defaults + key->offset;
    int number = key->type == KEY_INT || key->type == KEY_CHOICE ? *(const int *)at : 0, other = 0;
    switch (key->type) {
    case KEY_BOOL:
        return snprintf(out, size, "%s", *(const bool *)at ? "false" : "true");
    case KEY_INT:
        return snprintf(out, size, "%d", number < key->max ? number + 1 : number - 1);
    case KEY_SEED:
        return snprintf(out, size, "9007199254740991");
    case KEY_NUMBER:
        return snprintf(out, size, "0.123456789012345678");
    case KEY_TEXT:
        return snprintf(out, size, "\"a \\\"path\\\" of \\u00fc\"");
    case KEY_INTS:
        return snprintf(out, size, "[8, 4]");
    case KEY_NUMBERS:
        return snprintf(out, size, "[0.5, 0.25]");
    case KEY_SIZE:
        return snprintf(out, size, "[16, 24]");
    case KEY_CHOICE:
        while (key->names[other] && (other == number || !*key->names[other])) other++;
        return key->names[other] && snprintf(out, size, "\"%s\"", key->names[other]);
    }
    return false;
}

static void every_key_survives_being_written_and_read(void **state)
{
    (void)state;
    size_t count;
    const Key *keys = config_keys(&count);
    Config defaults = config_default(), changed = defaults, again = defaults;
    Err err;
    for (size_t i = 0; i < count; i++) {
        char value[64];
        if (!other_value(value, sizeof value, &keys[i], &defaults)) continue;
        if (!parse_key(&changed, keys[i].path, value, &err)) fail_msg("%s", err.text);
        if (key_equal(&keys[i], &changed, &defaults))
            fail_msg("%s = %s did not change it", keys[i].path, value);
    }
    Json *json = config_write(&changed);
    if (!config_parse(&again, json, "x", &err)) fail_msg("%s", err.text);
    assert_configs_equal(&again, &changed);
    json_free(json);
}

/* Values typed here again, from the paper (Ho et al. 2020, appendix B) and the list of keys. */
static void defaults_are_the_papers(void **state)
{
    (void)state;
    Json *json = json_of(
        "{\"data\": {\"format\": \"cifar10\", \"path\": \"\", \"flip\": false, \"labels\": false,"
        " \"fit\": null, \"validation\": null}, \"model\": {\"image_size\": 32, \"channels\": 3, "
        "\"base_channels\": 128,"
        " \"channel_mult\": [1, 2, 2, 2], \"res_blocks\": 2, \"attention_resolutions\": [16],"
        " \"attention_head_dim\": null, \"norm_groups\": 32, \"norm_eps\": 1e-6, \"dropout\": 0.1,"
        " \"num_classes\": 0, \"freq_shift\": 1, \"flip_sin_to_cos\": false,"
        " \"downsample_padding\": 0}, \"diffusion\": {\"timesteps\": 1000, \"schedule\":"
        " \"linear\", \"betas\": [], \"zero_terminal_snr\": false,"
        " \"beta_start\": 0.0001, \"beta_end\": 0.02, \"prediction\": \"epsilon\","
        " \"variance\": \"fixed_large\", \"loss\": \"simple\", \"min_snr_gamma\": 5,"
        " \"p2_gamma\": 1, \"p2_k\": 1, \"timestep_sampler\": \"uniform\"},"
        " \"train\": {\"steps\": 800000,"
        " \"batch_size\": 128, \"micro_batch\": 16, \"learning_rate\": 0.0002,"
        " \"learning_rate_decay\": \"constant\", \"warmup_steps\": 5000, \"weight_decay\": 0,"
        " \"label_dropout\": 0.1, \"grad_clip\": 1.0, \"ema_decay\": 0.9999,"
        " \"ema_warmup\": true, \"seed\": 0,"
        " \"max_bad_steps\": 10, \"log_every\": 10, \"validate_every\": 1000, \"validate_images\": "
        "1000, \"evaluate_every\": 0, \"evaluate_images\": 256, \"sample_every\": 1000, "
        "\"checkpoint_every\":"
        " 1000, \"keep_checkpoints\": 3, \"keep_every\": 0}, \"sample\": {\"sampler\": \"ddpm\","
        " \"steps\": null, \"clip\": true, \"count\": 64}}");
    Config defaults = config_default(), parsed;
    Err err;
    memset(&parsed, 0x5a, sizeof parsed);
    if (!config_parse(&parsed, json, "x", &err)) fail_msg("%s", err.text);
    assert_configs_equal(&parsed, &defaults);
    Json *written = config_write(&defaults);
    char *a, *b;
    assert_true(json_print(&a, json, JSON_COMPACT, &err));
    assert_true(json_print(&b, written, JSON_COMPACT, &err));
    assert_string_equal(a, b);
    free(a), free(b);
    json_free(json), json_free(written);
}

static void refused(const char *path, const char *value, const char *message)
{
    Config config = config_default(), before = config;
    Err err = {0};
    if (parse_key(&config, path, value, &err)) fail_msg("%s = %s was taken", path, value);
    assert_int_equal(err.kind, ERR_USAGE);
    if (strncmp(err.text, "x.json: ", 8) != 0 || !strstr(err.text, path) ||
        !strstr(err.text, message))
        fail_msg("\"%s\" lacks \"%s\"", err.text, message);
    assert_configs_equal(&config, &before);
}

static void every_key_refuses_another_type(void **state)
{
    (void)state;
    size_t count;
    const Key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        const Key *key = &keys[i];
        refused(key->path, "{}", "an object; expected");
        if (!(key->flags & KEY_NULLABLE)) refused(key->path, "null", "is null; expected");
        if (key->type != KEY_BOOL) refused(key->path, "true", "is true or false; expected");
        if (key->type == KEY_NUMBER && key->names)
            refused(key->path, "\"3\"", "is not known; expected");
        else if (key->type != KEY_TEXT && key->type != KEY_CHOICE)
            refused(key->path, "\"3\"", "a string; expected");
        else
            refused(key->path, "3", "a number; expected");
    }
}

static void every_key_refuses_what_is_out_of_range(void **state)
{
    (void)state;
    size_t count;
    const Key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        const Key *key = &keys[i];
        bool list = key->type == KEY_INTS || key->type == KEY_NUMBERS;
        if (key->type == KEY_BOOL || key->type == KEY_TEXT || key->type == KEY_CHOICE) continue;
        char value[64];
        double low = key->flags & KEY_ABOVE_MIN ? key->min : key->min - 1;
        snprintf(value, sizeof value, list ? "[%.17g]" : "%.17g", low);
        refused(key->path, value, "is out of range; expected");
        double high = key->flags & KEY_BELOW_MAX ? key->max : key->max + 1;
        if (isinf(high)) high = key->type == KEY_NUMBER ? -0.5 : 1e16;
        snprintf(value, sizeof value, list ? "[%.17g]" : "%.17g", high);
        refused(key->path, value, "is out of range; expected");
        if (key->type != KEY_NUMBER && key->type != KEY_NUMBERS)
            refused(key->path, list ? "[1.5]" : "1.5", "is not whole; expected a");
    }
}

static void lists_sizes_and_texts_have_limits(void **state)
{
    (void)state;
    refused("model.channel_mult", "[]", "is too short; expected a list of 1 to 10 numbers");
    refused("model.channel_mult", "[1,1,1,1,1,1,1,1,1,1,1]", "is too long");
    refused("model.channel_mult", "[1, \"2\"]", "channel_mult[1] = \"2\" is a string");
    refused("model.image_size", "[32]", "is not a pair");
    refused("model.image_size", "[32, 0]", "image_size[1] = 0 is out of range");
    char text[1100];
    snprintf(text, sizeof text, "\"%01024d\"", 0);
    Config config = config_default();
    Err err;
    char value[1200], assignment[1200];
    snprintf(assignment, sizeof assignment, "data.path=%s", text);
    assert_false(config_set(&config, assignment, &err));
    assert_non_null(strstr(err.text, "is too long; expected a string of at most 1023 bytes"));
    snprintf(value, sizeof value, "data.path=%01023d", 0);
    assert_true(config_set(&config, value, &err));
    assert_int_equal(strlen(config.data.path), 1023);
}

static void typos_are_answered(void **state)
{
    (void)state;
    refused("model.base_chanels", "3",
            "x.json: model.base_chanels is not a known key; did you mean model.base_channels?");
    refused("train.dropout", "0", "did you mean model.dropout?");
    refused("train.quux", "3", "`ddpm help config` lists them");
    refused("diffusion.schedule", "\"liner\"", "\"liner\" is not known; expected one of linear, ");
    refused("diffusion.schedule", "\"liner\"", "; did you mean linear?");
    refused("data.fit", "\"\"", "expected one of pad, resize, or null");
    Config config = config_default();
    Err err;
    Json *json = json_of("{\"modle\": {}}");
    assert_false(config_parse(&config, json, "x.json", &err));
    assert_string_equal(err.text, "x.json: modle is not a known key; did you mean model?");
    json_free(json);
    json = json_of("{\"model\": 3}");
    assert_false(config_parse(&config, json, "x.json", &err));
    assert_string_equal(err.text, "x.json: model is a number; expected an object of keys");
    json_free(json);
    json = json_of("[]");
    assert_false(config_parse(&config, json, "x.json", &err));
    json_free(json);
}

static void assert_set(Config *config, const char *assignment)
{
    Err err;
    if (!config_set(config, assignment, &err)) fail_msg("%s", err.text);
}

static void set_takes_json_and_bare_words(void **state)
{
    (void)state;
    Config c = config_default();
    assert_set(&c, "train.steps=100");
    assert_set(&c, "data.path=some where=else");
    assert_set(&c, "diffusion.schedule=cosine");
    assert_set(&c, "diffusion.prediction=\"v\"");
    assert_set(&c, "model.channel_mult=[1, 2]");
    assert_set(&c, "model.channels=1");
    assert_set(&c, "data.fit=pad");
    assert_set(&c, "data.flip=true");
    assert_set(&c, "sample.steps=50");
    assert_int_equal(c.train.steps, 100);
    assert_string_equal(c.data.path, "some where=else");
    assert_int_equal(c.diffusion.schedule, SCHEDULE_COSINE);
    assert_int_equal(c.diffusion.prediction, PREDICT_V);
    assert_int_equal(c.model.levels, 2);
    assert_int_equal(c.model.out_channels, 1);
    assert_int_equal(c.data.fit, FIT_PAD);
    assert_true(c.data.flip);
    assert_int_equal(c.sample.steps, 50);
    assert_set(&c, "diffusion.variance=learned_range");
    assert_int_equal(c.model.out_channels, 2);
    assert_set(&c, "model.channels=3");
    assert_int_equal(c.model.out_channels, 6);
    assert_set(&c, "sample.steps=null");
    assert_set(&c, "data.fit=null");
    assert_set(&c, "data.path=2024");
    assert_int_equal(c.sample.steps, 0);
    assert_int_equal(c.data.fit, FIT_NONE);
    assert_string_equal(c.data.path, "2024");
}

static void set_refused(const char *assignment, const char *message)
{
    Config config = config_default(), before = config;
    Err err;
    assert_false(config_set(&config, assignment, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    if (!strstr(err.text, message)) fail_msg("\"%s\" lacks \"%s\"", err.text, message);
    assert_configs_equal(&config, &before);
}

static void set_refuses_what_a_file_may_not_say(void **state)
{
    (void)state;
    set_refused("data.path=a\xe9", "--set data.path=a?: its byte 12, 0xE9, is not UTF-8");
    set_refused("train.steps", "expected KEY=VALUE");
    set_refused("=3", "expected KEY=VALUE");
    set_refused("train.stpes=3", "did you mean train.steps?");
    set_refused("steps=3", "did you mean");
    set_refused("train.steps=abc", "train.steps = \"abc\" is a string; expected a whole number");
    set_refused("train.steps=", "is a string; expected");
    set_refused("train.steps=0", "is out of range; expected a whole number, at least 1");
    set_refused("train.steps=1 2", "is a string; expected");
    set_refused("model={}", "model is a section, not a key");
}

static void check_refused(const char *const *assignments, const char *message)
{
    Config config = config_default();
    Err err;
    assert_set(&config, "data.format=shapes");
    assert_true(config_check(&config, &err));
    for (; *assignments; assignments++) assert_set(&config, *assignments);
    assert_false(config_check(&config, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    if (!strstr(err.text, message)) fail_msg("\"%s\" lacks \"%s\"", err.text, message);
}

#define CHECK_REFUSED(message, ...) check_refused((const char *const[]){__VA_ARGS__, NULL}, message)

static void what_cannot_go_together_is_refused(void **state)
{
    (void)state;
    CHECK_REFUSED("data.path is needed", "data.format=idx");
    CHECK_REFUSED("model.channels = 2", "model.channels=2");
    CHECK_REFUSED("model.num_classes = 0: it has to be", "data.labels=true");
    CHECK_REFUSED("one more, which stands for no class", "data.labels=true", "model.num_classes=1");
    CHECK_REFUSED("data.labels = true", "model.num_classes=10");
    CHECK_REFUSED("train.warmup_steps = 5000 leaves none", "train.learning_rate_decay=cosine",
                  "train.steps=5000");
    CHECK_REFUSED("train.ema_decay[2] = 0.5 is there already", "train.ema_decay=[0.5,0.9,0.5]");
    CHECK_REFUSED("train.weight_decay = 5000", "train.weight_decay=5000");
    CHECK_REFUSED("sample.steps = 11", "sample.steps=11", "diffusion.timesteps=10");
    CHECK_REFUSED("model.base_channels = 100", "model.base_channels=100");
    CHECK_REFUSED("model.attention_head_dim = 48 does not divide the 256",
                  "model.attention_head_dim=48");
    CHECK_REFUSED("diffusion.schedule", "diffusion.schedule=jsd");
    CHECK_REFUSED("beta", "diffusion.beta_start=0.5");
    CHECK_REFUSED("diffusion.betas has 2 numbers", "diffusion.betas=[0.1, 0.2]");
    CHECK_REFUSED("diffusion.prediction = epsilon", "diffusion.zero_terminal_snr=true");
    CHECK_REFUSED("divides by alpha-bar", "diffusion.zero_terminal_snr=true",
                  "diffusion.prediction=v", "sample.sampler=dpm++");
    CHECK_REFUSED("diffusion.loss = simple never", "diffusion.variance=learned_range");
    CHECK_REFUSED("diffusion.loss = hybrid", "diffusion.loss=hybrid");
    CHECK_REFUSED("use the loss vlb", "diffusion.loss=p2", "diffusion.prediction=mean");
    Config config = config_default();
    Err err;
    assert_set(&config, "data.format=shapes");
    assert_set(&config, "data.labels=true");
    assert_set(&config, "model.num_classes=10");
    assert_set(&config, "train.batch_size=8");
    assert_true(config_check(&config, &err));
}

static void what_is_frozen_on_resume_is_found(void **state)
{
    (void)state;
    Config a = config_default(), b = a;
    assert_null(config_frozen_difference(&a, &b));
    assert_set(&b, "train.steps=9");
    assert_set(&b, "sample.clip=false");
    assert_null(config_frozen_difference(&a, &b));
    assert_set(&b, "diffusion.beta_end=0.03");
    assert_string_equal(config_frozen_difference(&a, &b), "diffusion.beta_end");
    assert_set(&b, "model.image_size=[32, 64]");
    assert_string_equal(config_frozen_difference(&a, &b), "model.image_size");
    assert_set(&a, "data.path=x");
    assert_string_equal(config_frozen_difference(&a, &b), "data.path");
    b = a;
    assert_set(&b, "model.channel_mult=[1, 2, 2, 4]");
    assert_string_equal(config_frozen_difference(&a, &b), "model.channel_mult");
}

/* What training sees may not change, what it is judged by may. */
static void held_out_images_stay_so(void **state)
{
    (void)state;
    Config a = config_default(), b;
    assert_set(&a, "data.validation=test");
    assert_close(a.data.validation, VALIDATION_TEST, 0);
    b = a;
    assert_set(&b, "data.validation=null");
    assert_set(&b, "train.seed=7");
    assert_null(config_frozen_difference(&a, &b));
    assert_set(&b, "data.validation=0.25");
    assert_string_equal(config_frozen_difference(&a, &b), "data.validation");
    a = b;
    assert_null(config_frozen_difference(&a, &b));
    assert_set(&a, "data.validation=0.5");
    assert_string_equal(config_frozen_difference(&a, &b), "data.validation");
    a = b;
    assert_set(&a, "train.seed=8");
    assert_string_equal(config_frozen_difference(&a, &b), "train.seed");
    set_refused("data.validation=1", "is out of range; expected a number, above 0 and below 1, or "
                                     "test, or null");
    set_refused("data.validation=tset", "did you mean test?");
}

/* The last row of the class embedding is no class where training drops labels. */
static void classes_are_the_rows_without_that_of_none(void **state)
{
    (void)state;
    Config c = config_default(), other;
    assert_int_equal(config_classes(&c), 0);
    assert_set(&c, "data.labels=true");
    assert_int_equal(config_classes(&c), 0);
    assert_set(&c, "model.num_classes=11");
    assert_int_equal(config_classes(&c), 10);
    other = c;
    assert_set(&other, "train.label_dropout=0.2");
    assert_int_equal(config_classes(&other), 10);
    assert_null(config_frozen_difference(&c, &other));
    assert_set(&other, "train.label_dropout=0");
    assert_int_equal(config_classes(&other), 11);
    assert_string_equal(config_frozen_difference(&c, &other), "train.label_dropout");
    assert_set(&c, "data.labels=false"); /* a network of others: all rows are classes */
    assert_int_equal(config_classes(&c), 11);
}

static void shipped_configs_are_good(void **state)
{
    (void)state;
    DIR *folder = opendir("configs");
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[512];
        Config config;
        Err err;
        if (!strstr(entry->d_name, ".json")) continue;
        assert_true(config_find(path, sizeof path, entry->d_name, &err));
        if (!config_read(&config, path, &err) || !config_check(&config, &err))
            fail_msg("%s: %s", path, err.text);
        count++;
    }
    closedir(folder);
    assert_true(count >= 4);
}

/* configs/cifar.json spells out the paper's values, which are the defaults, but for its data. */
static void cifar_is_the_default(void **state)
{
    (void)state;
    Config cifar, expected = config_default();
    Err err;
    assert_true(config_read(&cifar, "configs/cifar.json", &err));
    assert_set(&expected, "data.flip=true");
    assert_set(&expected, "data.path=data/cifar-10-batches-bin");
    assert_configs_equal(&cifar, &expected);
}

static void files_are_found_and_misses_say_where(void **state)
{
    (void)state;
    char path[512];
    Config config;
    Err err;
    assert_true(config_find(path, sizeof path, "demo.json", &err));
    assert_string_equal(path, "configs/demo.json");
    assert_true(config_find(path, sizeof path, "configs/demo.json", &err));
    assert_string_equal(path, "configs/demo.json");
    assert_false(config_find(path, sizeof path, "dmeo.json", &err));
    assert_non_null(
        strstr(err.text, "dmeo.json: there is no such config here, in configs/ or in "));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_false(config_find(path, sizeof path, "./demo.json", &err));
    assert_false(config_read(&config, "no/such.json", &err));
    assert_int_equal(err.kind, ERR_USAGE);
}

static void a_file_that_is_not_json_is_bad_usage(void **state)
{
    (void)state;
    char path[] = "/tmp/ddpm-config-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, "{\"model\": ", 10), 10);
    close(descriptor);
    Config config;
    Err err;
    assert_false(config_read(&config, path, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, path));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_papers),
        cmocka_unit_test(every_key_survives_being_written_and_read),
        cmocka_unit_test(every_key_refuses_another_type),
        cmocka_unit_test(every_key_refuses_what_is_out_of_range),
        cmocka_unit_test(lists_sizes_and_texts_have_limits),
        cmocka_unit_test(typos_are_answered),
        cmocka_unit_test(set_takes_json_and_bare_words),
        cmocka_unit_test(set_refuses_what_a_file_may_not_say),
        cmocka_unit_test(what_cannot_go_together_is_refused),
        cmocka_unit_test(what_is_frozen_on_resume_is_found),
        cmocka_unit_test(held_out_images_stay_so),
        cmocka_unit_test(classes_are_the_rows_without_that_of_none),
        cmocka_unit_test(shipped_configs_are_good),
        cmocka_unit_test(cifar_is_the_default),
        cmocka_unit_test(files_are_found_and_misses_say_where),
        cmocka_unit_test(a_file_that_is_not_json_is_bad_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
