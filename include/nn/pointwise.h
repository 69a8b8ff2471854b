/*
 * What works on each element, or moves elements: SiLU, dropout, nearest-neighbour doubling, sums.
 */
#ifndef DDPM_NN_POINTWISE_H
#define DDPM_NN_POINTWISE_H

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>

/* y = x sigmoid(x). y may be x. */
void silu_forward(float *y, const float *x, size_t n);
/* dx = dy (s + x s (1 - s)), s = sigmoid(x). dx may be dy. */
void silu_backward(float *dx, const float *dy, const float *x, size_t n);

/* y += x. */
void add_forward(float *y, const float *x, size_t n);

/* x [n,size], in place: each element is zeroed with probability `rate`, else times 1/(1-rate).
 * Image i of the batch draws from `key` with image = first_position + i, so that micro-batches
 * draw what the whole batch would. The backward pass is the same call on the gradient. */
void dropout_apply(float *x, int n, size_t size, float rate, RngKey key);

/* y [n,2h,2w,c] = x [n,h,w,c], each pixel four times. */
void upsample_forward(float *y, const float *x, int n, int h, int w, int c);
/* dx [n,h,w,c] = the sums of the four pixels of dy [n,2h,2w,c]; added to dx if `accumulate`. */
void upsample_backward(float *dx, const float *dy, bool accumulate, int n, int h, int w, int c);

/* sums[i,c] = the sum over pixels of x[i,p,c]: the gradient of what is added to whole images.
 * In double, in fixed order. */
void image_sums(float *sums, const float *x, int n, int pixels, int c);

#endif
