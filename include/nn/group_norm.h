/*
 * Group normalisation (Wu & He 2018), with SiLU and dropout behind it if asked for:
 *
 *     y = f(gamma[c] (x - mean[n,g]) / sqrt(var[n,g] + eps) + beta[c]),  f = identity or SiLU
 *
 * mean and (biased) variance over the pixels and channels of group g of image n. The input may be
 * a concatenation [a | b] of channels that is never written down: groups may straddle its border.
 * The backward pass works from x and the statistics; y is recomputed, not kept.
 */
#ifndef DDPM_NN_GROUP_NORM_H
#define DDPM_NN_GROUP_NORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int n, pixels; /* images, and h w of each */
    int c_a, c_b;  /* channels of a and of b; c_b is 0 where there is no b */
    int groups;    /* divides c_a + c_b */
    float eps;
    bool silu;
} GroupNormDims;

typedef struct {
    const float *a; /* [n,pixels,c_a] */
    const float *b; /* [n,pixels,c_b] or NULL */
} GroupNormInput;

typedef struct {
    const float *gamma, *beta; /* [c_a+c_b] */
    const uint32_t *mask;      /* of y's elements, by dropout_draw (nn/pointwise.h); or NULL */
    float mask_scale;          /* dropout_scale */
} GroupNormParams;

/* Floats of scratch for any function below; doubles are kept in it too, so 8-byte aligned. */
size_t group_norm_scratch(const GroupNormDims *d);

/* stats [n,groups,2]: mean and 1/sqrt(var + eps), summed in double. y [n,pixels,c_a+c_b]. */
void group_norm_forward(float *y, float *stats, GroupNormInput x, GroupNormParams p,
                        const GroupNormDims *d, float *scratch);

/* y from x and its statistics: what group_norm_forward wrote. */
void group_norm_apply(float *y, GroupNormInput x, const float *stats, GroupNormParams p,
                      const GroupNormDims *d, float *scratch);

/* da, db: the gradients of a and b, overwritten, or added to where `accumulate` says so for it
 * (db NULL where c_b is 0). da gets add_a [n,pixels,c_a] added, if that is not NULL: the gradient
 * of a residual. dgamma, dbeta += . da may be a. */
typedef struct {
    float *da, *db;
    bool accumulate_a, accumulate_b;
    const float *add_a;
    float *dgamma, *dbeta;
} GroupNormGrads;

/* `dy`, the gradient of y, is overwritten. y, if it is not NULL, is made again on the way, for who
 * needs it for the gradient of what came next: once its sigmoid is known it costs little. */
void group_norm_backward(GroupNormGrads out, float *y, float *dy, GroupNormInput x,
                         const float *stats, GroupNormParams p, const GroupNormDims *d,
                         float *scratch);

#endif
