/*
 * Everything runs over chunks of pixels of one image, a few thousand floats each, small enough to
 * stay in the first cache, with the channels innermost: groups of 2 or 4 channels are too narrow to
 * vectorise over. Where there are few channels, the pixels of a chunk are taken `fold` at a time as
 * one row, whose coefficients are repeated: a loop over 32 floats is mostly its own beginning and
 * end, and a sum over pixels waits for itself. Sums are taken per channel, in float inside a chunk
 * and in double across chunks, and only then per group, so that it does not matter which side of a
 * concatenation a group is on.
 *
 * An image's second pass follows its first, while the second cache still holds it; only where there
 * are fewer images than threads do the threads share an image.
 *
 * The second moment is taken about each chunk's own mean: the sum of squares about zero would lose
 * the variance of data whose mean is far from zero.
 */
#include "nn/group_norm_rows.h"

#include "base/parallel.h"
#include "nn/pointwise.h"
#include "nn/vector_math.h"

#include <assert.h>
#include <math.h>

enum { CHUNK_FLOATS = 8192, CHUNK_MIN = 8, CHUNK_MAX = 64, ROW_FLOATS = 256 };

static size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static NormExtent extent(const GroupNormDims *d)
{
    assert(d->groups > 0 && (d->c_a + d->c_b) % d->groups == 0);
    NormExtent e = {.n = (size_t)d->n,
                    .pixels = (size_t)d->pixels,
                    .c = (size_t)(d->c_a + d->c_b),
                    .groups = (size_t)d->groups};
    e.chunk = size_max(CHUNK_MIN, norm_min(CHUNK_MAX, CHUNK_FLOATS / e.c));
    e.chunks = (e.pixels + e.chunk - 1) / e.chunk;
    e.fold = d->c_b > 0 ? 1 : norm_min(e.chunk, size_max(1, ROW_FLOATS / e.c));
    e.width = e.fold * e.c;
    e.share_images = d->n < parallel_threads();
    e.threads = e.n * e.pixels * e.c >= VECTOR_PARALLEL_MIN;
    return e;
}

static size_t chunk_count(const NormExtent *e, size_t chunk)
{
    return norm_min(e->chunk, e->pixels - chunk * e->chunk);
}

NormSpan norm_span(const NormExtent *e, size_t task)
{
    size_t image = task / e->chunks, chunk = task % e->chunks;
    return (NormSpan){image, image * e->pixels + chunk * e->chunk, chunk_count(e, chunk)};
}

size_t group_norm_scratch(const GroupNormDims *d)
{
    NormExtent e = extent(d);
    return e.n * (NORM_SUMS * 2 * e.c + (NORM_COEFFICIENTS + NORM_MOMENTS * e.chunks) * e.width);
}

NormJob norm_job(GroupNormInput x, const GroupNormDims *d, float *scratch)
{
    NormJob j = {.e = extent(d), .d = d, .sums = (double *)scratch, .parts = d->c_b > 0 ? 2 : 1};
    j.part[0] = (NormPart){.x = x.a, .c = (size_t)d->c_a};
    j.part[1] = (NormPart){.x = x.b, .c = (size_t)d->c_b, .offset = (size_t)d->c_a};
    j.coefficients = scratch + j.e.n * NORM_SUMS * 2 * j.e.c;
    j.moments = j.coefficients + j.e.n * NORM_COEFFICIENTS * j.e.width;
    return j;
}

double *norm_sums(const NormJob *j, size_t image)
{
    return j->sums + image * NORM_SUMS * j->e.c;
}

float *norm_coefficients(const NormJob *j, size_t image)
{
    return j->coefficients + image * NORM_COEFFICIENTS * j->e.width;
}

float *norm_moments(const NormJob *j, size_t task)
{
    return j->moments + task * NORM_MOMENTS * j->e.width;
}

static void each_chunk(NormChunkwise *pass, const NormJob *j, size_t image)
{
    size_t start = image * j->e.chunks, end = start + j->e.chunks;
    if (!j->e.share_images) {
        for (size_t task = start; task < end; task++) pass(j, task);
        return;
    }
#pragma omp parallel for schedule(static) if (j->e.threads)
    for (size_t task = start; task < end; task++) pass(j, task);
}

static void one_image(const NormPasses *passes, const NormJob *j, size_t image)
{
    if (passes->before) passes->before(j, image);
    if (passes->first) each_chunk(passes->first, j, image);
    if (passes->between) passes->between(j, image);
    if (passes->second) each_chunk(passes->second, j, image);
}

/* Threads that share images start in each_chunk: inside of another region, even one of a single
 * thread, OpenMP would make them anew each time. */
void norm_each_image(const NormPasses *passes, const NormJob *j)
{
    if (j->e.share_images) {
        for (size_t image = 0; image < j->e.n; image++) one_image(passes, j, image);
        return;
    }
#pragma omp parallel for schedule(static) if (j->e.threads)
    for (size_t image = 0; image < j->e.n; image++) one_image(passes, j, image);
}

/* ---- rows ---- */

void norm_fold_row(float *row, size_t c, size_t fold)
{
    for (size_t k = 1; k < fold; k++)
        for (size_t i = 0; i < c; i++) row[i] += row[k * c + i];
}

void norm_repeat_row(float *row, size_t c, size_t fold)
{
    for (size_t k = 1; k < fold; k++) memcpy(row + k * c, row, c * sizeof *row);
}

static void add_row(float *restrict sum, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

static void add_moments(float *restrict sum, float *restrict square, const float *restrict about,
                        const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float difference = x[i] - about[i];
        sum[i] += difference;
        square[i] += difference * difference;
    }
}

/* ---- statistics ---- */

/* Of a chunk, per channel: about what the moments are taken (the mean, but for rounding), and the
 * sums of the differences and of their squares. */
static void part_moments(float *about, const NormPart *q, NormSpan span, const NormExtent *e)
{
    size_t row = e->fold * q->c, end = (span.start + span.count) * q->c;
    float *sum = about + e->width, *square = sum + e->width, share = 1.0f / (float)span.count;
    memset(about, 0, row * sizeof *about);
    memset(sum, 0, row * sizeof *sum);
    memset(square, 0, row * sizeof *square);
    for (size_t i = span.start * q->c; i < end; i += row)
        add_row(about, q->x + i, norm_min(row, end - i));
    norm_fold_row(about, q->c, e->fold);
    for (size_t i = 0; i < q->c; i++) about[i] *= share;
    norm_repeat_row(about, q->c, e->fold);
    for (size_t i = span.start * q->c; i < end; i += row)
        add_moments(sum, square, about, q->x + i, norm_min(row, end - i));
    norm_fold_row(sum, q->c, e->fold);
    norm_fold_row(square, q->c, e->fold);
}

static void chunk_moments(const NormJob *j, size_t task)
{
    for (int i = 0; i < j->parts; i++)
        part_moments(norm_moments(j, task) + j->part[i].offset, &j->part[i], norm_span(&j->e, task),
                     &j->e);
}

/* mean[i] += a chunk's share of the channel's mean. */
static void add_means(double *restrict mean, const float *restrict moments, size_t count,
                      const NormExtent *e)
{
    const float *restrict about = moments, *restrict sum = about + e->width;
    double scale = 1.0 / (double)e->pixels;
    for (size_t i = 0; i < e->c; i++)
        mean[i] += ((double)count * (double)about[i] + (double)sum[i]) * scale;
}

/* square[i] += the sum over a chunk's pixels of (x - mean[i])^2. */
static void add_squares(double *restrict square, const double *restrict mean,
                        const float *restrict moments, size_t count, const NormExtent *e)
{
    const float *restrict about = moments, *restrict sum = about + e->width;
    const float *restrict squares = sum + e->width;
    for (size_t i = 0; i < e->c; i++) {
        double shift = (double)about[i] - mean[i];
        square[i] += (double)squares[i] + shift * (2.0 * (double)sum[i] + (double)count * shift);
    }
}

/* From the moments of an image's chunks to those of its channels: their means, and the sums of
 * squares about these. */
static void channel_moments(double *sums, const NormJob *j, size_t image)
{
    const NormExtent *e = &j->e;
    size_t first = image * e->chunks;
    memset(sums, 0, 2 * e->c * sizeof *sums);
    for (size_t k = 0; k < e->chunks; k++)
        add_means(sums, norm_moments(j, first + k), chunk_count(e, k), e);
    for (size_t k = 0; k < e->chunks; k++)
        add_squares(sums + e->c, sums, norm_moments(j, first + k), chunk_count(e, k), e);
}

/* The statistics of an image's groups from the moments of its channels. */
static void group_statistics(float *stats, const double *sums, const NormExtent *e, double eps)
{
    size_t width = e->c / e->groups;
    for (size_t g = 0; g < e->groups; g++) {
        const double *mean = sums + g * width, *square = mean + e->c;
        double centre = 0, total = 0;
        for (size_t i = 0; i < width; i++) centre += mean[i] / (double)width;
        for (size_t i = 0; i < width; i++) {
            double shift = mean[i] - centre;
            total += square[i] + (double)e->pixels * shift * shift;
        }
        stats[2 * g] = (float)centre;
        stats[2 * g + 1] = (float)(1.0 / sqrt(total / (double)(width * e->pixels) + eps));
    }
}

void norm_spread_statistics(const NormJob *j, size_t image)
{
    const NormExtent *e = &j->e;
    const float *stats = j->stats + image * 2 * e->groups;
    float *k = norm_coefficients(j, image);
    for (size_t i = 0; i < e->c; i++) {
        size_t g = i / (e->c / e->groups);
        k[NORM_MEAN * e->width + i] = stats[2 * g];
        k[NORM_SCALE * e->width + i] = stats[2 * g + 1] * j->p.gamma[i];
        k[NORM_BETA * e->width + i] = j->p.beta[i];
    }
    for (int row = NORM_MEAN; row <= NORM_BETA; row++)
        norm_repeat_row(k + (size_t)row * e->width, e->c, e->fold);
}

static void image_statistics(const NormJob *j, size_t image)
{
    double *sums = norm_sums(j, image);
    channel_moments(sums, j, image);
    group_statistics(j->new_stats + image * 2 * j->e.groups, sums, &j->e, (double)j->d->eps);
    norm_spread_statistics(j, image);
}

/* ---- forward ---- */

static inline void apply_row(float *restrict y, const float *restrict x, const float *restrict k,
                             size_t width, size_t n, bool silu)
{
    const float *restrict mean = k, *restrict scale = mean + width, *restrict beta = scale + width;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float z = (x[i] - mean[i]) * scale[i] + beta[i];
        y[i] = silu ? z * vector_sigmoid(z) : z;
    }
}

void norm_drop(float *y, const NormJob *j, NormSpan span)
{
    if (!j->p.mask) return;
    size_t size = j->e.pixels * j->e.c, start = span.start * j->e.c;
    dropout_apply(y + start, j->p.mask + span.image * dropout_words(size),
                  start - span.image * size, span.count * j->e.c, j->p.mask_scale);
}

static void apply_part(float *y, const NormPart *q, const float *k, NormSpan span, const NormJob *j)
{
    const NormExtent *e = &j->e;
    for (size_t p = span.start, end = p + span.count; p < end; p += e->fold) {
        size_t n = norm_min(e->fold, end - p) * q->c;
        if (j->d->silu)
            apply_row(y + p * e->c, q->x + p * q->c, k, e->width, n, true);
        else
            apply_row(y + p * e->c, q->x + p * q->c, k, e->width, n, false);
    }
}

static void chunk_apply(const NormJob *j, size_t task)
{
    NormSpan span = norm_span(&j->e, task);
    const float *k = norm_coefficients(j, span.image);
    for (int i = 0; i < j->parts; i++) {
        size_t offset = j->part[i].offset;
        apply_part(j->y + offset, &j->part[i], k + offset, span, j);
    }
    norm_drop(j->y, j, span);
}

void group_norm_forward(float *y, float *stats, GroupNormInput x, GroupNormParams p,
                        const GroupNormDims *d, float *scratch)
{
    static const NormPasses passes = {NULL, chunk_moments, image_statistics, chunk_apply};
    NormJob j = norm_job(x, d, scratch);
    j.p = p, j.y = y, j.stats = j.new_stats = stats;
    norm_each_image(&passes, &j);
}

void group_norm_apply(float *y, GroupNormInput x, const float *stats, GroupNormParams p,
                      const GroupNormDims *d, float *scratch)
{
    static const NormPasses passes = {norm_spread_statistics, NULL, NULL, chunk_apply};
    NormJob j = norm_job(x, d, scratch);
    j.p = p, j.y = y, j.stats = stats;
    norm_each_image(&passes, &j);
}
