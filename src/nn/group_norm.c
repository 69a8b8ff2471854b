/*
 * Everything runs over chunks of pixels of one image, a few thousand floats each, small enough to
 * stay in the first cache, with the channels innermost: groups of 2 or 4 channels are too narrow to
 * vectorise over. Sums are taken per channel, in float inside a chunk and in double across chunks,
 * and only then per group, so that it does not matter which side of a concatenation a group is on.
 *
 * The second moment is taken about each chunk's own mean: the sum of squares about zero would lose
 * the variance of data whose mean is far from zero.
 */
#include "nn/group_norm.h"

#include "nn/vector_math.h"

#include <assert.h>
#include <math.h>

enum { CHUNK_FLOATS = 8192, CHUNK_MIN = 8, CHUNK_MAX = 64 };

typedef struct {
    size_t n, pixels, c, groups;
    size_t chunk, chunks; /* pixels in a chunk, chunks in an image */
    size_t tasks;         /* chunks in the batch */
    bool threads;         /* worth more than one */
} Extent;

static Extent extent(const GroupNormDims *d)
{
    assert(d->groups > 0 && (d->c_a + d->c_b) % d->groups == 0);
    Extent e = {.n = (size_t)d->n,
                .pixels = (size_t)d->pixels,
                .c = (size_t)(d->c_a + d->c_b),
                .groups = (size_t)d->groups};
    e.chunk = CHUNK_FLOATS / e.c;
    if (e.chunk > CHUNK_MAX) e.chunk = CHUNK_MAX;
    if (e.chunk < CHUNK_MIN) e.chunk = CHUNK_MIN;
    e.chunks = (e.pixels + e.chunk - 1) / e.chunk;
    e.tasks = e.n * e.chunks;
    e.threads = e.n * e.pixels * e.c >= VECTOR_PARALLEL_MIN;
    return e;
}

/* The pixels of one task; `start` counts from the first pixel of the batch. */
typedef struct {
    size_t image, start, count;
} Span;

static size_t chunk_count(const Extent *e, size_t chunk)
{
    size_t first = chunk * e->chunk;
    return e->pixels - first < e->chunk ? e->pixels - first : e->chunk;
}

static Span span_of(const Extent *e, size_t task)
{
    size_t image = task / e->chunks, chunk = task % e->chunks;
    return (Span){image, image * e->pixels + chunk * e->chunk, chunk_count(e, chunk)};
}

/* One side of the concatenation: its pixels have c channels, the first of which is the channel
 * `offset` of the whole. */
typedef struct {
    const float *x;
    size_t c, offset;
} Part;

static int parts_of(Part part[2], GroupNormInput x, const GroupNormDims *d)
{
    part[0] = (Part){x.a, (size_t)d->c_a, 0};
    part[1] = (Part){x.b, (size_t)d->c_b, (size_t)d->c_a};
    return d->c_b > 0 ? 2 : 1;
}

/* Scratch, for each image: SUMS rows of c doubles and COEFFICIENTS rows of c floats; then for each
 * chunk of the batch MOMENTS rows of c floats. */
enum { SUMS = 2, COEFFICIENTS = 4, MOMENTS = 3 };

typedef struct {
    double *sums;
    float *coefficients, *moments;
} Scratch;

static Scratch scratch_of(float *scratch, const Extent *e)
{
    Scratch s = {.sums = (double *)scratch};
    s.coefficients = scratch + e->n * SUMS * 2 * e->c;
    s.moments = s.coefficients + e->n * COEFFICIENTS * e->c;
    return s;
}

size_t group_norm_scratch(const GroupNormDims *d)
{
    Extent e = extent(d);
    return (e.n * (SUMS * 2 + COEFFICIENTS) + e.tasks * MOMENTS) * e.c;
}

/* Of `count` pixels, per channel: about what the moments are taken (the mean, but for rounding),
 * and the sums of the differences and of their squares. */
static void chunk_moments(float *restrict about, float *restrict sum, float *restrict square,
                          const float *restrict x, size_t count, size_t c)
{
    float share = 1.0f / (float)count;
    for (size_t j = 0; j < c; j++) about[j] = sum[j] = square[j] = 0.0f;
    for (size_t p = 0; p < count; p++)
        for (size_t j = 0; j < c; j++) about[j] += x[p * c + j];
    for (size_t j = 0; j < c; j++) about[j] *= share;
    for (size_t p = 0; p < count; p++)
        for (size_t j = 0; j < c; j++) {
            float difference = x[p * c + j] - about[j];
            sum[j] += difference;
            square[j] += difference * difference;
        }
}

/* mean[j] += `count` pixels' share of the channel's mean. */
static void add_means(double *restrict mean, const float *restrict moments, size_t count,
                      size_t pixels, size_t c)
{
    const float *restrict about = moments, *restrict sum = moments + c;
    double scale = 1.0 / (double)pixels;
    for (size_t j = 0; j < c; j++)
        mean[j] += ((double)count * (double)about[j] + (double)sum[j]) * scale;
}

/* square[j] += the sum over `count` pixels of (x - mean[j])^2. */
static void add_squares(double *restrict square, const double *restrict mean,
                        const float *restrict moments, size_t count, size_t c)
{
    const float *restrict about = moments, *restrict sum = about + c, *restrict squares = sum + c;
    for (size_t j = 0; j < c; j++) {
        double shift = (double)about[j] - mean[j];
        square[j] += (double)squares[j] + shift * (2.0 * (double)sum[j] + (double)count * shift);
    }
}

/* From the moments of an image's chunks to those of its channels: their means, and the sums of
 * squares about these. */
static void channel_moments(double *sums, const float *moments, const Extent *e)
{
    memset(sums, 0, 2 * e->c * sizeof *sums);
    for (size_t k = 0; k < e->chunks; k++)
        add_means(sums, moments + k * MOMENTS * e->c, chunk_count(e, k), e->pixels, e->c);
    for (size_t k = 0; k < e->chunks; k++)
        add_squares(sums + e->c, sums, moments + k * MOMENTS * e->c, chunk_count(e, k), e->c);
}

/* The statistics of an image's groups from the moments of its channels. */
static void group_statistics(float *stats, const double *sums, const Extent *e, double eps)
{
    size_t width = e->c / e->groups;
    for (size_t g = 0; g < e->groups; g++) {
        const double *mean = sums + g * width, *square = mean + e->c;
        double centre = 0, total = 0;
        for (size_t j = 0; j < width; j++) centre += mean[j] / (double)width;
        for (size_t j = 0; j < width; j++) {
            double shift = mean[j] - centre;
            total += square[j] + (double)e->pixels * shift * shift;
        }
        stats[2 * g] = (float)centre;
        stats[2 * g + 1] = (float)(1.0 / sqrt(total / (double)(width * e->pixels) + eps));
    }
}

void group_norm_stats(float *stats, GroupNormInput x, const GroupNormDims *d, float *scratch)
{
    Extent e = extent(d);
    Scratch s = scratch_of(scratch, &e);
    Part part[2];
    int parts = parts_of(part, x, d);
#pragma omp parallel for schedule(static) if (e.threads)
    for (size_t task = 0; task < e.tasks; task++) {
        Span span = span_of(&e, task);
        for (int i = 0; i < parts; i++) {
            Part q = part[i];
            float *about = s.moments + task * MOMENTS * e.c + q.offset;
            chunk_moments(about, about + e.c, about + 2 * e.c, q.x + span.start * q.c, span.count,
                          q.c);
        }
    }
#pragma omp parallel for schedule(static) if (e.threads)
    for (size_t image = 0; image < e.n; image++) {
        double *sums = s.sums + image * SUMS * e.c;
        channel_moments(sums, s.moments + image * e.chunks * MOMENTS * e.c, &e);
        group_statistics(stats + image * 2 * e.groups, sums, &e, (double)d->eps);
    }
}

/* What a channel needs, from here on the same for all pixels of an image. The mean is subtracted
 * first rather than folded into beta: their difference would cancel where the mean is large. */
typedef struct {
    const float *mean, *inverse; /* of the channel's group, [c] */
    const float *gamma, *beta;
    const float *pull, *pull_xhat; /* backward: dx = gamma inverse dz - pull - pull_xhat xhat */
    bool silu;
} Channels;

/* mean and inverse of an image, one for each channel. */
static void spread_statistics(float *coefficients, const float *stats, const Extent *e)
{
    size_t width = e->c / e->groups;
    for (size_t j = 0; j < e->c; j++) {
        coefficients[j] = stats[2 * (j / width)];
        coefficients[e->c + j] = stats[2 * (j / width) + 1];
    }
}

static void spread_all_statistics(float *coefficients, const float *stats, const Extent *e)
{
    for (size_t image = 0; image < e->n; image++)
        spread_statistics(coefficients + image * COEFFICIENTS * e->c, stats + image * 2 * e->groups,
                          e);
}

/* The channels of an image from `offset` on. */
static Channels channels_of(const float *coefficients, size_t image, size_t offset,
                            const float *gamma, const float *beta, const Extent *e)
{
    const float *own = coefficients + image * COEFFICIENTS * e->c + offset;
    return (Channels){.mean = own,
                      .inverse = own + e->c,
                      .pull = own + 2 * e->c,
                      .pull_xhat = own + 3 * e->c,
                      .gamma = gamma + offset,
                      .beta = beta + offset};
}

static void apply_pixel(float *restrict y, const float *restrict x, const Channels *k, size_t c)
{
    const float *mean = k->mean, *inverse = k->inverse, *gamma = k->gamma, *beta = k->beta;
#pragma omp simd
    for (size_t j = 0; j < c; j++) y[j] = (x[j] - mean[j]) * (inverse[j] * gamma[j]) + beta[j];
    if (!k->silu) return;
#pragma omp simd
    for (size_t j = 0; j < c; j++) y[j] *= vector_sigmoid(y[j]);
}

void group_norm_apply(float *y, GroupNormInput x, const float *stats, const float *gamma,
                      const float *beta, const GroupNormDims *d, float *scratch)
{
    Extent e = extent(d);
    Scratch s = scratch_of(scratch, &e);
    Part part[2];
    int parts = parts_of(part, x, d);
    spread_all_statistics(s.coefficients, stats, &e);
#pragma omp parallel for schedule(static) if (e.threads)
    for (size_t task = 0; task < e.tasks; task++) {
        Span span = span_of(&e, task);
        for (int i = 0; i < parts; i++) {
            Part q = part[i];
            Channels k = channels_of(s.coefficients, span.image, q.offset, gamma, beta, &e);
            k.silu = d->silu;
            for (size_t p = span.start; p < span.start + span.count; p++)
                apply_pixel(y + p * e.c + q.offset, q.x + p * q.c, &k, q.c);
        }
    }
}

/* y = f(z), z = gamma xhat + beta: dz = dy f'(z). */
static inline float gradient_of_z(float dy, float xhat, float gamma, float beta, bool silu)
{
    float z = gamma * xhat + beta;
    return silu ? dy * vector_silu_slope(z, vector_sigmoid(z)) : dy;
}

/* sum += dz, sum_xhat += dz xhat. */
static inline void sum_pixel(float *restrict sum, float *restrict sum_xhat,
                             const float *restrict dy, const float *restrict x, const Channels *k,
                             size_t c, bool silu)
{
    const float *mean = k->mean, *inverse = k->inverse, *gamma = k->gamma, *beta = k->beta;
#pragma omp simd
    for (size_t j = 0; j < c; j++) {
        float xhat = (x[j] - mean[j]) * inverse[j];
        float dz = gradient_of_z(dy[j], xhat, gamma[j], beta[j], silu);
        sum[j] += dz;
        sum_xhat[j] += dz * xhat;
    }
}

/* dx = inverse (gamma dz - average of gamma dz - xhat average of gamma dz xhat), averages over the
 * group. */
static inline void gradient_pixel(float *restrict dx, const float *restrict dy,
                                  const float *restrict x, const Channels *k, size_t c,
                                  bool accumulate, bool silu)
{
    const float *mean = k->mean, *inverse = k->inverse, *gamma = k->gamma, *beta = k->beta;
    const float *pull = k->pull, *pull_xhat = k->pull_xhat;
#pragma omp simd
    for (size_t j = 0; j < c; j++) {
        float xhat = (x[j] - mean[j]) * inverse[j];
        float dz = gradient_of_z(dy[j], xhat, gamma[j], beta[j], silu);
        float gradient = inverse[j] * gamma[j] * dz - pull[j] - pull_xhat[j] * xhat;
        dx[j] = accumulate ? dx[j] + gradient : gradient;
    }
}

/* The sums over an image's chunks, per channel. */
static void channel_sums(double *restrict sums, const float *restrict moments, const Extent *e)
{
    memset(sums, 0, 2 * e->c * sizeof *sums);
    for (size_t k = 0; k < e->chunks; k++)
        for (size_t j = 0; j < 2 * e->c; j++) sums[j] += (double)moments[k * MOMENTS * e->c + j];
}

/* `pull` and `pull_xhat` of an image's channels. */
static void group_pulls(float *coefficients, const double *sums, const float *stats,
                        const float *gamma, const Extent *e)
{
    size_t width = e->c / e->groups;
    float *pull = coefficients + 2 * e->c, *pull_xhat = coefficients + 3 * e->c;
    for (size_t g = 0; g < e->groups; g++) {
        double total = 0, total_xhat = 0;
        for (size_t j = g * width; j < (g + 1) * width; j++) {
            total += (double)gamma[j] * sums[j];
            total_xhat += (double)gamma[j] * sums[e->c + j];
        }
        double scale = (double)stats[2 * g + 1] / (double)(width * e->pixels);
        for (size_t j = g * width; j < (g + 1) * width; j++) {
            pull[j] = (float)(total * scale);
            pull_xhat[j] = (float)(total_xhat * scale);
        }
    }
}

/* dbeta += the sums of dz, dgamma += those of dz xhat. */
static void add_parameter_gradients(float *dgamma, float *dbeta, const double *sums,
                                    const Extent *e)
{
    for (size_t j = 0; j < e->c; j++) {
        double total = 0, total_xhat = 0;
        for (size_t image = 0; image < e->n; image++) {
            total += sums[image * SUMS * e->c + j];
            total_xhat += sums[image * SUMS * e->c + e->c + j];
        }
        dbeta[j] += (float)total;
        dgamma[j] += (float)total_xhat;
    }
}

/* The sums of one chunk into two rows of its moments. */
static void chunk_sums(float *sums, const float *dy, Part q, const Channels *k, Span span, size_t c)
{
    memset(sums, 0, q.c * sizeof *sums);
    memset(sums + c, 0, q.c * sizeof *sums);
    for (size_t p = span.start; p < span.start + span.count; p++) {
        const float *dy_p = dy + p * c + q.offset, *x_p = q.x + p * q.c;
        if (k->silu)
            sum_pixel(sums, sums + c, dy_p, x_p, k, q.c, true);
        else
            sum_pixel(sums, sums + c, dy_p, x_p, k, q.c, false);
    }
}

static void chunk_gradient(float *dx, const float *dy, Part q, const Channels *k, Span span,
                           size_t c, bool accumulate)
{
    for (size_t p = span.start; p < span.start + span.count; p++) {
        const float *dy_p = dy + p * c + q.offset, *x_p = q.x + p * q.c;
        if (k->silu)
            gradient_pixel(dx + p * q.c, dy_p, x_p, k, q.c, accumulate, true);
        else
            gradient_pixel(dx + p * q.c, dy_p, x_p, k, q.c, accumulate, false);
    }
}

void group_norm_backward(GroupNormGrads out, const float *dy, GroupNormInput x, const float *stats,
                         const float *gamma, const float *beta, const GroupNormDims *d,
                         float *scratch)
{
    Extent e = extent(d);
    Scratch s = scratch_of(scratch, &e);
    Part part[2];
    int parts = parts_of(part, x, d);
    float *dx[2] = {out.da, out.db};
    bool accumulate[2] = {out.accumulate_a, out.accumulate_b};
    spread_all_statistics(s.coefficients, stats, &e);
#pragma omp parallel for schedule(static) if (e.threads)
    for (size_t task = 0; task < e.tasks; task++) {
        Span span = span_of(&e, task);
        for (int i = 0; i < parts; i++) {
            Channels k = channels_of(s.coefficients, span.image, part[i].offset, gamma, beta, &e);
            k.silu = d->silu;
            chunk_sums(s.moments + task * MOMENTS * e.c + part[i].offset, dy, part[i], &k, span,
                       e.c);
        }
    }
#pragma omp parallel for schedule(static) if (e.threads)
    for (size_t image = 0; image < e.n; image++) {
        double *sums = s.sums + image * SUMS * e.c;
        channel_sums(sums, s.moments + image * e.chunks * MOMENTS * e.c, &e);
        group_pulls(s.coefficients + image * COEFFICIENTS * e.c, sums, stats + image * 2 * e.groups,
                    gamma, &e);
    }
    add_parameter_gradients(out.dgamma, out.dbeta, s.sums, &e);
#pragma omp parallel for schedule(static) if (e.threads)
    for (size_t task = 0; task < e.tasks; task++) {
        Span span = span_of(&e, task);
        for (int i = 0; i < parts; i++) {
            Channels k = channels_of(s.coefficients, span.image, part[i].offset, gamma, beta, &e);
            k.silu = d->silu;
            chunk_gradient(dx[i], dy, part[i], &k, span, e.c, accumulate[i]);
        }
    }
}
