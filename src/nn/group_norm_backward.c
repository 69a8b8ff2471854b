/*
 * The first pass finds the gradient of z, before SiLU, and its sums, and writes y on the way: both
 * need the same sigmoid. The second is a few multiplications on what the first has left.
 */
#include "nn/group_norm_rows.h"

#include "nn/vector_math.h"

/* dz = dy f'(z) in place of dy; sum += dz, sum_x += dz (x - mean); and y, if it is wanted. */
static inline void slope_row(float *restrict y, float *restrict dy, const float *restrict x,
                             float *restrict sum, const float *restrict k, size_t width, size_t n,
                             bool silu, bool wanted)
{
    const float *restrict mean = k, *restrict scale = mean + width, *restrict beta = scale + width;
    float *restrict sum_x = sum + width;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float centred = x[i] - mean[i], z = centred * scale[i] + beta[i], dz = dy[i];
        if (silu) {
            float s = vector_sigmoid(z);
            dz *= vector_silu_slope(z, s);
            dy[i] = dz;
            z *= s;
        }
        if (wanted) y[i] = z;
        sum[i] += dz;
        sum_x[i] += dz * centred;
    }
}

static void slope_part(float *sums, const NormPart *q, const float *k, NormSpan span,
                       const NormJob *j)
{
    const NormExtent *e = &j->e;
    memset(sums, 0, e->fold * q->c * sizeof *sums);
    memset(sums + e->width, 0, e->fold * q->c * sizeof *sums);
    for (size_t p = span.start, end = p + span.count; p < end; p += e->fold) {
        size_t n = norm_min(e->fold, end - p) * q->c;
        float *dy = j->dy + p * e->c + q->offset, *y = j->y ? j->y + (dy - j->dy) : NULL;
        const float *x = q->x + p * q->c;
        if (j->d->silu && y)
            slope_row(y, dy, x, sums, k, e->width, n, true, true);
        else if (j->d->silu)
            slope_row(NULL, dy, x, sums, k, e->width, n, true, false);
        else if (y)
            slope_row(y, dy, x, sums, k, e->width, n, false, true);
        else
            slope_row(NULL, dy, x, sums, k, e->width, n, false, false);
    }
    norm_fold_row(sums, q->c, e->fold);
    norm_fold_row(sums + e->width, q->c, e->fold);
}

static void chunk_slopes(const NormJob *j, size_t task)
{
    NormSpan span = norm_span(&j->e, task);
    const float *k = norm_coefficients(j, span.image);
    norm_drop(j->dy, j, span);
    for (int i = 0; i < j->parts; i++) {
        size_t offset = j->part[i].offset;
        slope_part(norm_moments(j, task) + offset, &j->part[i], k + offset, span, j);
    }
    if (j->y) norm_drop(j->y, j, span);
}

/* The sums over an image per channel: of dz, and of dz xhat, xhat = (x - mean) / sqrt(var + eps).
 */
static void channel_sums(double *restrict sums, const NormJob *j, size_t image)
{
    const NormExtent *e = &j->e;
    const float *stats = j->stats + image * 2 * e->groups;
    memset(sums, 0, 2 * e->c * sizeof *sums);
    for (size_t task = image * e->chunks; task < (image + 1) * e->chunks; task++) {
        const float *restrict sum = norm_moments(j, task), *restrict sum_x = sum + e->width;
        for (size_t i = 0; i < e->c; i++) sums[i] += (double)sum[i];
        for (size_t i = 0; i < e->c; i++) sums[e->c + i] += (double)sum_x[i];
    }
    for (size_t i = 0; i < e->c; i++)
        sums[e->c + i] *= (double)stats[2 * (i / (e->c / e->groups)) + 1];
}

/* dx = inverse (gamma dz - average of gamma dz - xhat average of gamma dz xhat), averages over the
 * group and inverse = 1 / sqrt(var + eps): the pulls of an image's channels. */
static void image_pulls(const NormJob *j, size_t image)
{
    const NormExtent *e = &j->e;
    size_t width = e->c / e->groups;
    double *sums = norm_sums(j, image);
    float *pull = norm_coefficients(j, image) + NORM_PULL * e->width, *pull_x = pull + e->width;
    channel_sums(sums, j, image);
    for (size_t g = 0; g < e->groups; g++) {
        double total = 0, total_xhat = 0;
        for (size_t i = g * width; i < (g + 1) * width; i++) {
            total += (double)j->p.gamma[i] * sums[i];
            total_xhat += (double)j->p.gamma[i] * sums[e->c + i];
        }
        double inverse = (double)j->stats[2 * (image * e->groups + g) + 1];
        double share = inverse / (double)(width * e->pixels);
        for (size_t i = g * width; i < (g + 1) * width; i++) {
            pull[i] = (float)(total * share);
            pull_x[i] = (float)(total_xhat * share * inverse);
        }
    }
    norm_repeat_row(pull, e->c, e->fold);
    norm_repeat_row(pull_x, e->c, e->fold);
}

/* dx, which may be x, and starts from `from` and `add`, of which there are `terms`. */
static inline void gradient_row(float *dx, const float *restrict dz, const float *x,
                                const float *from, const float *restrict add,
                                const float *restrict k, size_t width, size_t n, int terms)
{
    const float *restrict mean = k, *restrict scale = mean + width;
    const float *restrict pull = k + NORM_PULL * width, *restrict pull_x = pull + width;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float gradient = scale[i] * dz[i] - pull[i] - pull_x[i] * (x[i] - mean[i]);
        if (terms > 0) gradient += from[i];
        if (terms > 1) gradient += add[i];
        dx[i] = gradient;
    }
}

static void gradient_part(const NormPart *q, const float *k, NormSpan span, const NormJob *j)
{
    const NormExtent *e = &j->e;
    for (size_t p = span.start, end = p + span.count; p < end; p += e->fold) {
        size_t n = norm_min(e->fold, end - p) * q->c, at = p * q->c;
        const float *dz = j->dy + p * e->c + q->offset, *x = q->x + at;
        if (q->add)
            gradient_row(q->dx + at, dz, x, q->from + at, q->add + at, k, e->width, n, 2);
        else if (q->from)
            gradient_row(q->dx + at, dz, x, q->from + at, NULL, k, e->width, n, 1);
        else
            gradient_row(q->dx + at, dz, x, NULL, NULL, k, e->width, n, 0);
    }
}

static void chunk_gradient(const NormJob *j, size_t task)
{
    NormSpan span = norm_span(&j->e, task);
    for (int i = 0; i < j->parts; i++) {
        const NormPart *q = &j->part[i];
        gradient_part(q, norm_coefficients(j, span.image) + q->offset, span, j);
    }
}

/* dbeta += the sums of dz, dgamma += those of dz xhat. */
static void add_parameter_gradients(float *dgamma, float *dbeta, const NormJob *j)
{
    for (size_t i = 0; i < j->e.c; i++) {
        double total = 0, total_xhat = 0;
        for (size_t image = 0; image < j->e.n; image++) {
            total += norm_sums(j, image)[i];
            total_xhat += norm_sums(j, image)[j->e.c + i];
        }
        dbeta[i] += (float)total;
        dgamma[i] += (float)total_xhat;
    }
}

/* Where a part's gradient goes, and what it starts from. */
static void part_gradient(NormPart *q, float *dx, bool accumulate, const float *add)
{
    q->dx = dx;
    q->from = accumulate ? dx : add;
    q->add = accumulate ? add : NULL;
}

void group_norm_backward(GroupNormGrads out, float *y, float *dy, GroupNormInput x,
                         const float *stats, GroupNormParams p, const GroupNormDims *d,
                         float *scratch)
{
    static const NormPasses passes = {norm_spread_statistics, chunk_slopes, image_pulls,
                                      chunk_gradient};
    NormJob j = norm_job(x, d, scratch);
    j.p = p, j.y = y, j.dy = dy, j.stats = stats;
    part_gradient(&j.part[0], out.da, out.accumulate_a, out.add_a);
    part_gradient(&j.part[1], out.db, out.accumulate_b, NULL);
    norm_each_image(&passes, &j);
    add_parameter_gradients(out.dgamma, out.dbeta, &j);
}
