#include "base/gemm.h"

#include "base/whole.h"

#include <assert.h>
#include <cblas.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

Gemm gemm_dims(int m, int n, int k, bool trans_a, bool trans_b, float beta)
{
    return (Gemm){.m = m,
                  .n = n,
                  .k = k,
                  .lda = trans_a ? m : k,
                  .ldb = trans_b ? k : n,
                  .ldc = n,
                  .trans_a = trans_a,
                  .trans_b = trans_b,
                  .alpha = 1.0f,
                  .beta = beta};
}

void gemm(float *c, const float *a, const float *b, Gemm g)
{
    assert(g.m > 0 && g.n > 0 && g.k > 0);
    cblas_sgemm(CblasRowMajor, g.trans_a ? CblasTrans : CblasNoTrans,
                g.trans_b ? CblasTrans : CblasNoTrans, g.m, g.n, g.k, g.alpha, a, g.lda, b, g.ldb,
                g.beta, c, g.ldc);
}

/* Rows or columns in a block: `limit` if the product is large, fewer while that leaves under eight
 * blocks, down to 64, below which a block is too small for the kernels of BLAS to run well. */
static void block_size(int *rows, int *columns, Gemm g)
{
    *rows = 512, *columns = 512;
    while (*rows > 64 || *columns > 64) {
        long blocks = (long)((g.m + *rows - 1) / *rows) * ((g.n + *columns - 1) / *columns);
        if (blocks >= 8) return;
        if (*rows > 64 && (whole_min(*rows, g.m) >= whole_min(*columns, g.n) || *columns == 64))
            *rows /= 2;
        else
            *columns /= 2;
    }
}

/* A block of the product: where its rows and columns begin, and its dims. */
typedef struct {
    size_t a, b, c;
    Gemm dims;
} Block;

static Block block_at(int block, int across, int rows, int columns, Gemm g)
{
    int i = block / across * rows, j = block % across * columns;
    Block at = {.a = g.trans_a ? (size_t)i : (size_t)i * (size_t)g.lda,
                .b = g.trans_b ? (size_t)j * (size_t)g.ldb : (size_t)j,
                .c = (size_t)i * (size_t)g.ldc + (size_t)j,
                .dims = g};
    at.dims.m = whole_min(rows, g.m - i);
    at.dims.n = whole_min(columns, g.n - j);
    return at;
}

void gemm_parallel(float *c, const float *a, const float *b, Gemm g)
{
    int rows, columns;
    block_size(&rows, &columns, g);
    int across = (g.n + columns - 1) / columns, down = (g.m + rows - 1) / rows;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < across * down; i++) {
        Block at = block_at(i, across, rows, columns, g);
        gemm(c + at.c, a + at.a, b + at.b, at.dims);
    }
}

void gemm_parallel_double(double *c, const double *a, const double *b, Gemm g)
{
    int rows, columns;
    block_size(&rows, &columns, g);
    int across = (g.n + columns - 1) / columns, down = (g.m + rows - 1) / rows;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < across * down; i++) {
        Block at = block_at(i, across, rows, columns, g);
        cblas_dgemm(CblasRowMajor, g.trans_a ? CblasTrans : CblasNoTrans,
                    g.trans_b ? CblasTrans : CblasNoTrans, at.dims.m, at.dims.n, g.k,
                    (double)g.alpha, a + at.a, g.lda, b + at.b, g.ldb, (double)g.beta, c + at.c,
                    g.ldc);
    }
}

/* Of a library that chooses its kernels as it starts; absent (NULL) from others. */
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));

/* On a processor newer than itself OpenBLAS falls back to kernels of 2004 ("Prescott"), which are
 * five times slower than those for AVX-512: choose by what the processor can do, unless the user
 * has chosen, and have the library choose again. */
static void leave_the_fallback(void)
{
#if defined(__x86_64__)
    const char *core = NULL;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) core = "Haswell";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        core = "SkylakeX";
    if (!core || !gotoblas_dynamic_quit || !gotoblas_dynamic_init) return;
    if (strcmp(openblas_get_corename(), "Prescott") != 0 || getenv("OPENBLAS_CORETYPE")) return;
    setenv("OPENBLAS_CORETYPE", core, 0);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
#endif
}

void gemm_setup(void)
{
    leave_the_fallback();
    openblas_set_num_threads(1);
}

const char *gemm_core_name(void)
{
    return openblas_get_corename();
}
