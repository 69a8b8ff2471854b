#include "data/cifar10.h"
#include "support.h"

enum { PLANE = CIFAR10_SIDE * CIFAR10_SIDE };

/* Records of which number r has label (first + r) mod 10 and pixel values that follow from first +
 * r, the place and the channel. */
static uint8_t *make_records(int first, int count)
{
    uint8_t *records = malloc((size_t)count * CIFAR10_RECORD), *at = records;
    for (int r = first; r < first + count; r++) {
        *at++ = (uint8_t)(r % 10);
        for (int c = 0; c < CIFAR10_CHANNELS; c++)
            for (int i = 0; i < PLANE; i++) *at++ = (uint8_t)(17 * r + 5 * i + 50 * c);
    }
    return records;
}

static void put_records(const char *folder, const char *name, int first, int count)
{
    uint8_t *records = make_records(first, count);
    test_put(folder, name, records, (size_t)count * CIFAR10_RECORD);
    free(records);
}

static void assert_records(const Dataset *set, int first, int count)
{
    assert_int_equal(set->count, count);
    assert_int_equal(set->height, 32);
    assert_int_equal(set->width, 32);
    assert_int_equal(set->channels, 3);
    assert_int_equal(set->classes, 10);
    for (int r = 0; r < count; r++) {
        const uint8_t *pixels = dataset_image(set, r);
        assert_int_equal(set->labels[r], (first + r) % 10);
        for (int i = 0; i < PLANE; i++)
            for (int c = 0; c < 3; c++)
                assert_int_equal(*pixels++, (uint8_t)(17 * (first + r) + 5 * i + 50 * c));
    }
}

static void a_folder_has_two_parts(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    Dataset set;
    Err err;
    put_records(folder, "data_batch_3.bin", 5, 2);
    put_records(folder, "data_batch_1.bin", 0, 5);
    put_records(folder, "test_batch.bin", 30, 3);
    test_put(folder, "batches.meta.txt", "airplane\n", 9);
    assert_true(cifar10_read(&set, folder, DATASET_TRAIN, &err));
    assert_records(&set, 0, 7);
    dataset_release(&set);
    assert_true(cifar10_read(&set, folder, DATASET_TEST, &err));
    assert_records(&set, 30, 3);
    dataset_release(&set);
    test_remove_folder(folder);
}

static void one_file_is_both_parts(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "some.bin");
    Dataset set;
    Err err;
    put_records(folder, "some.bin", 4, 3);
    for (int part = DATASET_TRAIN; part <= DATASET_TEST; part++) {
        assert_true(cifar10_read(&set, path, (DatasetPart)part, &err));
        assert_records(&set, 4, 3);
        dataset_release(&set);
    }
    free(path), test_remove_folder(folder);
}

/* `size` bytes of good records but for one that is changed; the error has both words. */
static void assert_refused(size_t size, size_t changed, uint8_t value, const char *words)
{
    char *folder = test_temp_folder(), *path = test_path(folder, "data_batch_1.bin");
    uint8_t *records = make_records(0, 3);
    Dataset set;
    Err err;
    records[changed] = value;
    test_put(folder, "data_batch_1.bin", records, size);
    assert_false(cifar10_read(&set, folder, DATASET_TRAIN, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, words));
    assert_null(set.pixels);
    assert_null(set.labels);
    free(records), free(path), test_remove_folder(folder);
}

static void damaged_files_are_errors_that_name_the_record(void **state)
{
    (void)state;
    assert_refused(3 * CIFAR10_RECORD - 1, 1, 0, "record 2 ends after 3072");
    assert_refused(CIFAR10_RECORD + 1, 1, 0, "record 1 ends after 1 ");
    assert_refused(0, 1, 0, "no record");
    assert_refused(3 * CIFAR10_RECORD, CIFAR10_RECORD, 10, "record 1 has label 10");
}

static void missing_files_are_errors_that_name_them(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    Dataset set;
    Err err;
    put_records(folder, "data_batch_1.bin", 0, 1);
    assert_false(cifar10_read(&set, folder, DATASET_TEST, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "test_batch.bin"));
    assert_non_null(strstr(err.text, "scripts/fetch_cifar10.sh"));
    assert_false(cifar10_read(&set, "/nonexistent", DATASET_TEST, &err));
    assert_non_null(strstr(err.text, "/nonexistent"));
    test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_has_two_parts),
        cmocka_unit_test(one_file_is_both_parts),
        cmocka_unit_test(damaged_files_are_errors_that_name_the_record),
        cmocka_unit_test(missing_files_are_errors_that_name_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
