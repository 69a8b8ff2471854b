#include "base/npy.h"

#include "base/file.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

/* numpy.savez_compressed(file, arr_0 = 0..23 as uint8 [2,3,4], labels = [3, -1] as int64) */
static const unsigned char numpy_npz[] = {
    80,  75,  3,   4,   20,  0,   0,   0,   8,   0,   0,   0,   33,  0,   68,  173, 87,  130, 97,
    0,   0,   0,   152, 0,   0,   0,   9,   0,   20,  0,   97,  114, 114, 95,  48,  46,  110, 112,
    121, 1,   0,   16,  0,   152, 0,   0,   0,   0,   0,   0,   0,   97,  0,   0,   0,   0,   0,
    0,   0,   155, 236, 23,  234, 27,  16,  201, 200, 80,  198, 80,  173, 158, 146, 90,  156, 92,
    164, 110, 165, 160, 94,  83,  106, 168, 174, 163, 160, 158, 150, 95,  84,  82,  148, 152, 23,
    159, 95,  148, 146, 10,  18,  119, 75,  204, 41,  78,  5,   138, 23,  103, 36,  22,  164, 2,
    249, 26,  70,  58,  10,  198, 58,  10,  38,  154, 58,  10,  181, 10,  228, 1,   46,  6,   70,
    38,  102, 22,  86,  54,  118, 14,  78,  46,  110, 30,  94,  62,  126, 1,   65,  33,  97,  17,
    81,  49,  113, 0,   80,  75,  3,   4,   20,  0,   0,   0,   8,   0,   0,   0,   33,  0,   103,
    222, 255, 104, 74,  0,   0,   0,   144, 0,   0,   0,   10,  0,   20,  0,   108, 97,  98,  101,
    108, 115, 46,  110, 112, 121, 1,   0,   16,  0,   144, 0,   0,   0,   0,   0,   0,   0,   74,
    0,   0,   0,   0,   0,   0,   0,   155, 236, 23,  234, 27,  16,  201, 200, 80,  198, 80,  173,
    158, 146, 90,  156, 92,  164, 110, 165, 160, 110, 147, 105, 161, 174, 163, 160, 158, 150, 95,
    84,  82,  148, 152, 23,  159, 95,  148, 146, 10,  18,  119, 75,  204, 41,  78,  5,   138, 23,
    103, 36,  22,  164, 2,   249, 26,  70,  58,  154, 58,  10,  181, 10,  20,  0,   46,  102, 6,
    8,   248, 15,  5,   0,   80,  75,  1,   2,   20,  3,   20,  0,   0,   0,   8,   0,   0,   0,
    33,  0,   68,  173, 87,  130, 97,  0,   0,   0,   152, 0,   0,   0,   9,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   128, 1,   0,   0,   0,   0,   97,  114, 114, 95,  48,  46,
    110, 112, 121, 80,  75,  1,   2,   20,  3,   20,  0,   0,   0,   8,   0,   0,   0,   33,  0,
    103, 222, 255, 104, 74,  0,   0,   0,   144, 0,   0,   0,   10,  0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   128, 1,   156, 0,   0,   0,   108, 97,  98,  101, 108, 115, 46,  110,
    112, 121, 80,  75,  5,   6,   0,   0,   0,   0,   2,   0,   2,   0,   111, 0,   0,   0,   34,
    1,   0,   0,   0,   0};

static char *folder;
static char path[FILE_PATH];

static int make_folder(void **state)
{
    (void)state;
    Err err;
    folder = test_temp_folder();
    return !file_path(path, &err, "%s/file", folder);
}

static int remove_folder(void **state)
{
    (void)state;
    test_remove_folder(folder);
    return 0;
}

static void put_file(const void *bytes, size_t size)
{
    Err err;
    if (!file_write_whole(path, bytes, size, &err)) fail_msg("%s", err.text);
}

static void assert_same(const Array *a, const Array *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->ndim, b->ndim);
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->data, b->data, a->count * array_type_size(a->type));
}

/* Every type, and every number of dimensions, with sides that need one to six digits. */
static void what_is_written_is_read(void **state)
{
    (void)state;
    static const size_t shapes[][ARRAY_MAX_DIMS] = {{0},    {100003},     {3, 1234},
                                                    {0, 7}, {2, 3, 4, 5}, {1, 2, 1, 2, 1, 2}};
    static const int ndims[] = {0, 1, 2, 2, 4, 6};
    for (int type = ARRAY_U8; type <= ARRAY_I64; type++)
        for (size_t i = 0; i < sizeof ndims / sizeof *ndims; i++) {
            Err err;
            Array a, b;
            assert_true(array_init(&a, (ArrayType)type, ndims[i], shapes[i], "a", &err));
            unsigned char *bytes = a.data;
            for (size_t j = 0; j < a.count * array_type_size(a.type); j++)
                bytes[j] = (unsigned char)(j * 37 + 1);
            if (!npy_write(path, &a, &err) || !npy_read(&b, path, &err)) fail_msg("%s", err.text);
            assert_same(&a, &b);
            assert_int_equal((uintptr_t)b.data % 64, 0);
            array_release(&a), array_release(&b);
        }
}

static void the_file_is_what_numpy_would_write(void **state)
{
    (void)state;
    static const char start[] = "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, "
                                "'shape': (2, 3), }";
    Err err;
    unsigned char *bytes;
    size_t size;
    float values[] = {0, 1, 2, 3, 4, 5};
    Array a = {ARRAY_F32, 2, {2, 3}, 6, values};
    assert_true(npy_write(path, &a, &err));
    assert_true(file_read(&bytes, &size, path, 1000, &err));
    assert_int_equal(size, 128 + sizeof values);
    assert_memory_equal(bytes, start, sizeof start - 1);
    for (size_t i = sizeof start - 1; i < 127; i++) assert_int_equal(bytes[i], ' ');
    assert_int_equal(bytes[127], '\n');
    assert_memory_equal(bytes + 128, values, sizeof values);
    free(bytes);
}

/* Whether a file of this version, dictionary and as many bytes of data is read; else the message
 * names the file and holds `says`. */
static bool accepted(int version, const char *header, size_t data_size, const char *says)
{
    unsigned char bytes[512] = "\x93NUMPY";
    size_t length = strlen(header), at = version == 1 ? 10 : 12;
    Err err = {0};
    Array array;
    bytes[6] = (unsigned char)version;
    bytes[8] = (unsigned char)length;
    memcpy(bytes + at, header, length);
    put_file(bytes, at + length + data_size);
    if (npy_read(&array, path, &err)) {
        array_release(&array);
        return true;
    }
    assert_int_equal(err.kind, ERR_DATA);
    assert_null(array.data);
    if (!strstr(err.text, path) || !strstr(err.text, says))
        fail_msg("%s\n  says: %s\n  not: %s", header, err.text, says);
    return false;
}

static void legal_headers_are_read(void **state)
{
    (void)state;
    assert_true(accepted(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", 12, ""));
    assert_true(accepted(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", 12, ""));
    assert_true(accepted(1, "{\"shape\":(3,4),\"descr\":\"<i8\",\"fortran_order\":False}", 96, ""));
    assert_true(accepted(1, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}   \n", 1, ""));
    assert_true(accepted(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (9,0)}", 0, ""));
}

static void every_wrong_header_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"", "no dictionary"},
        {"()", "no dictionary"},
        {"{}", "lacks a key"},
        {"{'descr'}", "no dictionary"},
        {"{'descr': '<f4', 'fortran_order': False}", "lacks a key"},
        {"{'descr': '<f4', 'shape': (3,)}", "lacks a key"},
        {"{'fortran_order': False, 'shape': (3,)}", "lacks a key"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}", "Fortran order"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}", "order is not said"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (3,)}", ">f4"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}", "<c8"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "|O"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "no simple one"},
        {"{'descr': '<f4, 'fortran_order': False, 'shape': (3,)}", "<f4, "},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "one twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}", "wrong key"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [3]}", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3}", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", "no whole number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3.0,)}", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (x,)}", "no whole number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551619,)}",
         "no whole number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296)}", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,3)}", "6 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", "takes 16 bytes, but 12"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "takes 8 bytes, but 12"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} {}", "more behind"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)", "no dictionary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (accepted(1, cases[i].header, 12, cases[i].says)) fail_msg("read: %s", cases[i].header);
    assert_false(accepted(3, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 12, "3.0"));
}

static void too_much_is_refused(void **state)
{
    (void)state;
    Err err;
    Array array;
    const size_t shape[] = {SIZE_MAX / 2, 3};
    assert_false(array_init(&array, ARRAY_U8, 2, shape, "the images", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "the images: the product of its sides overflows"));
    /* a header of 65536 bytes, all there */
    unsigned char *bytes = calloc(12 + 65536, 1);
    memcpy(bytes, "\x93NUMPY\x02\x00\x00\x00\x01\x00", 12);
    put_file(bytes, 12 + 65536);
    assert_false(npy_read(&array, path, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "its header has 65536 bytes"));
    free(bytes);
}

static void a_cut_or_changed_file_does_no_harm(void **state)
{
    (void)state;
    Err err;
    Array array;
    unsigned char *bytes;
    size_t size;
    float values[] = {0, 1, 2, 3, 4, 5};
    Array a = {ARRAY_F32, 2, {2, 3}, 6, values};
    assert_true(npy_write(path, &a, &err));
    assert_true(file_read(&bytes, &size, path, 1000, &err));
    for (size_t cut = 0; cut < size; cut++) {
        put_file(bytes, cut);
        assert_false(npy_read(&array, path, &err));
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, path));
    }
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (unsigned char)(1 << bit);
            put_file(bytes, size);
            if (npy_read(&array, path, &err)) array_release(&array);
            bytes[at] ^= (unsigned char)(1 << bit);
        }
    bytes[126] = 0; /* among the spaces behind the dictionary */
    put_file(bytes, size);
    assert_false(npy_read(&array, path, &err));
    bytes[8] = bytes[9] = 0xff; /* a header longer than the file, and than can be read */
    put_file(bytes, size);
    assert_false(npy_read(&array, path, &err));
    free(bytes);
    assert_false(npy_read(&array, "tests/none.npy", &err));
    assert_non_null(strstr(err.text, "tests/none.npy"));
}

static void numpy_s_npz_is_read(void **state)
{
    (void)state;
    Err err;
    Array array;
    put_file(numpy_npz, sizeof numpy_npz);
    if (!npy_read(&array, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(array.type, ARRAY_U8);
    assert_int_equal(array.ndim, 3);
    assert_int_equal(array.shape[2], 4);
    for (int i = 0; i < 24; i++) assert_int_equal(((unsigned char *)array.data)[i], i);
    array_release(&array);
    if (!npz_read(&array, path, "labels", &err)) fail_msg("%s", err.text);
    assert_int_equal(array.type, ARRAY_I64);
    assert_true(((int64_t *)array.data)[0] == 3 && ((int64_t *)array.data)[1] == -1);
    array_release(&array);
    assert_false(npz_read(&array, path, "arr_1", &err));
    assert_non_null(strstr(err.text, "arr_1.npy"));
    assert_int_equal(err.kind, ERR_DATA);
    for (size_t cut = 0; cut < sizeof numpy_npz; cut++) {
        put_file(numpy_npz, cut);
        assert_false(npy_read(&array, path, &err));
    }
}

static void a_written_npz_is_read_and_always_the_same(void **state)
{
    (void)state;
    Err err;
    Array array;
    unsigned char pixels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, *first, *second;
    int64_t classes[] = {7};
    size_t size, again;
    Array a = {ARRAY_U8, 4, {1, 2, 2, 3}, 12, pixels}, b = {ARRAY_I64, 1, {1}, 1, classes};
    const NpzEntry entries[] = {{"arr_0", &a}, {"arr_1", &b}};
    assert_true(npz_write(path, entries, 2, &err));
    assert_true(file_read(&first, &size, path, 10000, &err));
    assert_true(npz_write(path, entries, 2, &err));
    assert_true(file_read(&second, &again, path, 10000, &err));
    assert_int_equal(size, again);
    assert_memory_equal(first, second, size);
    assert_true(npy_read(&array, path, &err));
    assert_same(&array, &a);
    array_release(&array);
    assert_true(npz_read(&array, path, "arr_1", &err));
    assert_same(&array, &b);
    array_release(&array);
    free(first), free(second);
    assert_false(npz_write("tests/none/x.npz", entries, 2, &err));
    assert_false(npy_write("tests/none/x.npy", &a, &err));
    assert_int_equal(err.kind, ERR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_file_is_what_numpy_would_write),
        cmocka_unit_test(legal_headers_are_read),
        cmocka_unit_test(every_wrong_header_is_refused),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(a_cut_or_changed_file_does_no_harm),
        cmocka_unit_test(numpy_s_npz_is_read),
        cmocka_unit_test(a_written_npz_is_read_and_always_the_same),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
