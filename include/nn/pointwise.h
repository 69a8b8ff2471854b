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

/*
 * Dropout is drawn once a step, as a bit for each element, for both passes. Element e of an image
 * is zeroed where half (e / 16) % 2 (0: the low one) of word 16 (e / 32) + e % 16 of the image's
 * stream is below round(65536 rate), at most 65535; else it is multiplied by dropout_scale(rate),
 * the reciprocal of the share that so stays. Image i of the batch draws from `key` with
 * image = first_position + i, so that micro-batches draw what the whole batch would.
 */
float dropout_scale(float rate);
/* Words of the bits of an image of `size` elements. */
size_t dropout_words(size_t size);
/* mask [n,dropout_words(size)]: bit e % 32 of an image's word e / 32 is 1 where element e stays. */
void dropout_draw(uint32_t *mask, int n, size_t size, float rate, RngKey key);
/* x, in place: elements [start, start + n) of an image, whose bits `mask` is. The backward pass is
 * the same call on the gradient. On the calling thread. */
void dropout_apply(float *x, const uint32_t *mask, size_t start, size_t n, float scale);

/* y [n,2h,2w,c] = x [n,h,w,c], each pixel four times. */
void upsample_forward(float *y, const float *x, int n, int h, int w, int c);
/* dx [n,h,w,c] = the sums of the four pixels of dy [n,2h,2w,c]; added to dx if `accumulate`. */
void upsample_backward(float *dx, const float *dy, bool accumulate, int n, int h, int w, int c);

/* sums[i,c] = the sum over pixels of x[i,p,c]: the gradient of what is added to whole images.
 * In double, in fixed order. */
void image_sums(float *sums, const float *x, int n, int pixels, int c);

#endif
