#include "train/classifier.h"

#include "base/file.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/whole.h"
#include "model/weights.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

/* ---- images whose class is how their stripes run ---- */

enum { CLASSES = 3 };

static int byte_at(int label, int row, int column, uint32_t noise)
{
    int along = label == 0 ? row : label == 1 ? column : row + column;
    return (along + (int)(noise >> 30)) / 2 % 2 * 120 + (int)(noise & 127);
}

static Dataset stripes(int count, int height, int width, int channels, uint64_t seed)
{
    Err err;
    Dataset set = {count, height, width, channels, CLASSES, NULL, NULL};
    if (!dataset_allocate(&set, true, "stripes", &err)) fail_msg("%s", err.text);
    for (int i = 0; i < count; i++) {
        set.labels[i] = i % CLASSES;
        for (int k = 0; k < height * width * channels; k++) {
            uint32_t noise = rng_below(128, (uint32_t)k, (RngKey){seed, (uint32_t)i, 0, 0, 0});
            noise |= rng_below(4, 0, (RngKey){seed, (uint32_t)i, 1, 0, 0}) << 30;
            int row = k / channels / width, column = k / channels % width;
            dataset_image(&set, i)[k] = (uint8_t)byte_at(set.labels[i], row, column, noise);
        }
    }
    return set;
}

/* ---- training ---- */

typedef struct {
    long calls, stop_at; /* 0: never */
    double first, last;  /* losses */
} Watch;

static bool watch(void *context, long done, double loss)
{
    Watch *w = context;
    if (++w->calls != done) fail_msg("call %ld says %ld", w->calls, done);
    if (done == 1) w->first = loss;
    w->last = loss;
    return done != w->stop_at;
}

static Classifier trained(const Dataset *set, uint64_t seed, int steps, Watch *w)
{
    Err err;
    Classifier c;
    ClassifierTraining how = {.seed = seed, .steps = steps};
    if (w) how.progress = watch, how.context = w;
    if (!classifier_train(&c, set, &how, &err)) fail_msg("%s", err.text);
    return c;
}

static void test_on(Classifier *c, const Dataset *set)
{
    Err err;
    if (!classifier_test(c, set, &err)) fail_msg("%s", err.text);
}

static void learns_classes(int height, int width, int channels, int steps)
{
    Dataset set = stripes(120, height, width, channels, 1);
    Dataset other = stripes(150, height, width, channels, 2);
    Watch w = {0};
    Classifier c = trained(&set, 7, steps, &w);
    assert_int_equal(w.calls, steps);
    assert_true(w.first > 0.6 && w.first < 3 && w.last < 0.2);
    test_on(&c, &other);
    assert_true(c.info.test_accuracy >= 0.95);
    assert_int_equal(c.info.test_images, 150);
    assert_int_equal(c.info.train_images, 120);
    assert_int_equal(c.info.steps, steps);
    double right = c.info.test_accuracy;
    for (int i = 0; i < other.count; i++) other.labels[i] = (other.labels[i] + 1) % CLASSES;
    test_on(&c, &other);
    assert_true(c.info.test_accuracy <= 1 - right);
    classifier_release(&c);
    dataset_release(&set), dataset_release(&other);
}

static void classes_are_learned(void **state)
{
    (void)state;
    learns_classes(8, 8, 1, 60);
    learns_classes(9, 14, 3, 60);
}

/* 60 images fit at once: batches of 64 are made of 60 and 4. */
static void batches_are_made_of_parts(void **state)
{
    (void)state;
    Dataset set = stripes(64, 32, 34, 1, 1);
    Classifier c = trained(&set, 7, 12, NULL);
    assert_int_equal(c.rows, 60);
    test_on(&c, &set);
    assert_true(c.info.test_accuracy >= 0.9);
    classifier_release(&c);
    dataset_release(&set);
}

static void chance_is_not_beaten_without_training(void **state)
{
    (void)state;
    Dataset set = stripes(300, 8, 8, 1, 1);
    for (int i = 0; i < set.count; i++)
        set.labels[i] = (int32_t)rng_below(CLASSES, 0, (RngKey){5, (uint32_t)i, 0, 0, 0});
    Classifier c = trained(&set, 7, 1, NULL);
    test_on(&c, &set);
    double error = classifier_accuracy_error(&c.info), p = c.info.test_accuracy;
    assert_close(p, 1.0 / CLASSES, 5 * error);
    assert_close(error, sqrt(p * (1 - p) / 300), 0.02 * error);
    assert_true(isnan(classifier_accuracy_error(&(ClassifierInfo){.test_images = 0})));
    classifier_release(&c);
    dataset_release(&set);
}

static void bits_follow_from_the_seed(void **state)
{
    (void)state;
    Dataset set = stripes(100, 12, 9, 3, 1);
    Classifier one[3];
    for (int i = 0; i < 3; i++) {
        parallel_setup(i == 0 ? 1 : 3);
        one[i] = trained(&set, i < 2 ? 4 : 5, 3, NULL);
    }
    size_t bytes = convnet_params(one[0].net)->floats * sizeof(float);
    assert_memory_equal(one[0].weights, one[1].weights, bytes);
    assert_memory_not_equal(one[0].weights, one[2].weights, bytes);
    for (int i = 0; i < 3; i++) classifier_release(&one[i]);
    dataset_release(&set);
    parallel_setup(0);
}

static void training_stops_when_told(void **state)
{
    (void)state;
    Dataset set = stripes(30, 8, 8, 1, 1);
    Watch w = {.stop_at = 4};
    Classifier c = trained(&set, 1, 9, &w);
    assert_int_equal(c.info.steps, 4);
    assert_int_equal(w.calls, 4);
    classifier_release(&c);
    dataset_release(&set);
}

static void a_set_is_gone_over_five_times(void **state)
{
    (void)state;
    assert_int_equal(classifier_steps(60000), 4688);
    assert_int_equal(classifier_steps(10), 200);
    assert_int_equal(classifier_steps(INT32_MAX), 167772160);
}

static void refused(Dataset set, const char *says)
{
    Err err;
    Classifier c;
    ClassifierTraining how = {.steps = 1};
    assert_false(classifier_train(&c, &set, &how, &err));
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, says)) fail_msg("%s", err.text);
}

static void what_cannot_be_trained_on_is_refused(void **state)
{
    (void)state;
    Dataset set = stripes(6, 8, 8, 1, 1), unlabelled = set, single = set, small = set;
    unlabelled.labels = NULL;
    single.classes = 1;
    small.height = 4;
    refused(unlabelled, "no classes");
    refused(single, "1 class:");
    refused(small, "4 x 8 pixels");
    Classifier c = trained(&set, 1, 1, NULL);
    Err err;
    assert_false(classifier_test(&c, &unlabelled, &err));
    set.classes = CLASSES + 1;
    assert_false(classifier_test(&c, &set, &err));
    assert_int_equal(c.info.test_images, 0);
    classifier_release(&c);
    dataset_release(&set);
}

/* ---- features ---- */

static bool stop_after(void *context, long done)
{
    long *limit = context;
    return done < *limit;
}

static Dataset part_of(const Dataset *set, int first, int count)
{
    Dataset part = *set;
    part.pixels = dataset_image(set, first);
    part.labels = set->labels + first;
    part.count = count;
    return part;
}

static void features_are_the_image_s_own(void **state)
{
    (void)state;
    enum { N = 70, D = CONVNET_FEATURES };
    Dataset set = stripes(N, 11, 8, 1, 1);
    Classifier c = trained(&set, 1, 5, NULL);
    float *all = test_floats(N * D), *some = test_floats(N * D);
    assert_int_equal(classifier_features(all, &c, &set, NULL, NULL), N);
    for (int i = 0; i < N * D; i++) assert_true(isfinite(all[i]));
    assert_memory_not_equal(all, all + D, D * sizeof *all);
    static const int firsts[] = {0, 1, 37, 69};
    for (int i = 0; i < 4; i++) {
        Dataset part = part_of(&set, firsts[i], whole_min(N - firsts[i], 3));
        parallel_setup(1 + i % 2);
        assert_int_equal(classifier_features(some, &c, &part, NULL, NULL), part.count);
        assert_memory_equal(some, all + firsts[i] * D, (size_t)part.count * D * sizeof *all);
    }
    parallel_setup(0);
    classifier_release(&c);
    dataset_release(&set);
    free(all), free(some);
}

static void features_stop_when_told(void **state)
{
    (void)state;
    enum { N = 140, D = CONVNET_FEATURES };
    Dataset set = stripes(N, 8, 8, 1, 1);
    Classifier c = trained(&set, 1, 1, NULL);
    float *out = test_floats(N * D);
    long limit = 100;
    assert_int_equal(classifier_features(out, &c, &set, stop_after, &limit), 128);
    assert_true(isfinite(out[128 * D - 1]) && isnan(out[128 * D]));
    classifier_release(&c);
    dataset_release(&set);
    free(out);
}

/* ---- files ---- */

static void what_is_written_is_read(void **state)
{
    (void)state;
    enum { N = 9, D = CONVNET_FEATURES };
    char *folder = test_temp_folder(), *path = test_path(folder, "c.safetensors");
    Dataset set = stripes(N, 8, 10, 3, 1);
    Classifier c = trained(&set, UINT64_MAX, 2, NULL), again;
    Err err;
    test_on(&c, &set);
    if (!classifier_write(path, &c, &err) || !classifier_read(&again, path, &set, &err))
        fail_msg("%s", err.text);
    float *f[] = {test_floats(N * D), test_floats(N * D)};
    classifier_features(f[0], &c, &set, NULL, NULL);
    classifier_features(f[1], &again, &set, NULL, NULL);
    assert_memory_equal(f[0], f[1], N * D * sizeof(float));
    assert_memory_equal(&c.info.shape, &again.info.shape, sizeof c.info.shape);
    assert_true(again.info.seed == UINT64_MAX);
    assert_int_equal(again.info.steps, 2);
    assert_int_equal(again.info.train_images, N);
    assert_int_equal(again.info.test_images, N);
    assert_true(again.info.test_accuracy == c.info.test_accuracy);
    classifier_release(&c), classifier_release(&again);
    dataset_release(&set);
    free(f[0]), free(f[1]), free(path);
    test_remove_folder(folder);
}

static void cannot_be_read(const char *path, const Dataset *set, const char *says)
{
    Err err;
    Classifier c;
    assert_false(classifier_read(&c, path, set, &err));
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, path) || !strstr(err.text, says) ||
        !strstr(err.text, "ddpm eval --train-features"))
        fail_msg("%s, where \"%s\" was expected", err.text, says);
}

/* The checksum that its file gives a classifier. */
static void crc32_of(char crc[9], const char *path, const Classifier *c)
{
    Safetensors file;
    Err err;
    if (!classifier_write(path, c, &err) || !safetensors_read(&file, path, &err))
        fail_msg("%s", err.text);
    const char *text = safetensors_metadata(&file, "crc32");
    assert_non_null(text);
    assert_int_equal(strlen(text), 8);
    memcpy(crc, text, 9);
    safetensors_release(&file);
}

/* The classifier's file with another text for one key; NULL: without it. */
static void write_changed(const char *path, const Classifier *c, const char *key, const char *value)
{
    char crc[9];
    crc32_of(crc, path, c);
    SafetensorsText texts[] = {
        {"format", "ddpm classifier"},
        {"height", "8"},
        {"width", "8"},
        {"channels", "1"},
        {"classes", "3"},
        {"seed", "1"},
        {"steps", "1"},
        {"train_images", "6"},
        {"test_images", "0"},
        {"test_accuracy", "0"},
        {"crc32", crc},
    };
    size_t count = sizeof texts / sizeof *texts;
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i].key, key) == 0) {
            texts[i].value = value;
            if (!value) texts[i] = texts[--count];
        }
    WeightArray weights = {"", c->weights};
    Err err;
    if (!weights_write_with(path, convnet_params(c->net), &weights, 1, texts, count, &err))
        fail_msg("%s", err.text);
}

static void wrong_metadata_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"format", "pt", "not a classifier"},
        {"format", NULL, "not a classifier"},
        {"height", NULL, "\"height\""},
        {"height", "8x", "\"8x\""},
        {"height", "-8", "\"-8\""},
        {"width", "99999999999", "\"99999999999\""},
        {"width", "7", "8 x 7 pixels"},
        {"channels", "2", "2 channels"},
        {"classes", "1", "1 class:"},
        {"seed", "18446744073709551616", "\"seed\""},
        {"steps", "", "\"steps\""},
        {"train_images", " 6", "\"train_images\""},
        {"test_accuracy", "1.5", "\"1.5\""},
        {"test_accuracy", "nan", "\"nan\""},
        {"test_images", "4294967296", "4294967"},
        {"classes", "4", "class.weight"},
        {"height", "16", "for images of 16"},
        {"channels", "3", "for images of 8 x 8 x 3"},
        {"seed", "2", "damaged: its CRC-32 is"},
        {"train_images", "7", "damaged"},
        {"test_accuracy", "0.5", "damaged"},
        {"crc32", "00000000", "by its metadata it was 00000000"},
        {"crc32", NULL, "by its metadata it was none"},
    };
    char *folder = test_temp_folder(), *path = test_path(folder, "c.safetensors");
    Dataset set = stripes(6, 8, 8, 1, 1);
    Classifier c = trained(&set, 1, 1, NULL), again;
    Err err;
    write_changed(path, &c, "", NULL);
    if (!classifier_read(&again, path, &set, &err)) fail_msg("%s", err.text);
    classifier_release(&again);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_changed(path, &c, cases[i][0], cases[i][1]);
        cannot_be_read(path, &set, cases[i][2]);
    }
    classifier_release(&c);
    dataset_release(&set);
    free(path);
    test_remove_folder(folder);
}

/* Of the last number of the last tensor, a bit that makes it another number like it. */
static void a_weight_that_is_another_is_refused(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "c.safetensors");
    Dataset set = stripes(6, 8, 8, 1, 1);
    Classifier c = trained(&set, 1, 1, NULL), again;
    unsigned char *bytes;
    size_t size;
    Err err;
    if (!classifier_write(path, &c, &err) || !classifier_read(&again, path, &set, &err) ||
        !file_read(&bytes, &size, path, 1 << 24, &err))
        fail_msg("%s", err.text);
    bytes[size - 4] ^= 1;
    test_put(folder, "c.safetensors", bytes, size);
    cannot_be_read(path, &set, "damaged: its CRC-32 is");
    classifier_release(&c), classifier_release(&again);
    dataset_release(&set);
    free(bytes), free(path);
    test_remove_folder(folder);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "c.safetensors");
    Dataset set = stripes(6, 8, 8, 1, 1);
    Classifier c = trained(&set, 1, 1, NULL);
    unsigned char *bytes;
    size_t size;
    Err err;
    cannot_be_read(path, NULL, "c.safetensors");
    c.weights[0] = NAN;
    if (!classifier_write(path, &c, &err) || !file_read(&bytes, &size, path, 1 << 24, &err))
        fail_msg("%s", err.text);
    cannot_be_read(path, NULL, "not finite");
    test_put(folder, "c.safetensors", bytes, size - 1);
    cannot_be_read(path, NULL, "c.safetensors");
    test_put(folder, "c.safetensors", bytes, 0);
    cannot_be_read(path, NULL, "c.safetensors");
    classifier_release(&c);
    dataset_release(&set);
    free(bytes), free(path);
    test_remove_folder(folder);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_learned),
        cmocka_unit_test(batches_are_made_of_parts),
        cmocka_unit_test(chance_is_not_beaten_without_training),
        cmocka_unit_test(bits_follow_from_the_seed),
        cmocka_unit_test(training_stops_when_told),
        cmocka_unit_test(a_set_is_gone_over_five_times),
        cmocka_unit_test(what_cannot_be_trained_on_is_refused),
        cmocka_unit_test(features_are_the_image_s_own),
        cmocka_unit_test(features_stop_when_told),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(wrong_metadata_is_refused),
        cmocka_unit_test(a_weight_that_is_another_is_refused),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests_name("classifier", tests, NULL, NULL);
}
