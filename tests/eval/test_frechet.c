#include "eval/frechet.h"

#include "base/parallel.h"
#include "support.h"

#include <math.h>

static double distance(int dim, const double *mean_a, const double *a, const double *mean_b,
                       const double *b)
{
    /* read only */
    Gaussian first = {dim, (double *)(uintptr_t)mean_a, (double *)(uintptr_t)a};
    Gaussian second = {dim, (double *)(uintptr_t)mean_b, (double *)(uintptr_t)b};
    double d = (double)NAN;
    Err err;
    if (!frechet_distance(&d, &first, &second, &err)) fail_msg("%s", err.text);
    return d;
}

/* Where both are diagonal, tr(A + B - 2 (AB)^(1/2)) = sum (sqrt(a_i) - sqrt(b_i))^2. */
static void diagonal_covariances(void **state)
{
    (void)state;
    static const double a[] = {4, 0, 0, 0, 9, 0, 0, 0, 0}, b[] = {1, 0, 0, 0, 25, 0, 0, 0, 16};
    static const double mean_a[] = {1, 2, 3}, mean_b[] = {1, 0, 6};
    assert_close(distance(3, mean_a, a, mean_b, b), 4 + 9 + 1 + 4 + 16, 1e-12);
    assert_close(distance(3, mean_b, b, mean_a, a), 4 + 9 + 1 + 4 + 16, 1e-12);
    assert_close(distance(3, mean_a, b, mean_a, b), 0, 1e-12);
}

/* Of 2 x 2 matrices, (tr (AB)^(1/2))^2 = tr(AB) + 2 sqrt(det A det B). */
static void covariances_that_do_not_commute(void **state)
{
    (void)state;
    static const double a[] = {5, 2, 2, 3}, b[] = {2, -1, -1, 7}, mean[2] = {0, 0};
    double product = 5 * 2 + 2 * -1 + 2 * -1 + 3 * 7;
    double trace = sqrt(product + 2 * sqrt((5 * 3 - 2 * 2) * (2 * 7 - 1)));
    assert_close(distance(2, mean, a, mean, b), 5 + 3 + 2 + 7 - 2 * trace, 1e-12);
}

/* u u^T and v v^T: the root has the trace |u.v|. Against itself, and against another. */
static void singular_covariances(void **state)
{
    (void)state;
    enum { N = 50 };
    static double a[N * N], b[N * N], mean[N];
    float *u = test_normals(N, 1), *v = test_normals(N, 2);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i * N + j] = (double)u[i] * (double)u[j];
            b[i * N + j] = (double)v[i] * (double)v[j];
        }
    double expected = test_dot(u, u, N) + test_dot(v, v, N) - 2 * fabs(test_dot(u, v, N));
    assert_close(distance(N, mean, a, mean, b), expected, 1e-10);
    assert_close(distance(N, mean, a, mean, a), 0, 1e-10);
    memset(b, 0, sizeof b);
    assert_close(distance(N, mean, a, mean, b), test_dot(u, u, N), 1e-10);
    free(u), free(v);
}

/* Whole numbers made by formulas; the distance is that of scipy 1.10's linalg.sqrtm of the product
 * of numpy's covariances. */
static void features_give_what_scipy_gives(void **state)
{
    (void)state;
    enum { ROWS = 12, DIM = 5 };
    Features a, b;
    Gaussian first, second;
    double d;
    assert_true(features_new(&a, ROWS, DIM, &(Err){0}));
    assert_true(features_new(&b, ROWS, DIM, &(Err){0}));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < DIM; j++) {
            a.rows[i * DIM + j] = (float)((i * 7 + j * j * 3) % 11);
            b.rows[i * DIM + j] = (float)((i * i + j * 5 + i * j) % 13);
        }
    assert_true(gaussian_of(&first, &a, &(Err){0}));
    assert_true(gaussian_of(&second, &b, &(Err){0}));
    assert_true(frechet_distance(&d, &first, &second, &(Err){0}));
    assert_close(d, 31.660340396507564, 1e-10);
    gaussian_release(&first), gaussian_release(&second);
    features_release(&a), features_release(&b);
}

/* More rows than a block of them, against plain sums; offsets large enough to show a sum of squares
 * that is not centred. */
static void means_and_covariances(void **state)
{
    (void)state;
    enum { ROWS = 1300, DIM = 7 };
    Features f;
    Gaussian g;
    assert_true(features_new(&f, ROWS, DIM, &(Err){0}));
    float *x = test_normals(ROWS * DIM, 4);
    for (int i = 0; i < ROWS * DIM; i++) f.rows[i] = 1000.0f + x[i] * (float)(1 + i % DIM);
    assert_true(gaussian_of(&g, &f, &(Err){0}));
    for (int i = 0; i < DIM; i++) {
        double sum = 0;
        for (int k = 0; k < ROWS; k++) sum += (double)f.rows[k * DIM + i];
        assert_close(g.mean[i], sum / ROWS, 1e-9);
    }
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j < DIM; j++) {
            double sum = 0;
            for (int k = 0; k < ROWS; k++)
                sum += ((double)f.rows[k * DIM + i] - g.mean[i]) *
                       ((double)f.rows[k * DIM + j] - g.mean[j]);
            assert_close(g.covariance[i * DIM + j], sum / (ROWS - 1), 1e-9);
        }
    free(x), gaussian_release(&g), features_release(&f);
}

static Gaussian normals_gaussian(int rows, int dim, uint32_t seed)
{
    Gaussian g;
    float *x = test_normals((size_t)rows * (size_t)dim, seed);
    assert_true(gaussian_of(&g, &(Features){x, rows, dim}, &(Err){0}));
    free(x);
    return g;
}

/* Fewer rows than dimensions, as small sets have: no NaN, 0 against itself, and the same bits for
 * any number of threads. */
static void few_rows_and_any_threads(void **state)
{
    (void)state;
    enum { DIM = 100 };
    double first = (double)NAN, again = (double)NAN, own = (double)NAN;
    parallel_setup(1);
    Gaussian a = normals_gaussian(30, DIM, 1), b = normals_gaussian(40, DIM, 2);
    assert_true(frechet_distance(&first, &a, &b, &(Err){0}));
    assert_true(frechet_distance(&own, &a, &a, &(Err){0}));
    assert_close(own, 0, 1e-9);
    assert_in_range(first, 50, 200);
    gaussian_release(&a), gaussian_release(&b);
    parallel_setup(3);
    a = normals_gaussian(30, DIM, 1), b = normals_gaussian(40, DIM, 2);
    assert_true(frechet_distance(&again, &a, &b, &(Err){0}));
    assert_true(first == again);
    gaussian_release(&a), gaussian_release(&b);
}

static void one_row_is_refused(void **state)
{
    (void)state;
    float row[3] = {1, 2, 3};
    Gaussian g;
    Err err;
    assert_false(gaussian_of(&g, &(Features){row, 1, 3}, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_null(g.mean);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diagonal_covariances),  cmocka_unit_test(covariances_that_do_not_commute),
        cmocka_unit_test(singular_covariances),  cmocka_unit_test(features_give_what_scipy_gives),
        cmocka_unit_test(means_and_covariances), cmocka_unit_test(few_rows_and_any_threads),
        cmocka_unit_test(one_row_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
