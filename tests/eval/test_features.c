#include "eval/features.h"

#include "base/npy.h"
#include "support.h"

#include <math.h>

static void put(const char *path, ArrayType type, int ndim, double first)
{
    const size_t shape[] = {3, 2, 1};
    Array array;
    Err err;
    if (!array_init(&array, type, ndim, shape, "test", &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < array.count; i++) {
        double value = i == 0 ? first : (double)i / 4;
        if (type == ARRAY_F32) ((float *)array.data)[i] = (float)value;
        if (type == ARRAY_F64) ((double *)array.data)[i] = value;
    }
    if (!npy_write(path, &array, &err)) fail_msg("%s", err.text);
    array_release(&array);
}

static void rows_are_read_and_chosen(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "a.npy");
    static const uint32_t index[] = {2, 0};
    for (int times = 0; times < 2; times++) {
        Features f, chosen;
        put(path, times ? ARRAY_F64 : ARRAY_F32, 2, 7);
        assert_true(features_read(&f, path, &(Err){0}));
        assert_int_equal(f.count, 3);
        assert_int_equal(f.dim, 2);
        for (int i = 0; i < 6; i++) assert_close((double)f.rows[i], i ? i / 4.0 : 7, 0);
        assert_true(features_choose(&chosen, &f, index, 2, &(Err){0}));
        assert_int_equal(chosen.count, 2);
        assert_close((double)chosen.rows[0], 1, 0);
        assert_close((double)chosen.rows[2], 7, 0);
        features_release(&f), features_release(&chosen);
    }
    free(path), test_remove_folder(folder);
}

static void other_arrays_are_refused(void **state)
{
    (void)state;
    static const struct {
        ArrayType type;
        int ndim;
        double first;
        const char *words;
    } cases[] = {{ARRAY_U8, 2, 0, "2 dimensions of uint8"},
                 {ARRAY_F32, 3, 0, "one row for each image"},
                 {ARRAY_F32, 2, (double)NAN, "number 0 of row 0 is not finite"},
                 {ARRAY_F64, 2, 1e300, "not finite"}};
    char *folder = test_temp_folder(), *path = test_path(folder, "a.npy");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Features f;
        Err err;
        put(path, cases[i].type, cases[i].ndim, cases[i].first);
        assert_false(features_read(&f, path, &err));
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, cases[i].words));
        assert_null(f.rows);
    }
    free(path), test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_and_chosen),
        cmocka_unit_test(other_arrays_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
