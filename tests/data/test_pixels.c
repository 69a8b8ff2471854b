#include "data/pixels.h"
#include "support.h"

#include <math.h>

static void bytes_become_numbers_from_minus_one_to_one(void **state)
{
    (void)state;
    uint8_t bytes[256], back[256];
    float *x = test_floats(256);
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    pixels_to_floats(x, bytes, 256);
    for (int i = 0; i < 256; i++) assert_close((double)x[i], i / 127.5 - 1.0, 1e-6);
    assert_true(x[0] == -1.0f && x[255] == 1.0f);
    memset(back, 99, sizeof back);
    pixels_to_bytes(back, x, 256);
    assert_memory_equal(back, bytes, sizeof bytes);
    free(x);
}

static void numbers_are_rounded_and_clamped(void **state)
{
    (void)state;
    const float x[] = {0.0f,     -1.0f,     1.0f, 1.5f,    -7.0f,   1e30f,  -1e30f,
                       INFINITY, -INFINITY, NAN,  -0.997f, -0.996f, 0.9961f};
    const uint8_t expected[] = {128, 0, 255, 255, 0, 255, 0, 255, 0, 0, 0, 1, 255};
    uint8_t bytes[sizeof expected];
    memset(bytes, 99, sizeof bytes);
    pixels_to_bytes(bytes, x, sizeof expected);
    for (size_t i = 0; i < sizeof expected; i++) assert_int_equal(bytes[i], expected[i]);
}

static void mirroring_reverses_columns_and_keeps_channels(void **state)
{
    (void)state;
    const uint8_t bytes[2 * 3 * 2] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const uint8_t expected[2 * 3 * 2] = {4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7};
    float *x = test_floats(12), *y = test_floats(12);
    pixels_to_floats_mirrored(x, bytes, 2, 3, 2);
    pixels_to_floats(y, expected, 12);
    assert_arrays_close(x, y, 12, 0, 0);
    free(x), free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_numbers_from_minus_one_to_one),
        cmocka_unit_test(numbers_are_rounded_and_clamped),
        cmocka_unit_test(mirroring_reverses_columns_and_keeps_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
