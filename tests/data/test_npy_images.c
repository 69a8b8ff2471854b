#include "base/npy.h"
#include "data/npy_images.h"
#include "support.h"

enum { COUNT = 3, HEIGHT = 4, WIDTH = 5 };

static Array make_array(ArrayType type, int ndim, size_t last)
{
    const size_t shape[] = {COUNT, HEIGHT, WIDTH, last};
    Array array;
    Err err;
    if (!array_init(&array, type, ndim, shape, "test", &err)) fail_msg("%s", err.text);
    uint8_t *bytes = array.data;
    for (size_t i = 0; type == ARRAY_U8 && i < array.count; i++) bytes[i] = (uint8_t)(7 * i);
    return array;
}

static void put_npy(const char *path, const Array *array)
{
    Err err;
    if (!npy_write(path, array, &err)) fail_msg("%s", err.text);
}

static void put_npz(const char *path, const Array *images, const Array *labels)
{
    const NpzEntry entries[] = {{"arr_0", images}, {"arr_1", labels}};
    Err err;
    if (!npz_write(path, entries, labels ? 2 : 1, &err)) fail_msg("%s", err.text);
}

static void assert_images(const Dataset *set, const Array *array, int channels)
{
    assert_int_equal(set->count, COUNT);
    assert_int_equal(set->height, HEIGHT);
    assert_int_equal(set->width, WIDTH);
    assert_int_equal(set->channels, channels);
    assert_memory_equal(set->pixels, array->data, array->count);
}

static void arrays_are_read(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *npy = test_path(folder, "a.npy");
    char *npz = test_path(folder, "a.npz");
    Dataset set;
    Err err;
    for (int channels = 1; channels <= 3; channels += 2)
        for (int ndim = channels == 1 ? 3 : 4; ndim <= 4; ndim++) {
            Array array = make_array(ARRAY_U8, ndim, (size_t)channels);
            put_npy(npy, &array), put_npz(npz, &array, NULL);
            assert_true(npy_images_read(&set, npy, true, &err));
            assert_images(&set, &array, channels);
            assert_null(set.labels);
            dataset_release(&set);
            assert_true(npy_images_read(&set, npz, false, &err));
            assert_images(&set, &array, channels);
            dataset_release(&set);
            array_release(&array);
        }
    free(npy), free(npz), test_remove_folder(folder);
}

static Array make_labels(size_t count, int64_t last)
{
    Array labels;
    Err err;
    if (!array_init(&labels, ARRAY_I64, 1, &count, "test", &err)) fail_msg("%s", err.text);
    ((int64_t *)labels.data)[0] = 2;
    ((int64_t *)labels.data)[count - 1] = last;
    return labels;
}

static void labels_are_read_from_npz(void **state)
{
    (void)state;
    static const int32_t expected[COUNT] = {2, 0, 6};
    char *folder = test_temp_folder(), *npz = test_path(folder, "a.npz");
    Array images = make_array(ARRAY_U8, 4, 3), labels = make_labels(COUNT, 6);
    Dataset set;
    Err err;
    put_npz(npz, &images, &labels);
    assert_true(npy_images_read(&set, npz, true, &err));
    assert_images(&set, &images, 3);
    assert_memory_equal(set.labels, expected, sizeof expected);
    assert_int_equal(set.classes, 7);
    dataset_release(&set);
    assert_true(npy_images_read(&set, npz, false, &err));
    assert_null(set.labels);
    dataset_release(&set);
    array_release(&images), array_release(&labels);
    free(npz), test_remove_folder(folder);
}

static void assert_refused(const char *path, const char *words)
{
    Dataset set;
    Err err;
    assert_false(npy_images_read(&set, path, true, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, words));
    assert_null(set.pixels);
    assert_null(set.labels);
}

static void arrays_of_another_kind_are_refused(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *npy = test_path(folder, "a.npy");
    Array wrong[] = {make_array(ARRAY_F32, 4, 3), make_array(ARRAY_U8, 4, 2),
                     make_array(ARRAY_U8, 2, 0)};
    for (size_t i = 0; i < 3; i++) {
        put_npy(npy, &wrong[i]);
        assert_refused(npy, "N x H x W x C");
        array_release(&wrong[i]);
    }
    test_put(folder, "a.npy", "this is no array, nor an archive", 32);
    assert_refused(npy, "");
    free(npy), test_remove_folder(folder);
    assert_refused("/nonexistent.npy", "");
}

static void labels_that_cannot_be_are_refused(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *npz = test_path(folder, "a.npz");
    Array images = make_array(ARRAY_U8, 4, 3);
    Array labels[] = {make_labels(COUNT, -1), make_labels(COUNT, 65536), make_labels(COUNT + 1, 0)};
    static const char *const words[] = {"label -1 of image 2", "label 65536", "arr_1"};
    for (size_t i = 0; i < 3; i++) {
        put_npz(npz, &images, &labels[i]);
        assert_refused(npz, words[i]);
        array_release(&labels[i]);
    }
    put_npz(npz, &images, NULL);
    assert_refused(npz, "arr_1");
    array_release(&images);
    free(npz), test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_read),
        cmocka_unit_test(labels_are_read_from_npz),
        cmocka_unit_test(arrays_of_another_kind_are_refused),
        cmocka_unit_test(labels_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
