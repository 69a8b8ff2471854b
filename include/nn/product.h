/*
 * Matrix products, C = alpha op(A) op(B) + beta C: on our own micro-kernel, or on BLAS
 * (base/gemm.h) where that is the faster; tests/bench/SPEED.md compares their rates. The kernel
 * reads A where it lies, transposed or not, and copies B panel by panel. Nothing is allocated.
 */
#ifndef DDPM_NN_PRODUCT_H
#define DDPM_NN_PRODUCT_H

#include "base/gemm.h"

/* On the calling thread alone. m, n, k > 0; beta is 0, which overwrites C whatever it held (NaN
 * too), or 1. `start` [n] is added to each row unless it is NULL. C aliases nothing that is read.
 */
void product(float *c, const float *a, const float *b, const float *start, Gemm g);

/* The same, by all threads, in blocks fixed by the shape: the bits do not depend on their number. A
 * long sum over k is made in parts on the stack. Not inside a parallel region. */
void product_parallel(float *c, const float *a, const float *b, const float *start, Gemm g);

#endif
