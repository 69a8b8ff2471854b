#include "model/safetensors.h"

#include "base/file.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* A safetensors file of this header and `data_size` zero bytes. */
static void make_file(const char *path, const char *header, size_t header_size, size_t data_size)
{
    Err err;
    FileWriter writer;
    char *zeros = calloc(data_size + 1, 1);
    uint64_t length = header_size;
    bool good = file_create(&writer, path, &err) && file_write(&writer, &length, 8, &err) &&
                file_write(&writer, header, header_size, &err) &&
                file_write(&writer, zeros, data_size, &err) && file_commit(&writer, &err);
    if (!good) fail_msg("%s", err.text);
    free(zeros);
}

/* Whether the file is taken; if not, the message names it and holds `part`. */
static bool accepted(const char *header, size_t data_size, const char *part)
{
    char *folder = test_temp_folder(), path[FILE_PATH];
    Err err = {0};
    Safetensors file;
    assert_true(file_path(path, &err, "%s/x.safetensors", folder));
    make_file(path, header, strlen(header), data_size);
    bool good = safetensors_read(&file, path, &err);
    if (good) {
        safetensors_release(&file);
    } else {
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, path) || !strstr(err.text, part))
            fail_msg("%s\n  says: %s\n  not: %s", header, err.text, part);
        assert_null(file.list);
    }
    test_remove_folder(folder);
    return good;
}

static void every_wrong_header_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"", "too early"},
        {"[]", "not a JSON object"},
        {"{", "column 2"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", "header"},
        {"{\"a\":7}", "\"a\": is not an object"},
        {"{}", "end at byte 0 of 8"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "\"dtype\" is missing"},
        {"{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", "\"dtype\" is missing"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "\"F33\" is not known"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "\"shape\" is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "\"shape\" is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "a side of"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", "a side of"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,8]}}", "a side of"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", "a side of"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
         "8 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}",
         "product of \"shape\" overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483648,2147483649],\"data_offsets\":[0,8]}}",
         "size in bytes overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "\"data_offsets\" is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "list of two"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", "list of two"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "two whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "two whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0.5,8.5]}}",
         "two whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", "8 bytes of data"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551624]}}",
         "two whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", "span 8 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "hole after byte 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "end at byte 4 of 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "\"b\" begins at byte 4 of the data, before byte 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "\"a\" is there twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
         "unknown key \"x\""},
        {"{\"__metadata__\":[],\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "is not an object"},
        {"{\"__metadata__\":{\"k\":1},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "\"k\" is not a string"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}x", "more behind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (accepted(cases[i].header, 8, cases[i].says)) fail_msg("taken: %s", cases[i].header);
}

static void legal_rarities_are_taken(void **state)
{
    (void)state;
    assert_true(accepted("{}", 0, ""));
    assert_true(accepted("{}     ", 0, ""));
    assert_true(accepted("{\"__metadata__\":{}}", 0, ""));
    assert_true(accepted("{\"a\":{\"shape\":[],\"data_offsets\":[0,8],\"dtype\":\"F64\"}}", 8, ""));
    assert_true(accepted("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                         "\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[8,8]},"
                         "\"d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                         8, ""));
}

/* --- What the tests below write --- */

enum { TENSORS = 5 };
static const TensorSpec specs[TENSORS] = {
    {"second \"quoted\" \xc3\xa9", TENSOR_F32, 3, {2, 3, 4}},
    {"a.first", TENSOR_U8, 1, {5}},
    {"scalar", TENSOR_F64, 0, {0}},
    {"empty", TENSOR_I64, 2, {0, 7}},
    {"wide", TENSOR_I64, 1, {3}},
};
static const SafetensorsText texts[] = {{"format", "pt"}, {"note", "two\nlines"}};

static void fill(void *context, size_t index, void *out)
{
    size_t *calls = context;
    assert_int_equal(*calls, index);
    assert_int_equal((uintptr_t)out % 64, 0);
    ++*calls;
    float *floats = out;
    if (index == 0)
        for (int i = 0; i < 24; i++) floats[i] = (float)i - 0.5f;
    if (index == 1) memcpy(out, "\1\2\3\4\377", 5);
    if (index == 2) *(double *)out = 0.1;
    if (index == 4) memcpy(out, (int64_t[]){1, -1, INT64_MAX}, 24);
}

static void write_example(const char *path)
{
    Err err;
    size_t calls = 0;
    SafetensorsPlan plan = {.list = specs,
                            .count = TENSORS,
                            .metadata = texts,
                            .metadata_count = 2,
                            .fill = fill,
                            .context = &calls};
    if (!safetensors_write(path, &plan, &err)) fail_msg("%s", err.text);
    assert_int_equal(calls, TENSORS);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), path[FILE_PATH];
    Err err;
    Safetensors file;
    assert_true(file_path(path, &err, "%s/x.safetensors", folder));
    write_example(path);
    if (!safetensors_read(&file, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(file.count, TENSORS);
    for (int i = 0; i < TENSORS; i++) {
        const Tensor *t = safetensors_find(&file, specs[i].name);
        assert_non_null(t);
        assert_int_equal(t->type, specs[i].type);
        assert_int_equal(t->ndim, specs[i].ndim);
        assert_memory_equal(t->shape, specs[i].shape, sizeof t->shape);
        if (i > 0) assert_true(strcmp(file.list[i - 1].name, file.list[i].name) < 0);
    }
    float floats[24];
    tensor_to_floats(floats, safetensors_find(&file, specs[0].name));
    for (int i = 0; i < 24; i++) assert_close((double)floats[i], i - 0.5, 0);
    tensor_to_floats(floats, safetensors_find(&file, "scalar"));
    assert_close((double)floats[0], (double)0.1f, 0);
    assert_memory_equal(safetensors_find(&file, "a.first")->data, "\1\2\3\4\377", 5);
    const int64_t whole[] = {1, -1, INT64_MAX};
    assert_memory_equal(safetensors_find(&file, "wide")->data, whole, 24);
    assert_null(safetensors_find(&file, "a.firs"));
    assert_string_equal(safetensors_metadata(&file, "note"), "two\nlines");
    assert_null(safetensors_metadata(&file, "none"));
    safetensors_release(&file);
    test_remove_folder(folder);
}

static void the_data_starts_at_64_bytes(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), path[FILE_PATH];
    Err err;
    unsigned char *bytes;
    size_t size;
    assert_true(file_path(path, &err, "%s/x.safetensors", folder));
    write_example(path);
    assert_true(file_read(&bytes, &size, path, 1 << 20, &err));
    uint64_t length;
    memcpy(&length, bytes, 8);
    assert_int_equal((8 + length) % 64, 0);
    assert_int_equal(size, 8 + length + 24 * 4 + 5 + 8 + 24);
    assert_memory_equal(bytes + 8 + length, ((float[]){-0.5f, 0.5f}), 8);
    FileList list;
    assert_true(file_list(&list, folder, &err));
    assert_int_equal(list.count, 1); /* no temporary file left */
    file_list_release(&list);
    free(bytes);
    test_remove_folder(folder);
}

/* A file cut at any byte is refused; one with any header byte changed is refused or read, but never
 * read out of bounds (what the sanitizers see). */
static void cut_and_changed_files_do_no_harm(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), path[FILE_PATH];
    Err err;
    unsigned char *bytes;
    size_t size;
    Safetensors file;
    assert_true(file_path(path, &err, "%s/x.safetensors", folder));
    write_example(path);
    assert_true(file_read(&bytes, &size, path, 1 << 20, &err));
    for (size_t cut = 0; cut < size; cut++) {
        assert_true(file_write_whole(path, bytes, cut, &err));
        assert_false(safetensors_read(&file, path, &err));
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, path));
    }
    for (size_t at = 0; at < size; at++) {
        unsigned char kept = bytes[at];
        bytes[at] = (unsigned char)(kept + 1 + at % 255);
        assert_true(file_write_whole(path, bytes, size, &err));
        bytes[at] = kept;
        if (!safetensors_read(&file, path, &err)) continue;
        float floats[64];
        for (size_t i = 0; i < file.count; i++)
            if (tensor_is_real(&file.list[i])) tensor_to_floats(floats, &file.list[i]);
        safetensors_release(&file);
    }
    free(bytes);
    test_remove_folder(folder);
}

/* A hundred thousand names and more: sorting takes a moment, comparing all pairs would take
 * minutes. */
static void a_long_header_takes_no_quadratic_time(void **state)
{
    (void)state;
    enum { NAMES = 140000, ENTRY = 80 };
    char *folder = test_temp_folder(), path[FILE_PATH], *header = malloc(NAMES * ENTRY + 2);
    size_t length = 0;
    Err err;
    for (int i = 0; i < NAMES; i++)
        length += (size_t)sprintf(header + length,
                                  "%c\"%06d\":{\"dtype\":\"U8\",\"shape\":[1],"
                                  "\"data_offsets\":[%d,%d]}",
                                  i ? ',' : '{', (i * 7919) % NAMES, i, i + 1);
    length += (size_t)sprintf(header + length, "}");
    assert_true(file_path(path, &err, "%s/x.safetensors", folder));
    make_file(path, header, length, NAMES);
    Safetensors file;
    clock_t start = clock();
    if (!safetensors_read(&file, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(file.count, NAMES);
    assert_non_null(safetensors_find(&file, "123456"));
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 10);
    safetensors_release(&file);
    free(header);
    test_remove_folder(folder);
}

/* Of a file with a hole for a header: larger than is allowed, though the file has as much. */
static void a_header_has_a_largest_size(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), path[FILE_PATH];
    Err err;
    Safetensors file;
    uint64_t length = 100000001;
    assert_true(file_path(path, &err, "%s/x.safetensors", folder));
    assert_true(file_write_whole(path, &length, sizeof length, &err));
    assert_int_equal(truncate(path, 100000100), 0);
    assert_false(safetensors_read(&file, path, &err));
    assert_non_null(strstr(err.text, "100,000,000"));
    length = 100000093;
    assert_true(file_write_whole(path, &length, sizeof length, &err));
    assert_false(safetensors_read(&file, path, &err));
    assert_non_null(strstr(err.text, "100000093"));
    test_remove_folder(folder);
}

static void narrow_floats_are_widened(void **state)
{
    (void)state;
    const uint16_t half[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0400,
                             0x0001, 0x83ff, 0x7c00, 0xfc00, 0x7e00, 0x3555};
    const double expected[] = {0,       0,          1,        -2,        65504, 0x1p-14,
                               0x1p-24, -0x3ffp-24, HUGE_VAL, -HUGE_VAL, NAN,   0x1.554p-2};
    float out[12];
    tensor_to_floats(out, &(Tensor){.type = TENSOR_F16, .count = 12, .bytes = 24, .data = half});
    for (int i = 0; i < 12; i++)
        assert_true(i == 10 ? isnan(out[i]) : (double)out[i] == expected[i]);
    assert_true(signbit(out[1]) && !signbit(out[0]));
    const uint16_t brain[] = {0x3f80, 0xc049, 0x0001, 0x7f80};
    tensor_to_floats(out, &(Tensor){.type = TENSOR_BF16, .count = 4, .bytes = 8, .data = brain});
    assert_true((double)out[0] == 1 && (double)out[1] == -3.140625);
    assert_true((double)out[2] == 0x1p-133 && isinf(out[3]));
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    Err err;
    Safetensors file;
    assert_false(safetensors_read(&file, "tests/fixtures/none.safetensors", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "none.safetensors"));
    assert_false(safetensors_read(&file, "tests", &err));
    assert_non_null(strstr(err.text, "folder"));
    SafetensorsPlan empty = {0};
    assert_false(safetensors_write("tests/none/x.safetensors", &empty, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "tests/none/x.safetensors"));
}

static void fixtures_are_read(void **state)
{
    (void)state;
    Safetensors layers = test_fixture("layers"), steps = test_fixture("train_steps");
    size_t count;
    float *x = test_fixture_floats(&layers, &count, "%s.x", "conv3x3_odd");
    assert_int_equal(count, 2 * 5 * 6 * 9);
    float *nhwc = test_nchw_to_nhwc(x, 2, 5, 6, 9), *back = test_nhwc_to_nchw(nhwc, 2, 5, 6, 9);
    assert_close((double)nhwc[((1 * 6 + 2) * 9 + 3) * 5 + 4],
                 (double)x[((1 * 5 + 4) * 6 + 2) * 9 + 3], 0);
    assert_memory_equal(x, back, count * sizeof *x);
    double *loss = test_fixture_doubles(&steps, &count, "step0.loss");
    int *t = test_fixture_whole(&layers, NULL, "timestep_embedding_32.t");
    assert_int_equal(count, 1);
    assert_true(loss[0] > 0 && loss[0] < 10);
    assert_int_equal(t[4], 999);
    assert_true(test_fixture_has(&layers, "conv1x1.y") && !test_fixture_has(&layers, "conv1x1.z"));
    free(x), free(nhwc), free(back), free(loss), free(t);
    safetensors_release(&layers), safetensors_release(&steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wrong_header_is_refused),
        cmocka_unit_test(legal_rarities_are_taken),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_data_starts_at_64_bytes),
        cmocka_unit_test(cut_and_changed_files_do_no_harm),
        cmocka_unit_test(a_long_header_takes_no_quadratic_time),
        cmocka_unit_test(a_header_has_a_largest_size),
        cmocka_unit_test(narrow_floats_are_widened),
        cmocka_unit_test(wrong_files_are_named),
        cmocka_unit_test(fixtures_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
