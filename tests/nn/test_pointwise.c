#include "nn/pointwise.h"

#include "base/parallel.h"
#include "gradient.h"
#include "support.h"

#include <math.h>

static void silu_reference(double *y, double *const *input, const void *dims)
{
    for (size_t i = 0; i < *(const size_t *)dims; i++) y[i] = input[0][i] / (1 + exp(-input[0][i]));
}

static void silu_value_and_gradient(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 15, 1003};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k];
        float *x = test_normals(n, 1), *dy = test_normals(n, 2);
        float *y = test_floats(n), *dx = test_floats(n);
        for (size_t i = 0; i < n; i++) x[i] *= 4.0f;
        GradientCase c = {.forward = silu_reference, .dims = &n, .dy = dy, .outputs = n};
        gradient_input(&c, 0, x, n);
        silu_forward(y, x, n), silu_backward(dx, dy, x, n);
        float *expected = gradient_reference(&c);
        assert_arrays_close(y, expected, n, 1e-6, 0);
        assert_gradient(&c, 0, dx);
        silu_backward(dy, dy, x, n), silu_forward(x, x, n); /* in place */
        assert_memory_equal(x, y, n * sizeof *x);
        assert_memory_equal(dy, dx, n * sizeof *x);
        free(x), free(dy), free(y), free(dx), free(expected), gradient_release(&c);
    }
}

static void silu_far_out(void **state)
{
    (void)state;
    float x[] = {-1e4f, -100.0f, 100.0f, 1e4f}, y[4], slope[4], ones[] = {1, 1, 1, 1};
    silu_forward(y, x, 4), silu_backward(slope, ones, x, 4);
    for (int i = 0; i < 4; i++) {
        assert_close((double)y[i], x[i] > 0 ? (double)x[i] : 0, 1e-30);
        assert_close((double)slope[i], x[i] > 0, 1e-30);
    }
}

static void add(void **state)
{
    (void)state;
    enum { N = 20003 };
    float *x = test_normals(N, 1), *y = test_normals(N, 2), *before = test_normals(N, 2);
    add_forward(y, x, N);
    for (size_t i = 0; i < N; i++) assert_true(y[i] == before[i] + x[i]);
    free(x), free(y), free(before);
}

static const RngKey drop_key = {
    .seed = 7, .image = 3, .step = 11, .stream = RNG_DROPOUT, .part = 2};

static float *ones(size_t n)
{
    float *x = test_floats(n);
    for (size_t i = 0; i < n; i++) x[i] = 1.0f;
    return x;
}

/* All of x [n,size], its bits drawn for it. */
static void drop_all(float *x, int n, size_t size, float rate, RngKey key)
{
    size_t words = dropout_words(size);
    uint32_t *mask = (uint32_t *)test_floats((size_t)n * words);
    dropout_draw(mask, n, size, rate, key);
    for (size_t i = 0; i < (size_t)n; i++)
        dropout_apply(x + i * size, mask + i * words, 0, size, dropout_scale(rate));
    free(mask);
}

/* The share that is dropped within 4 standard deviations of the rate, the rest scaled so that the
 * mean stays. */
static void dropout_rate_and_scale(void **state)
{
    (void)state;
    static const float rates[] = {0.1f, 0.5f, 0.9f, 0.000015f, 0.999999f};
    static const double shares[] = {6554 / 65536.0, 0.5, 58982 / 65536.0, 1 / 65536.0,
                                    65535 / 65536.0};
    enum { N = 3, SIZE = 400001 };
    for (size_t k = 0; k < 5; k++) {
        double rate = shares[k], dropped = 0;
        float *x = ones(N * SIZE);
        drop_all(x, N, SIZE, rates[k], drop_key);
        for (size_t i = 0; i < N * SIZE; i++) {
            dropped += x[i] == 0.0f;
            assert_close(x[i] == 0.0f ? 0 : (double)x[i] * (1 - rate) - 1, 0, 1e-7);
        }
        assert_close(dropped / (N * SIZE), rate, 4 * sqrt(rate * (1 - rate) / (N * SIZE)));
        free(x);
    }
}

static void dropout_of_rate_zero_changes_nothing(void **state)
{
    (void)state;
    float *x = test_normals(100, 1), *before = test_normals(100, 1);
    drop_all(x, 2, 50, 0.0f, drop_key);
    assert_memory_equal(x, before, 100 * sizeof *x);
    free(x), free(before);
}

/* Element e of an image goes by its half of a word of the image's stream. */
static void dropout_follows_the_stream(void **state)
{
    (void)state;
    enum { N = 2, SIZE = 90001 };
    float *x = ones(N * SIZE);
    uint32_t *words = calloc(SIZE, sizeof *words);
    drop_all(x, N, SIZE, 0.25f, drop_key);
    for (size_t i = 0; i < N; i++) {
        RngKey key = drop_key;
        key.image += (uint32_t)i;
        rng_bits(words, SIZE / 4, 0, key);
        for (size_t e = 0; e < SIZE; e++) {
            uint32_t word = words[e / 32 * 16 + e % 16];
            uint32_t half = e / 16 % 2 ? word >> 16 : word & 0xFFFF;
            assert_int_equal(x[i * SIZE + e] == 0.0f, half < 0x4000u);
        }
    }
    free(x), free(words);
}

/* Any run of an image's elements is dropped as the whole is. */
static void dropout_of_a_part(void **state)
{
    (void)state;
    enum { SIZE = 200 };
    uint32_t mask[SIZE / 32 + 1];
    float *whole = test_normals(SIZE, 1);
    assert_int_equal(dropout_words(SIZE), SIZE / 32 + 1);
    assert_int_equal(dropout_words(192), 6);
    dropout_draw(mask, 1, SIZE, 0.5f, drop_key);
    dropout_apply(whole, mask, 0, SIZE, 2.0f);
    for (size_t start = 0; start < SIZE; start++)
        for (size_t n = 0; start + n <= SIZE; n++) {
            float *part = test_normals(SIZE, 1), *before = test_normals(SIZE, 1);
            dropout_apply(part + start, mask, start, n, 2.0f);
            for (size_t e = 0; e < SIZE; e++)
                assert_true(part[e] == (e >= start && e < start + n ? whole : before)[e]);
            free(part), free(before);
        }
    free(whole);
}

static void dropout_does_not_depend_on_the_split(void **state)
{
    (void)state;
    enum { N = 4, SIZE = 20003 };
    float *whole = test_normals(N * SIZE, 1);
    parallel_setup(1);
    drop_all(whole, N, SIZE, 0.3f, drop_key);
    for (int threads = 1; threads <= 4; threads++) {
        float *batch = test_normals(N * SIZE, 1), *single = test_normals(N * SIZE, 1);
        parallel_setup(threads);
        drop_all(batch, N, SIZE, 0.3f, drop_key);
        for (uint32_t i = 0; i < N; i++) {
            RngKey key = drop_key;
            key.image += i;
            drop_all(single + i * SIZE, 1, SIZE, 0.3f, key);
        }
        assert_memory_equal(batch, whole, N * SIZE * sizeof *whole);
        assert_memory_equal(single, whole, N * SIZE * sizeof *whole);
        free(batch), free(single);
    }
    free(whole);
}

typedef struct {
    size_t n, h, w, c;
} Shape;

static void upsample_reference(double *y, double *const *input, const void *dims)
{
    Shape s = *(const Shape *)dims;
    for (size_t r = 0; r < s.n * 2 * s.h; r++)
        for (size_t j = 0; j < 2 * s.w; j++)
            for (size_t k = 0; k < s.c; k++)
                y[(r * 2 * s.w + j) * s.c + k] = input[0][(r / 2 * s.w + j / 2) * s.c + k];
}

static void check_upsample(Shape s, bool accumulate)
{
    size_t size = s.n * s.h * s.w * s.c;
    float *x = test_normals(size, 1), *dy = test_normals(4 * size, 2);
    float *y = test_floats(4 * size), *dx = test_floats(size);
    GradientCase c = {.forward = upsample_reference, .dims = &s, .dy = dy, .outputs = 4 * size};
    gradient_input(&c, 0, x, size);
    if (accumulate) memcpy(dx, x, size * sizeof *x);
    upsample_forward(y, x, (int)s.n, (int)s.h, (int)s.w, (int)s.c);
    upsample_backward(dx, dy, accumulate, (int)s.n, (int)s.h, (int)s.w, (int)s.c);
    float *expected = gradient_reference(&c);
    assert_memory_equal(y, expected, 4 * size * sizeof *y);
    for (size_t i = 0; i < size && accumulate; i++) dx[i] -= x[i];
    assert_gradient(&c, 0, dx);
    free(x), free(dy), free(y), free(dx), free(expected), gradient_release(&c);
}

static void upsample_value_and_gradient(void **state)
{
    (void)state;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        check_upsample((Shape){1, 1, 1, 1}, accumulate);
        check_upsample((Shape){2, 3, 5, 7}, accumulate);
        check_upsample((Shape){3, 7, 4, 33}, accumulate);
    }
}

static void image_sums_of_odd_shapes(void **state)
{
    (void)state;
    static const Shape shapes[] = {{1, 1, 1, 5}, {3, 5, 7, 33}, {2, 40, 30, 3}, {2, 2, 2, 1100}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        Shape s = shapes[k];
        size_t pixels = s.h * s.w;
        float *x = test_normals(s.n * pixels * s.c, 1);
        float *sums = test_floats(s.n * s.c), *expected = test_floats(s.n * s.c);
        for (size_t i = 0; i < s.n * s.c; i++) {
            double sum = 0;
            for (size_t p = 0; p < pixels; p++)
                sum += (double)x[(i / s.c * pixels + p) * s.c + i % s.c];
            expected[i] = (float)sum;
        }
        image_sums(sums, x, (int)s.n, (int)pixels, (int)s.c);
        assert_arrays_close(sums, expected, s.n * s.c, 1e-6, 0);
        free(x), free(sums), free(expected);
    }
}

enum { N = 5, H = 21, W = 19, C = 37, SIZE = N * H * W * C };

/* All kernels, one after the other, on the same numbers. */
static void all(float *out)
{
    float *x = test_normals(SIZE, 1), *y = test_floats(SIZE), *big = test_floats(4 * SIZE);
    silu_forward(y, x, SIZE), silu_backward(x, y, x, SIZE), add_forward(y, x, SIZE);
    upsample_forward(big, y, N, H, W, C), upsample_backward(x, big, true, N, H, W, C);
    memcpy(out, x, SIZE * sizeof *x);
    image_sums(out + SIZE, x, N, H * W, C);
    free(x), free(y), free(big);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    float *first = test_floats(SIZE + N * C), *other = test_floats(SIZE + N * C);
    parallel_setup(1);
    all(first);
    for (int threads = 2; threads <= 4; threads++) {
        parallel_setup(threads);
        all(other);
        assert_memory_equal(other, first, (SIZE + N * C) * sizeof *first);
    }
    free(first), free(other);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silu_value_and_gradient),
        cmocka_unit_test(silu_far_out),
        cmocka_unit_test(add),
        cmocka_unit_test(dropout_rate_and_scale),
        cmocka_unit_test(dropout_of_rate_zero_changes_nothing),
        cmocka_unit_test(dropout_follows_the_stream),
        cmocka_unit_test(dropout_of_a_part),
        cmocka_unit_test(dropout_does_not_depend_on_the_split),
        cmocka_unit_test(upsample_value_and_gradient),
        cmocka_unit_test(image_sums_of_odd_shapes),
        cmocka_unit_test(threads_do_not_change_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
