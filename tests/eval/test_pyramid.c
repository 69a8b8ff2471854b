#include "eval/pyramid.h"

#include "support.h"

#include <math.h>

static void levels_end_at_16_pixels(void **state)
{
    (void)state;
    assert_int_equal(pyramid_levels(32, 32), 2);
    assert_int_equal(pyramid_levels(28, 28), 1);
    assert_int_equal(pyramid_levels(8, 500), 1);
    assert_int_equal(pyramid_levels(256, 128), 4);
    assert_int_equal(pyramid_levels(31, 31), 2); /* 31 and 16 */
    assert_int_equal(pyramid_levels(30, 31), 1);
    assert_int_equal(pyramid_side(31, 1), 16);
    assert_int_equal(pyramid_side(100, 3), 13);
}

static uint8_t *random_bytes(size_t n, uint32_t seed)
{
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    return bytes;
}

static int mirror(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

/* The filter in two dimensions at once, in double; with `zeros`, x is every other pixel. */
static double filtered(const float *x, int height, int width, int channels, int y, int at, int c,
                       int zeros)
{
    static const double w[5] = {1, 4, 6, 4, 1};
    double sum = 0;
    for (int i = -2; i <= 2; i++)
        for (int j = -2; j <= 2; j++) {
            int p = mirror(y + i, height), q = mirror(at + j, width);
            if (zeros && (p % 2 || q % 2)) continue;
            int line = zeros ? (width + 1) / 2 : width;
            if (zeros) p /= 2, q /= 2;
            sum += w[i + 2] * w[j + 2] / 256 * (double)x[(p * line + q) * channels + c];
        }
    return sum;
}

static void one_size(int height, int width, int channels)
{
    int h = (height + 1) / 2, w = (width + 1) / 2;
    size_t large = (size_t)(height * width * channels), small = (size_t)(h * w * channels);
    float *x = test_normals(large, 1), *y = test_normals(small, 2), *scratch = test_floats(large);
    float *down = test_floats(small), *up = test_floats(large);
    pyramid_down(down, x, height, width, channels, scratch);
    for (size_t i = 0; i < large; i++) scratch[i] = (float)NAN;
    pyramid_up(up, y, height, width, channels, scratch);
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
            for (int c = 0; c < channels; c++)
                assert_close((double)down[(i * w + j) * channels + c],
                             filtered(x, height, width, channels, 2 * i, 2 * j, c, 0), 1e-5);
    for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++)
            for (int c = 0; c < channels; c++)
                assert_close((double)up[(i * width + j) * channels + c],
                             4 * filtered(y, height, width, channels, i, j, c, 1), 1e-5);
    free(x), free(y), free(scratch), free(down), free(up);
}

static void scales_are_those_of_the_filter(void **state)
{
    (void)state;
    one_size(3, 3, 1), one_size(4, 7, 3), one_size(17, 10, 1), one_size(16, 32, 3);
}

/* The last level, enlarged, and the details of each level before make up the image again. */
static void levels_add_up_to_the_image(void **state)
{
    (void)state;
    enum { H = 37, W = 65, C = 3, SIZE = H * W * C };
    uint8_t *image = random_bytes(SIZE, 3);
    float *sum = test_floats(SIZE), *next = test_floats(SIZE), *level = test_floats(SIZE);
    float *scratch = test_floats(3 * SIZE);
    int levels = pyramid_levels(H, W);
    assert_int_equal(levels, 2);
    pyramid_level(sum, levels - 1, image, H, W, C, scratch);
    for (int k = levels - 2; k >= 0; k--) {
        int h = pyramid_side(H, k), w = pyramid_side(W, k);
        pyramid_up(next, sum, h, w, C, scratch);
        pyramid_level(level, k, image, H, W, C, scratch);
        for (int i = 0; i < h * w * C; i++) sum[i] = next[i] + level[i];
    }
    for (int i = 0; i < SIZE; i++) assert_close((double)sum[i], image[i], 1e-3);
    free(image), free(sum), free(next), free(level), free(scratch);
}

/* One grey has no details, and is itself at the last level. */
static void one_grey_has_no_details(void **state)
{
    (void)state;
    enum { SIDE = 64, SIZE = SIDE * SIDE };
    static uint8_t image[SIZE];
    float *level = test_floats(SIZE), *scratch = test_floats(3 * SIZE);
    memset(image, 201, SIZE);
    for (int k = 0; k < 3; k++) {
        int side = SIDE >> k;
        pyramid_level(level, k, image, SIDE, SIDE, 1, scratch);
        for (int i = 0; i < side * side; i++) assert_close((double)level[i], k < 2 ? 0 : 201, 1e-4);
    }
    free(level), free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_end_at_16_pixels),
        cmocka_unit_test(scales_are_those_of_the_filter),
        cmocka_unit_test(levels_add_up_to_the_image),
        cmocka_unit_test(one_grey_has_no_details),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
