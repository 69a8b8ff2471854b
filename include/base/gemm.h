/*
 * Matrix products, C = alpha op(A) op(B) + beta C, row-major, on OpenBLAS.
 *
 * OpenBLAS's bits depend on its own number of threads and on where M or N is split, so it runs
 * with one thread inside each of ours, and gemm_parallel splits C in the same places whatever the
 * number of threads.
 */
#ifndef DDPM_BASE_GEMM_H
#define DDPM_BASE_GEMM_H

#include <stdbool.h>

typedef struct {
    int m, n, k;       /* C is [m,n], op(A) [m,k], op(B) [k,n] */
    int lda, ldb, ldc; /* row strides of A, B, C as they are stored */
    bool trans_a, trans_b;
    float alpha, beta;
} Gemm;

/* Contiguous operands, alpha 1: C [m,n] = op(A) op(B) + beta C. */
Gemm gemm_dims(int m, int n, int k, bool trans_a, bool trans_b, float beta);

/* On the calling thread alone; may be called inside a parallel region. m, n, k > 0. With beta 0, C
 * is overwritten, whatever it held (NaN too). C aliases neither A nor B. */
void gemm(float *c, const float *a, const float *b, Gemm g);

/* The same, by all threads, in blocks fixed by the shape. Not inside a parallel region. */
void gemm_parallel(float *c, const float *a, const float *b, Gemm g);

/* The same in double, for statistics. */
void gemm_parallel_double(double *c, const double *a, const double *b, Gemm g);

/* One BLAS thread from here on, and kernels made for this processor where the library, not knowing
 * it, took its oldest. Before any other thread uses BLAS. */
void gemm_setup(void);

/* The name of the processor that BLAS's kernels were chosen for: bits differ between them. */
const char *gemm_core_name(void);

#endif
