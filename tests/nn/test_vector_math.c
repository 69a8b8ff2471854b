#include "nn/vector_math.h"

#include "support.h"

#include <math.h>

/* Distance in units in the last place of `expected`, the smallest normal's below that. */
static double ulps(float actual, double expected)
{
    float size = fmaxf((float)fabs(expected), 0x1p-126f);
    return fabs((double)actual - expected) / (double)(nextafterf(size, INFINITY) - size);
}

/* Every float from `low` to `high` would take minutes: every 997th does. */
static void exp_agrees_with_libm(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t bits = 0; bits < 0x42B17217u; bits += 997) /* up to 88.72 */
        for (int sign = -1; sign <= 1; sign += 2) {
            float x;
            memcpy(&x, &bits, sizeof x);
            x = sign < 0 ? -x : x;
            worst = fmax(worst, ulps(vector_exp(x), exp((double)x)));
        }
    assert_close(worst, 0, 2.0);
}

static void exp_at_the_ends(void **state)
{
    (void)state;
    assert_true(vector_exp(0.0f) == 1.0f);
    assert_true(vector_exp(-INFINITY) == 0.0f);
    assert_true(vector_exp(-200.0f) == 0.0f);
    assert_true(vector_exp(INFINITY) == INFINITY);
    assert_true(vector_exp(88.8f) == INFINITY);
    assert_true(isfinite(vector_exp(88.7f)));
    assert_true(vector_exp(-100.0f) > 0.0f);
    assert_true(isnan(vector_exp(NAN)));
    assert_true(isnan(vector_exp(-NAN)));
}

static void sigmoid_agrees_with_libm(void **state)
{
    (void)state;
    for (double x = -80; x <= 80; x += 0.0137)
        assert_close(ulps(vector_sigmoid((float)x), 1 / (1 + exp(-(double)(float)x))), 0, 4.0);
    assert_close((double)vector_sigmoid(-INFINITY), 0, 2e-38);
    assert_close((double)vector_sigmoid(-1e30f), 0, 2e-38);
    assert_true(vector_sigmoid(INFINITY) == 1.0f);
    assert_true(vector_sigmoid(0.0f) == 0.5f && vector_sigmoid(-0.0f) == 0.5f);
    assert_true(isnan(NAN * vector_sigmoid(NAN)));
    assert_true(isnan(vector_silu_slope(NAN, vector_sigmoid(NAN))));
}

/* In a loop the compiler makes vectors of it: the same bits, infinities and NaN included. */
static void vectors_equal_scalars(void **state)
{
    (void)state;
    enum { N = 1003 };
    float *x = test_normals(N, 1), *y = test_floats(N);
    for (int i = 0; i < N; i++) x[i] *= 40.0f;
    x[5] = NAN, x[17] = INFINITY, x[18] = -INFINITY, x[40] = -103.5f;
#pragma omp simd
    for (int i = 0; i < N; i++) y[i] = vector_exp(x[i]);
    for (int i = 0; i < N; i++) {
        float alone = vector_exp(x[i]);
        assert_true(isnan(x[i]) ? isnan(y[i]) : y[i] == alone);
    }
#pragma omp simd
    for (int i = 0; i < N; i++) y[i] = vector_sigmoid(x[i]);
    for (int i = 0; i < N; i++) assert_true(y[i] == vector_sigmoid(x[i]));
    free(x), free(y);
}

static void row_sums(void **state)
{
    (void)state;
    enum { ROWS = 53, STRIDE = 29, COLUMNS = 21 };
    float *x = test_normals(ROWS * STRIDE, 1);
    double sums[COLUMNS];
    for (size_t j = 0; j < COLUMNS; j++) sums[j] = (double)j;
    vector_row_sums(sums, x, ROWS, STRIDE, COLUMNS);
    for (size_t j = 0; j < COLUMNS; j++) {
        double expected = (double)j;
        for (size_t i = 0; i < ROWS; i++) expected += (double)x[i * STRIDE + j];
        assert_close(sums[j], expected, 1e-5);
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_agrees_with_libm),
        cmocka_unit_test(exp_at_the_ends),
        cmocka_unit_test(sigmoid_agrees_with_libm),
        cmocka_unit_test(vectors_equal_scalars),
        cmocka_unit_test(row_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
