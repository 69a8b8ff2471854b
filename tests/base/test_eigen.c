#include "base/eigen.h"

#include "base/gemm.h"
#include "support.h"

#include <dlfcn.h>
#include <math.h>

/* LAPACK's own routine stands behind this one, which can say that it did not converge: on a finite
 * matrix, nobody has seen that happen. */
static bool converges = true;
typedef void Routine(const char *, const char *, const int *, double *, const int *, double *,
                     double *, const int *, int *, const int *, int *, size_t, size_t);
Routine dsyevd_;
void dsyevd_(const char *job, const char *triangle, const int *n, double *matrix, const int *stride,
             double *values, double *work, const int *size, int *whole, const int *whole_size,
             int *info, size_t job_length, size_t triangle_length)
{
    void *symbol = dlsym(RTLD_NEXT, "dsyevd_");
    Routine *next;
    memcpy(&next, &symbol, sizeof next); /* ISO C has no cast from one to the other */
    next(job, triangle, n, matrix, stride, values, work, size, whole, whole_size, info, job_length,
         triangle_length);
    if (!converges && *size != -1) *info = 1;
}

static void solve(double *values, double *matrix, int n, bool vectors)
{
    Err err;
    for (int i = 0; i < n; i++) values[i] = (double)NAN;
    if (!eigen_symmetric(values, matrix, n, vectors, &err)) fail_msg("%s", err.text);
}

/* The second difference with ends held: 2 - 2 cos(k pi / (n + 1)), vectors sin(i k pi / (n + 1)).
 */
static void the_vibrating_string_is_solved(void **state)
{
    (void)state;
    enum { N = 40 };
    static double matrix[N * N], values[N], only[N];
    for (int times = 0; times < 2; times++) {
        memset(matrix, 0, sizeof matrix);
        for (int i = 0; i < N; i++) {
            matrix[i * N + i] = 2;
            if (i > 0) matrix[i * N + i - 1] = matrix[(i - 1) * N + i] = -1;
        }
        solve(times ? only : values, matrix, N, times == 0);
        for (int k = 0; times == 0 && k < N; k++) {
            double scale = sqrt(2.0 / (N + 1)), angle = (k + 1) * M_PI / (N + 1);
            double sign = matrix[k * N] < 0 ? -1 : 1;
            assert_close(values[k], 2 - 2 * cos(angle), 1e-13);
            for (int i = 0; i < N; i++)
                assert_close(sign * matrix[k * N + i], scale * sin((i + 1) * angle), 1e-12);
        }
    }
    for (int k = 0; k < N; k++) assert_close(only[k], values[k], 1e-13);
}

/* V^T diag(values) V is the matrix again, and V V^T = 1, with eigenvalues of either sign. */
static void a_random_matrix_is_put_together_again(void **state)
{
    (void)state;
    enum { N = 67 };
    static double matrix[N * N], vectors[N * N], values[N];
    float *x = test_normals(N * N, 3);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            vectors[i * N + j] = matrix[i * N + j] = (double)(x[i * N + j] + x[j * N + i]);
    solve(values, vectors, N, true);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0, product = 0;
            for (int k = 0; k < N; k++) {
                sum += values[k] * vectors[k * N + i] * vectors[k * N + j];
                product += vectors[i * N + k] * vectors[j * N + k];
            }
            assert_close(sum, matrix[i * N + j], 1e-12);
            assert_close(product, i == j, 1e-13);
            assert_true(i == 0 || values[i] >= values[i - 1]);
        }
    free(x);
}

static void a_single_number_is_its_own_eigenvalue(void **state)
{
    (void)state;
    double matrix = -3, value;
    solve(&value, &matrix, 1, true);
    assert_close(value, -3, 0);
    assert_close(fabs(matrix), 1, 0);
}

static void no_convergence_is_an_error(void **state)
{
    (void)state;
    double matrix[] = {2, 1, 1, 3}, values[2];
    Err err;
    converges = false;
    assert_false(eigen_symmetric(values, matrix, 2, true, &err));
    converges = true;
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "a matrix of 2 rows do not converge"));
}

int main(void)
{
    gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vibrating_string_is_solved),
        cmocka_unit_test(a_random_matrix_is_put_together_again),
        cmocka_unit_test(a_single_number_is_its_own_eigenvalue),
        cmocka_unit_test(no_convergence_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
