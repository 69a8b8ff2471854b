/*
 * What the two passes of group norm are made of: an image in chunks, a chunk in rows, and what rows
 * hold. Private to nn/group_norm.c and nn/group_norm_backward.c; how and why is said in the first.
 */
#ifndef DDPM_NN_GROUP_NORM_ROWS_H
#define DDPM_NN_GROUP_NORM_ROWS_H

#include "nn/group_norm.h"

typedef struct {
    size_t n, pixels, c, groups;
    size_t chunk, chunks; /* pixels in a chunk, chunks in an image */
    size_t fold, width;   /* pixels in a row, floats in a row */
    bool share_images;    /* whether threads share images, else each has its own */
    bool threads;         /* worth more than one */
} NormExtent;

/* The pixels of one task, a chunk of the batch; `start` counts from the batch's first pixel. */
typedef struct {
    size_t image, start, count;
} NormSpan;

/* One side of the concatenation: its pixels have c channels, the first of which is the channel
 * `offset` of the whole. `from` and `add` are what its gradient starts from, NULL for nothing. */
typedef struct {
    const float *x;
    size_t c, offset;
    float *dx;
    const float *from, *add;
} NormPart;

/* Scratch: for each image NORM_SUMS rows of c doubles and NORM_COEFFICIENTS rows of `width` floats,
 * the same for all its pixels; for each chunk of the batch NORM_MOMENTS rows of `width` floats. The
 * mean is subtracted first rather than folded into beta: their difference would cancel where the
 * mean is large. */
enum { NORM_SUMS = 2, NORM_MOMENTS = 3 };
enum {
    NORM_MEAN,  /* of the channel's group */
    NORM_SCALE, /* gamma / sqrt(var + eps) */
    NORM_BETA,  /* z = scale (x - mean) + beta, y = f(z) */
    NORM_PULL,  /* backward: dx = scale dz - pull - pull_x (x - mean) */
    NORM_PULL_X,
    NORM_COEFFICIENTS
};

/* A call: arguments and scratch. */
typedef struct {
    NormExtent e;
    const GroupNormDims *d;
    GroupNormParams p;
    NormPart part[2];
    int parts;
    const float *stats;
    float *new_stats; /* where the statistics are made */
    float *y, *dy;
    double *sums;
    float *coefficients, *moments;
} NormJob;

/* What is done to each image: something to all of it, to each chunk, and so again. Any is NULL
 * where there is nothing to do. */
typedef void NormChunkwise(const NormJob *j, size_t task);
typedef void NormImagewise(const NormJob *j, size_t image);
typedef struct {
    NormImagewise *before;
    NormChunkwise *first;
    NormImagewise *between;
    NormChunkwise *second;
} NormPasses;

static inline size_t norm_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The job on `x`; what else it needs, the caller fills in. */
NormJob norm_job(GroupNormInput x, const GroupNormDims *d, float *scratch);
void norm_each_image(const NormPasses *passes, const NormJob *j);

NormSpan norm_span(const NormExtent *e, size_t task);
double *norm_sums(const NormJob *j, size_t image);
float *norm_coefficients(const NormJob *j, size_t image);
float *norm_moments(const NormJob *j, size_t task);

/* The first c floats of a row become the sums over its pixels; they are repeated for its other
 * pixels. */
void norm_fold_row(float *row, size_t c, size_t fold);
void norm_repeat_row(float *row, size_t c, size_t fold);

/* Mean, scale and beta of an image from its statistics. */
void norm_spread_statistics(const NormJob *j, size_t image);
/* Dropout, if there is any, on a chunk of y or of its gradient. */
void norm_drop(float *y, const NormJob *j, NormSpan span);

#endif
