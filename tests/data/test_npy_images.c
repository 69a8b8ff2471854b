#include "base/file.h"
#include "base/npy.h"
#include "base/zip.h"
#include "data/npy_images.h"
#include "refuse.h"
#include "support.h"

#include <stdio.h>

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

/* As npy_images_read has them, but 2 GiB of pixels that are not there. */
static void images_beyond_the_bound_are_refused(void **state)
{
    (void)state;
    Dataset set = {.count = 1, .height = 2, .width = 715827883, .channels = 3};
    Err err;
    uint8_t *pixels = malloc(1);
    assert_false(dataset_adopt(&set, pixels, true, "wide.npy", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_string_equal(err.text, "wide.npy: images of 2 x 715827883 x 3 bytes are too large: they "
                                  "must be fewer than 2^30");
    assert_null(set.pixels);
}

static char *archive;

static bool has_room_for_little_more_than_the_set(void)
{
    Dataset set;
    Err err;
    bool done = test_limit_memory((size_t)60 << 20) && npy_images_read(&set, archive, false, &err);
    if (done) dataset_release(&set);
    return done;
}

static void put_number(FILE *file, int bytes, size_t value)
{
    for (int i = 0; i < bytes; i++) putc((int)(value >> 8 * i & 255), file);
}

/* What a member's local header and its entry in the directory have in common. */
static void put_common(FILE *file, uint32_t crc, size_t packed, size_t size)
{
    const size_t fields[][2] = {{2, 20},     {2, 0},    {2, 8}, {4, 0}, {4, crc},
                                {4, packed}, {4, size}, {2, 9}, {2, 0}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        put_number(file, (int)fields[i][0], fields[i][1]);
}

/* A .npz of which the file `path`, a .npy, is the one member, deflated: a zlib stream without the
 * two bytes before and the four behind. */
static void deflate_npy(const char *path, const char *npz)
{
    unsigned char *data, *stream;
    size_t size, packed = 0;
    Err err;
    if (!file_read(&data, &size, path, SIZE_MAX - 1, &err)) fail_msg("%s", err.text);
    stream = zip_deflate(&packed, data, size);
    assert_non_null(stream);
    packed -= 6;
    uint32_t crc = zip_crc32(data, size);
    FILE *file = fopen(npz, "wb");
    assert_non_null(file);
    fwrite("PK\3\4", 4, 1, file), put_common(file, crc, packed, size);
    fwrite("arr_0.npy", 9, 1, file), fwrite(stream + 2, packed, 1, file);
    fwrite("PK\1\2\24\0", 6, 1, file), put_common(file, crc, packed, size);
    for (int i = 0; i < 14; i++) putc(0, file); /* no comment, disk 0, no attributes, place 0 */
    fwrite("arr_0.npy", 9, 1, file);
    fwrite("PK\5\6\0\0\0\0\1\0\1\0", 12, 1, file);
    put_number(file, 4, 46 + 9), put_number(file, 4, 30 + 9 + packed), put_number(file, 2, 0);
    assert_int_equal(fclose(file), 0);
    free(data), free(stream);
}

static void a_set_is_held_once(void **state)
{
    (void)state;
    static const size_t shape[] = {40 << 10, 32, 32};
    if (SANITIZED) skip();
    char *folder = test_temp_folder(), *npy = test_path(folder, "a.npy");
    char *npz = test_path(folder, "a.npz"), *deflated = test_path(folder, "b.npz");
    char *const archives[] = {npy, npz, deflated};
    Array array;
    Err err;
    assert_true(array_init(&array, ARRAY_U8, 3, shape, "test", &err));
    put_npy(npy, &array), put_npz(npz, &array, NULL), deflate_npy(npy, deflated);
    array_release(&array);
    for (int i = 0; i < 3; i++) {
        archive = archives[i];
        assert_true(test_in_child(has_room_for_little_more_than_the_set));
    }
    free(npy), free(npz), free(deflated), test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_read),
        cmocka_unit_test(labels_are_read_from_npz),
        cmocka_unit_test(arrays_of_another_kind_are_refused),
        cmocka_unit_test(labels_that_cannot_be_are_refused),
        cmocka_unit_test(images_beyond_the_bound_are_refused),
        cmocka_unit_test(a_set_is_held_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
