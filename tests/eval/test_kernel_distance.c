#include "eval/kernel_distance.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "support.h"

#include <math.h>

static KernelDistance measure(const Features *a, const Features *b, uint64_t seed)
{
    KernelDistance k;
    Err err;
    memset(&k, 0x55, sizeof k);
    if (!kernel_distance(&k, a, b, seed, &err)) fail_msg("%s", err.text);
    return k;
}

/* Normals of that mean and deviation. */
static Features normals(int count, int dim, float mean, float deviation, uint32_t seed)
{
    Features f = {test_normals((size_t)count * (size_t)dim, seed), count, dim};
    for (int i = 0; i < count * dim; i++) f.rows[i] = mean + deviation * f.rows[i];
    return f;
}

/* In one dimension E k(x, y) = sum over p of binomial(3, p) E x^p E y^p, so the distance is
 * sum binomial(3, p) (E a^p - E b^p)^2; of normals E x^2 = m^2 + s^2, E x^3 = m^3 + 3 m s^2. */
static void normals_are_as_far_apart_as_their_moments_say(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    Features a = normals(COUNT, 1, 0, 1, 1), b = normals(COUNT, 1, 0.3f, 1.2f, 2);
    double first = 0.3, second = 0.09 + 1.44 - 1, third = 0.027 + 3 * 0.3 * 1.44;
    KernelDistance k = measure(&a, &b, 0);
    assert_int_equal(k.rows, 1000);
    assert_int_equal(k.blocks, 20);
    assert_close(k.distance, 3 * first * first + 3 * second * second + third * third, 4 * k.error);
    assert_in_range((int64_t)(1000 * k.error), 10, 300);
    free(a.rows), free(b.rows);
}

/* Unbiased: of one kind it is 0, also of few rows, and its error is the scatter of the mean. */
static void sets_of_one_kind_are_at_zero(void **state)
{
    (void)state;
    enum { TIMES = 40 };
    double sum = 0, squares = 0, variance = 0;
    for (uint32_t i = 0; i < TIMES; i++) {
        Features a = normals(60, 5, 0, 1, 100 + i), b = normals(90, 5, 0, 1, 200 + i);
        KernelDistance k = measure(&a, &b, 0);
        assert_int_equal(k.rows, 6);
        assert_int_equal(k.blocks, 10);
        sum += k.distance, squares += k.distance * k.distance, variance += k.error * k.error;
        free(a.rows), free(b.rows);
    }
    double scatter = sqrt((squares - sum * sum / TIMES) / (TIMES - 1));
    assert_close(sum / TIMES, 0, 4 * scatter / sqrt(TIMES));
    assert_close(sqrt(variance / TIMES) / scatter, 1, 0.35);
}

static double kernel(const float *x, const float *y, int dim)
{
    double k = test_dot(x, y, (size_t)dim) / dim + 1;
    return k * k * k;
}

/* Three rows are one block, whatever their order: the formula, pair by pair. */
static void one_block_is_the_formula(void **state)
{
    (void)state;
    enum { N = 3, DIM = 4 };
    Features a = normals(N, DIM, 0, 1, 1), b = normals(N, DIM, 0.5f, 2, 2);
    double sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            const float *x = a.rows + i * DIM, *y = b.rows + j * DIM;
            if (i != j)
                sum += (kernel(x, a.rows + j * DIM, DIM) + kernel(b.rows + i * DIM, y, DIM)) /
                       (N * (N - 1));
            sum -= 2 * kernel(x, y, DIM) / (N * N);
        }
    KernelDistance k = measure(&a, &b, 9);
    assert_int_equal(k.blocks, 1);
    assert_close(k.distance, sum, 1e-4 * fabs(sum));
    assert_true(isnan(k.error));
    free(a.rows), free(b.rows);
}

/* The sums of cubes of features about 100 differ by 1e-7 of themselves, of those about 10,000 by
 * 1e-11. What is left is compared with the same in long double; the rows are in whatever order. */
static void features_far_from_zero_keep_their_digits(void **state)
{
    (void)state;
    enum { N = 3, DIM = 8 };
    for (float offset = 100; offset < 20000; offset *= 100) {
        Features a = normals(N, DIM, offset, 1, 1), b = normals(N, DIM, offset, 1, 2);
        long double sum = 0;
        for (int i = 0; i < 2 * N; i++)
            for (int j = 0; j < 2 * N; j++) {
                const float *x = (i < N ? a.rows : b.rows) + i % N * DIM;
                const float *y = (j < N ? a.rows : b.rows) + j % N * DIM;
                bool own = i / N == j / N;
                long double product = 0;
                for (int d = 0; d < DIM; d++) product += (long double)x[d] * y[d];
                long double k = product / DIM + 1, weight = own ? N * (N - 1) : -N * N;
                sum += own && i == j ? 0 : k * k * k / weight;
            }
        KernelDistance k = measure(&a, &b, 0);
        assert_close(k.distance, (double)sum, 1e-3 * fabs((double)sum));
        free(a.rows), free(b.rows);
    }
}

/* Sets that lie in order, as a data set of classes does, are shuffled: blocks are alike. */
static void the_order_of_the_rows_does_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    Features a = normals(COUNT, 2, 0, 0.1f, 1), b = normals(COUNT, 2, 0, 0.1f, 2);
    for (int i = 0; i < 2 * COUNT; i++)
        a.rows[i] += (float)i / COUNT, b.rows[i] += (float)i / COUNT;
    KernelDistance k = measure(&a, &b, 1), other = measure(&a, &b, 2);
    assert_close(k.distance, 0, 4 * k.error);
    assert_true(other.distance != k.distance);
    free(a.rows), free(b.rows);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    Features a = normals(500, 65, 0, 1, 1), b = normals(600, 65, 0.1f, 1, 2);
    parallel_setup(1);
    KernelDistance one = measure(&a, &b, 0);
    parallel_setup(3);
    KernelDistance three = measure(&a, &b, 0);
    assert_true(one.distance == three.distance);
    assert_true(one.error == three.error);
    free(a.rows), free(b.rows);
}

static void one_row_is_refused(void **state)
{
    (void)state;
    Features a = normals(1, 2, 0, 1, 1), b = normals(9, 2, 0, 1, 1);
    KernelDistance k;
    Err err;
    assert_false(kernel_distance(&k, &a, &b, 0, &err));
    assert_int_equal(err.kind, ERR_DATA);
    free(a.rows), free(b.rows);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normals_are_as_far_apart_as_their_moments_say),
        cmocka_unit_test(sets_of_one_kind_are_at_zero),
        cmocka_unit_test(one_block_is_the_formula),
        cmocka_unit_test(features_far_from_zero_keep_their_digits),
        cmocka_unit_test(the_order_of_the_rows_does_not_matter),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(one_row_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
