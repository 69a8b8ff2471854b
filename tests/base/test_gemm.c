#include "base/gemm.h"
#include "base/parallel.h"
#include "support.h"

/* C = op(A) op(B) + beta C in double, one term after the other. */
static void reference(float *c, const float *a, const float *b, Gemm g)
{
    for (int i = 0; i < g.m; i++)
        for (int j = 0; j < g.n; j++) {
            double sum = 0;
            for (int k = 0; k < g.k; k++)
                sum += (double)a[g.trans_a ? k * g.lda + i : i * g.lda + k] *
                       (double)b[g.trans_b ? j * g.ldb + k : k * g.ldb + j];
            float *at = c + i * g.ldc + j;
            *at = (float)((double)g.alpha * sum + (g.beta != 0.0f ? (double)(g.beta * *at) : 0.0));
        }
}

static void one_case(int m, int n, int k, int trans, float beta)
{
    Gemm g = gemm_dims(m, n, k, trans & 1, trans & 2, beta);
    size_t size = (size_t)m * (size_t)n;
    float *a = test_normals((size_t)m * (size_t)k, 1), *b = test_normals((size_t)k * (size_t)n, 2);
    float *expected = beta != 0.0f ? test_normals(size, 3) : test_floats(size);
    float *c = beta != 0.0f ? test_normals(size, 3) : test_floats(size);
    reference(expected, a, b, g);
    gemm_parallel(c, a, b, g);
    assert_arrays_close(c, expected, size, 1e-5, 0);
    free(a), free(b), free(c), free(expected);
}

static void products_equal_a_plain_loop(void **state)
{
    (void)state;
    static const int sizes[][3] = {
        {1, 1, 1}, {3, 5, 7}, {70, 130, 33}, {257, 65, 129}, {600, 9, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int trans = 0; trans < 4; trans++)
            for (int accumulate = 0; accumulate < 2; accumulate++)
                one_case(sizes[i][0], sizes[i][1], sizes[i][2], trans, (float)accumulate);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    enum { M = 301, N = 203, K = 77 };
    float *a = test_normals(M * K, 1), *b = test_normals(K * N, 2);
    float *first = test_floats(M * N), *other = test_floats(M * N);
    parallel_setup(1);
    gemm_parallel(first, a, b, gemm_dims(M, N, K, false, false, 0));
    for (int threads = 2; threads <= 4; threads++) {
        parallel_setup(threads);
        gemm_parallel(other, a, b, gemm_dims(M, N, K, false, false, 0));
        assert_memory_equal(first, other, sizeof *first * M * N);
    }
    free(a), free(b), free(first), free(other);
}

/* Whole numbers whose products floats could not hold: exact. */
static void products_in_double_are_exact(void **state)
{
    (void)state;
    enum { M = 130, N = 67, K = 33 };
    static double a[M * K], b[N * K], c[M * N];
    for (int i = 0; i < M * K; i++) a[i] = 1e6 + i * 7919 % 10007;
    for (int i = 0; i < N * K; i++) b[i] = i * 104729 % 10007 - 5000;
    for (int i = 0; i < M * N; i++) c[i] = i;
    gemm_parallel_double(c, a, b, gemm_dims(M, N, K, false, true, 1));
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = i * N + j;
            for (int k = 0; k < K; k++) sum += a[i * K + k] * b[j * K + k];
            assert_close(c[i * N + j], sum, 0);
        }
}

static void new_processors_do_not_get_the_oldest_kernels(void **state)
{
    (void)state;
    assert_non_null(gemm_core_name());
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        assert_string_not_equal(gemm_core_name(), "Prescott");
#endif
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_a_plain_loop),
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(products_in_double_are_exact),
        cmocka_unit_test(new_processors_do_not_get_the_oldest_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
