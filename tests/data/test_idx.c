#include "data/idx.h"
#include "support.h"

#include <stdio.h>

enum { IMAGES = 0x803, LABELS = 0x801, COUNT = 4, HEIGHT = 3, WIDTH = 5, SIZE = HEIGHT * WIDTH };

/* A file of three or one sizes and `bytes` bytes 3 k, 3 (k+1), ...; `last` replaces the last. */
static void put_idx(const char *folder, const char *name, int magic, int count, size_t bytes,
                    int last)
{
    uint8_t file[16 + COUNT * SIZE] = {0};
    size_t header = magic == IMAGES ? 16 : 8;
    const int numbers[] = {magic, count, HEIGHT, WIDTH};
    for (size_t i = 0; i < header / 4; i++)
        for (int b = 0; b < 4; b++) file[4 * i + (size_t)b] = (uint8_t)(numbers[i] >> (24 - 8 * b));
    for (size_t i = 0; i < bytes; i++) file[header + i] = (uint8_t)(3 * i);
    if (bytes > 0) file[header + bytes - 1] = (uint8_t)last;
    test_put(folder, name, file, header + bytes);
}

static char *good_folder(void)
{
    char *folder = test_temp_folder();
    put_idx(folder, "train-images-idx3-ubyte", IMAGES, COUNT, COUNT * SIZE, 77);
    put_idx(folder, "train-labels-idx1-ubyte", LABELS, COUNT, COUNT, 9);
    put_idx(folder, "t10k-images-idx3-ubyte", IMAGES, 2, 2 * SIZE, 78);
    put_idx(folder, "t10k-labels-idx1-ubyte", LABELS, 2, 2, 3);
    return folder;
}

static void assert_train(const Dataset *set, bool labels)
{
    assert_int_equal(set->count, COUNT);
    assert_int_equal(set->height, HEIGHT);
    assert_int_equal(set->width, WIDTH);
    assert_int_equal(set->channels, 1);
    for (int i = 0; i < COUNT * SIZE - 1; i++) assert_int_equal(set->pixels[i], (uint8_t)(3 * i));
    assert_int_equal(set->pixels[COUNT * SIZE - 1], 77);
    if (!labels) {
        assert_null(set->labels);
        return;
    }
    static const int32_t expected[COUNT] = {0, 3, 6, 9};
    assert_memory_equal(set->labels, expected, sizeof expected);
    assert_int_equal(set->classes, 10);
}

static void both_parts_are_read(void **state)
{
    (void)state;
    char *folder = good_folder();
    Dataset set;
    Err err;
    assert_true(idx_read(&set, folder, DATASET_TRAIN, true, &err));
    assert_train(&set, true);
    dataset_release(&set);
    assert_true(idx_read(&set, folder, DATASET_TEST, true, &err));
    assert_int_equal(set.count, 2);
    assert_int_equal(set.pixels[2 * SIZE - 1], 78);
    assert_int_equal(set.labels[1], 3);
    dataset_release(&set);
    test_remove_folder(folder);
}

static void compressed_files_are_read(void **state)
{
    (void)state;
    char *folder = good_folder(), command[512];
    Dataset set;
    Err err;
    snprintf(command, sizeof command, "gzip '%s'/train-*", folder);
    assert_int_equal(system(command), 0);
    assert_true(idx_read(&set, folder, DATASET_TRAIN, true, &err));
    assert_train(&set, true);
    dataset_release(&set);
    test_remove_folder(folder);
}

static void labels_are_needed_only_if_asked_for(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    Dataset set;
    Err err;
    put_idx(folder, "train-images-idx3-ubyte", IMAGES, COUNT, COUNT * SIZE, 77);
    assert_true(idx_read(&set, folder, DATASET_TRAIN, false, &err));
    assert_train(&set, false);
    dataset_release(&set);
    assert_false(idx_read(&set, folder, DATASET_TRAIN, true, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "train-labels-idx1-ubyte"));
    assert_null(set.pixels);
    test_remove_folder(folder);
}

static void assert_refused(const char *folder, const char *name, const char *words)
{
    Dataset set;
    Err err;
    assert_false(idx_read(&set, folder, DATASET_TRAIN, true, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, name));
    assert_non_null(strstr(err.text, words));
    assert_null(set.pixels);
    assert_null(set.labels);
}

static void damaged_files_are_errors_that_name_them(void **state)
{
    (void)state;
    static const char images[] = "train-images-idx3-ubyte", labels[] = "train-labels-idx1-ubyte";
    static const char gzip[] = "\x1f\x8b\x08\0\0\0\0\0\0\xff not deflated";
    char *folder = good_folder();
    put_idx(folder, labels, LABELS, COUNT - 1, COUNT - 1, 0);
    assert_refused(folder, labels, "3 labels for 4 images");
    put_idx(folder, labels, LABELS, COUNT, COUNT + 1, 0);
    assert_refused(folder, labels, "5 bytes of data where its header says 4");
    put_idx(folder, labels, IMAGES, COUNT, COUNT, 0);
    assert_refused(folder, labels, "0x00000801");
    put_idx(folder, images, IMAGES, COUNT, COUNT * SIZE - 1, 0);
    assert_refused(folder, images, "59 bytes of data where its header says 60");
    put_idx(folder, images, LABELS, COUNT, COUNT * SIZE, 0);
    assert_refused(folder, images, "starts with 0x00000801, not 0x00000803");
    put_idx(folder, images, IMAGES, 0, 0, 0);
    assert_refused(folder, images, "cannot be");
    put_idx(folder, images, IMAGES, -1, 0, 0);
    assert_refused(folder, images, "cannot be");
    test_put(folder, images, "\0\0\x08\x03\0\0", 6);
    assert_refused(folder, images, "header");
    test_put(folder, images, "", 0);
    assert_refused(folder, images, "0x00000803");
    test_put(folder, images, gzip, sizeof gzip);
    assert_refused(folder, images, "");
    test_remove_folder(folder);
}

/* 16 MiB of zeros, packed a thousand to one, behind a header that says 60 bytes. */
static void no_more_is_unpacked_than_the_header_says(void **state)
{
    (void)state;
    char *folder = good_folder(), command[512];
    snprintf(command, sizeof command,
             "cd '%s' && truncate -s 16M train-images-* && gzip train-images-*", folder);
    assert_int_equal(system(command), 0);
    assert_refused(folder, "train-images-idx3-ubyte.gz", "more than the 77 bytes expected");
    test_remove_folder(folder);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    assert_refused(folder, "train-images-idx3-ubyte", folder);
    test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_parts_are_read),
        cmocka_unit_test(compressed_files_are_read),
        cmocka_unit_test(labels_are_needed_only_if_asked_for),
        cmocka_unit_test(damaged_files_are_errors_that_name_them),
        cmocka_unit_test(no_more_is_unpacked_than_the_header_says),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
