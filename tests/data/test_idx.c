#include "data/idx.h"
#include "refuse.h"
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
    assert_refused(folder, labels, "more than 4 bytes of data where its header says 4");
    put_idx(folder, labels, IMAGES, COUNT, COUNT, 0);
    assert_refused(folder, labels, "0x00000801");
    put_idx(folder, images, IMAGES, COUNT, COUNT * SIZE - 1, 0);
    assert_refused(folder, images, "at most 59 bytes of data where its header says 60");
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

/* Put the header alone, of images of those sizes, with zeros up to `size` bytes, perhaps packed. */
static void put_sizes(const char *folder, uint32_t count, uint32_t height, uint32_t width,
                      long size, bool packed)
{
    char command[512];
    uint8_t file[16];
    const uint32_t numbers[] = {IMAGES, count, height, width};
    for (size_t i = 0; i < sizeof file; i++)
        file[i] = (uint8_t)(numbers[i / 4] >> (24 - 8 * (i % 4)));
    test_put(folder, "train-images-idx3-ubyte", file, sizeof file);
    snprintf(command, sizeof command, "cd '%s' && truncate -s %ld train-images-*%s", folder, size,
             packed ? " && gzip -f train-images-*" : "");
    assert_int_equal(system(command), 0);
}

/* The first product is 2^64, which has room for nothing. Of the packed ones the file has about a
 * hundred bytes, so that it could hold as many times 1032. */
static void sizes_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const char images[] = "train-images-idx3-ubyte";
    char *folder = test_temp_folder();
    put_sizes(folder, 16, 1 << 30, 1 << 30, 16, false);
    assert_refused(folder, images, "size 2 in its header, 1073741824, cannot be");
    put_sizes(folder, 2, 1 << 30, 1 << 30, 16, false);
    assert_refused(folder, images, "at most 0 bytes of data where its header says 2305843009");
    put_sizes(folder, 1, 1 << 15, 1 << 15, 16 + (1L << 30), false);
    assert_refused(folder, images, "32768 x 32768 x 1 bytes are too large");
    test_remove_folder(folder);
    folder = test_temp_folder();
    put_sizes(folder, 1, 100, 300, 60 << 10, true);
    assert_refused(folder, images, "more than 30000 bytes of data where its header says 30000");
    test_remove_folder(folder);
    folder = test_temp_folder();
    put_sizes(folder, 1, 300, 300, 60 << 10, true);
    assert_refused(folder, images, "holds 61424 bytes of data where its header says 90000");
    test_remove_folder(folder);
    folder = test_temp_folder();
    put_sizes(folder, 1000, 3000, 300, 60 << 10, true);
    assert_refused(folder, images, "bytes of data where its header says 900000000");
    assert_refused(folder, images, "holds at most ");
    test_remove_folder(folder);
}

static const char *packed;

static bool has_room_for_little_more_than_the_set(void)
{
    Dataset set;
    Err err;
    bool done =
        test_limit_memory((size_t)60 << 20) && idx_read(&set, packed, DATASET_TRAIN, false, &err);
    if (done) dataset_release(&set);
    return done;
}

static void a_set_is_held_once(void **state)
{
    (void)state;
    if (SANITIZED) skip();
    char *folder = test_temp_folder();
    put_sizes(folder, 40 << 10, 32, 32, 16 + (40L << 20), true);
    packed = folder;
    assert_true(test_in_child(has_room_for_little_more_than_the_set));
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
    assert_refused(folder, "train-images-idx3-ubyte.gz",
                   "more than 60 bytes of data where its header says 60");
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
        cmocka_unit_test(sizes_beyond_the_file_are_refused),
        cmocka_unit_test(a_set_is_held_once),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
