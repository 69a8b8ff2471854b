#include "base/file.h"
#include "base/parallel.h"
#include "data/dataset_open.h"
#include "support.h"

#include <stdio.h>
#include <unistd.h>

enum { RECORD = 3073 };

static DataConfig config_of(DataFormat format, const char *path)
{
    DataConfig config = {.format = format};
    snprintf(config.path, sizeof config.path, "%s", path);
    return config;
}

/* --- Where the data is: $DDPM_DATA and the share folder stand for `data` --- */

static void assert_found(const char *path, const char *share, const char *expected)
{
    char found[FILE_PATH];
    Err err;
    DataConfig config = config_of(DATA_FOLDER, path);
    if (!dataset_find(found, sizeof found, &config, share, &err)) fail_msg("%s", err.text);
    assert_string_equal(found, expected);
}

static void places_are_looked_at_in_order(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *share = test_path(folder, "share");
    char *variable = test_path(folder, "variable"), *here = getcwd(NULL, 0);
    char *in_share = test_path(folder, "share/data/set"),
         *in_folder = test_path(folder, "data/set");
    char *in_variable = test_path(folder, "variable/set");
    assert_int_equal(chdir(folder), 0);
    test_put(folder, "share/data/set", "", 0);
    unsetenv("DDPM_DATA");
    assert_found("data/set", share, in_share);
    assert_found("set", share, in_share);
    setenv("DDPM_DATA", variable, 1);
    assert_found("data/set", share, in_share);
    test_put(folder, "variable/set", "", 0);
    assert_found("data/set", share, in_variable);
    assert_found("set", NULL, in_variable);
    test_put(folder, "data/set", "", 0);
    assert_found("data/set", share, "data/set");
    assert_found(in_folder, share, in_folder);
    unsetenv("DDPM_DATA");
    assert_int_equal(chdir(here), 0);
    free(here), free(share), free(variable), free(in_share), free(in_folder), free(in_variable);
    test_remove_folder(folder);
}

static void a_miss_names_every_place_and_the_remedy(void **state)
{
    (void)state;
    char found[FILE_PATH];
    Err err;
    DataConfig config = config_of(DATA_CIFAR10, "data/absent");
    setenv("DDPM_DATA", "/nonexistent/variable", 1);
    assert_false(dataset_find(found, sizeof found, &config, "/nonexistent/share", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "data.path = data/absent"));
    assert_non_null(strstr(err.text, "/nonexistent/variable/absent"));
    assert_non_null(strstr(err.text, "/nonexistent/share/data/absent"));
    assert_non_null(strstr(err.text, "scripts/fetch_cifar10.sh"));
    unsetenv("DDPM_DATA");
    config = config_of(DATA_IDX, "/nonexistent/idx");
    assert_false(dataset_find(found, sizeof found, &config, "/nonexistent/share", &err));
    assert_non_null(strstr(err.text, "dataset-fashion-mnist"));
    assert_null(strstr(err.text, "/nonexistent/share"));
    config = config_of(DATA_NPY, "");
    assert_false(dataset_find(found, sizeof found, &config, NULL, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "data.path"));
}

/* --- Sizes, channels, labels --- */

/* Three records of CIFAR-10, all pixels 90 + number. */
static char *cifar_folder(void)
{
    static uint8_t records[3 * RECORD];
    char *folder = test_temp_folder();
    for (int i = 0; i < 3 * RECORD; i++)
        records[i] = (uint8_t)(i % RECORD == 0 ? 7 : 90 + i / RECORD);
    test_put(folder, "data_batch_1.bin", records, sizeof records);
    return folder;
}

static void assert_refused(const DataConfig *config, int height, int width, int channels,
                           const char *const words[], int count)
{
    Dataset set;
    Err err;
    assert_false(dataset_open(&set, config, DATASET_TRAIN, height, width, channels, &err));
    assert_int_equal(err.kind, ERR_DATA);
    for (int i = 0; i < count; i++) assert_non_null(strstr(err.text, words[i]));
    assert_null(set.pixels);
    assert_null(set.labels);
}

static void another_size_is_refused_or_fitted(void **state)
{
    (void)state;
    static const char *const words[] = {"32 x 32", "40 x 36", "data.fit", "model.image_size"};
    static const char *const shrink[] = {"32 x 32", "16 x 64", "resize", "model.image_size"};
    char *folder = cifar_folder();
    DataConfig config = config_of(DATA_CIFAR10, folder);
    Dataset set;
    Err err;
    assert_refused(&config, 40, 36, 3, words, 4);
    config.fit = FIT_PAD;
    assert_refused(&config, 16, 64, 3, shrink, 4);
    assert_true(dataset_open(&set, &config, DATASET_TRAIN, 40, 36, 3, &err));
    for (int i = 0; i < 3 * 40 * 36; i++) {
        int image = i / (40 * 36), y = i / 36 % 40, x = i % 36;
        bool inside = y >= 4 && y < 36 && x >= 2 && x < 34;
        assert_int_equal(set.pixels[3 * i], inside ? 90 + image : 0);
    }
    dataset_release(&set);
    config.fit = FIT_RESIZE;
    config.labels = true;
    assert_true(dataset_open(&set, &config, DATASET_TRAIN, 16, 64, 3, &err));
    assert_int_equal(set.height, 16);
    assert_int_equal(set.width, 64);
    for (int i = 0; i < 3 * 16 * 64 * 3; i++)
        assert_int_equal(set.pixels[i], 90 + i / (16 * 64 * 3));
    for (int i = 0; i < 3; i++) assert_int_equal(set.labels[i], 7);
    dataset_release(&set);
    test_remove_folder(folder);
}

static void other_channels_are_refused(void **state)
{
    (void)state;
    static const char *const words[] = {"3 channels", "model.channels = 1", "model.channels = 3"};
    char *folder = cifar_folder();
    DataConfig config = config_of(DATA_CIFAR10, folder);
    assert_refused(&config, 32, 32, 1, words, 3);
    test_remove_folder(folder);
}

static void labels_come_only_if_asked_for(void **state)
{
    (void)state;
    static const char *const words[] = {"labels"};
    static const uint8_t npy[80 + 8 * 8] =
        "\x93NUMPY\x01\0\x46\0{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, 8, 1), }   "
        "     \n";
    char *folder = test_temp_folder(), *path = test_path(folder, "a.npy");
    DataConfig config = config_of(DATA_SHAPES, "");
    Dataset set;
    Err err;
    assert_true(dataset_open(&set, &config, DATASET_TEST, 8, 8, 1, &err));
    assert_null(set.labels);
    assert_int_equal(set.classes, 0);
    dataset_release(&set);
    config.labels = true;
    assert_true(dataset_open(&set, &config, DATASET_TEST, 8, 8, 1, &err));
    assert_int_equal(set.classes, 8);
    assert_int_equal(set.labels[9], 1);
    dataset_release(&set);
    test_put(folder, "a.npy", npy, sizeof npy);
    config = config_of(DATA_NPY, path);
    assert_true(dataset_open(&set, &config, DATASET_TRAIN, 8, 8, 1, &err));
    dataset_release(&set);
    config.labels = true;
    assert_refused(&config, 8, 8, 1, words, 1);
    free(path), test_remove_folder(folder);
}

static void test_parts_that_are_the_training_images_are_refused(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *file = test_path(folder, "a.npy");
    DataConfig config = config_of(DATA_SHAPES, "");
    Err err;
    assert_true(dataset_check_test(&config, &err));
    test_put(folder, "a.npy", "", 0);
    test_put(folder, "train/x.png", "", 0);
    config = config_of(DATA_NPY, file);
    assert_false(dataset_check_test(&config, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "data.validation = 0.05"));
    config = config_of(DATA_CIFAR10, file);
    assert_false(dataset_check_test(&config, &err));
    config = config_of(DATA_CIFAR10, folder);
    assert_true(dataset_check_test(&config, &err));
    config = config_of(DATA_FOLDER, folder);
    assert_false(dataset_check_test(&config, &err));
    assert_non_null(strstr(err.text, "folders train and test"));
    test_put(folder, "test/x.png", "", 0);
    assert_true(dataset_check_test(&config, &err));
    config = config_of(DATA_FOLDER, "no/such");
    assert_false(dataset_check_test(&config, &err));
    assert_int_equal(err.kind, ERR_DATA);
    free(file), test_remove_folder(folder);
}

static void names_of_formats_are_in_order(void **state)
{
    (void)state;
    assert_string_equal(data_format_names[DATA_CIFAR10], "cifar10");
    assert_string_equal(data_format_names[DATA_IDX], "idx");
    assert_string_equal(data_format_names[DATA_FOLDER], "folder");
    assert_string_equal(data_format_names[DATA_NPY], "npy");
    assert_string_equal(data_format_names[DATA_SHAPES], "shapes");
    assert_null(data_format_names[DATA_SHAPES + 1]);
    assert_string_equal(fit_names[FIT_NONE], "");
    assert_string_equal(fit_names[FIT_PAD], "pad");
    assert_string_equal(fit_names[FIT_RESIZE], "resize");
    assert_null(fit_names[FIT_RESIZE + 1]);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_looked_at_in_order),
        cmocka_unit_test(a_miss_names_every_place_and_the_remedy),
        cmocka_unit_test(another_size_is_refused_or_fitted),
        cmocka_unit_test(other_channels_are_refused),
        cmocka_unit_test(labels_come_only_if_asked_for),
        cmocka_unit_test(test_parts_that_are_the_training_images_are_refused),
        cmocka_unit_test(names_of_formats_are_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
