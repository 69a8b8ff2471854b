/*
 * Matrix products, C = alpha op(A) op(B) + beta C, on our own micro-kernel: what nn uses in place
 * of BLAS (base/gemm.h), whose rates tests/bench/SPEED.md compares. A is read where it lies,
 * transposed or not; B is copied panel by panel. Nothing is allocated.
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
