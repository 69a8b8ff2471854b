/*
 * |x_t|^2 is the same for all images, so that the exponents are, but for that,
 *     sqrt(a) / (1 - a) x_t . x_i - a / (2 (1 - a)) |x_i|^2,  a = alpha-bar_t,
 * one product of matrices for a block of images and all rows, and the sum of w_i x_i is another.
 * Which exponent is the greatest is known only at the end of the set: the weights of each row are
 * relative to the greatest so far, and what was summed up is scaled down when that grows.
 */
#include "diffusion/oracle.h"

#include "base/gemm.h"
#include "base/whole.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- memory ---- */

static size_t image_size(const OracleConfig *c)
{
    return c->pixels * (size_t)c->channels;
}

size_t oracle_bytes(const OracleConfig *c)
{
    size_t n = (size_t)c->rows, size = image_size(c);
    return memory_round(ORACLE_BLOCK * size * sizeof(float)) +
           memory_round(ORACLE_BLOCK * sizeof(double)) +
           memory_round(n * ORACLE_BLOCK * sizeof(float)) + memory_round(n * size * sizeof(float)) +
           2 * memory_round(n * sizeof(double)) + memory_round(n * sizeof(int));
}

void oracle_init(Oracle *o, Arena *arena, const OracleConfig *config)
{
    size_t n = (size_t)config->rows, size = image_size(config);
    assert(config->rows >= 1 && config->images->count >= 1);
    *o = (Oracle){.config = *config, .size = size};
    o->out_size =
        config->pixels * (size_t)loss_output_channels(config->diffusion, config->channels);
    o->block = arena_take(arena, ORACLE_BLOCK * size * sizeof *o->block);
    o->squares = arena_take(arena, ORACLE_BLOCK * sizeof *o->squares);
    o->scores = arena_take(arena, n * ORACLE_BLOCK * sizeof *o->scores);
    o->x_0 = arena_take(arena, n * size * sizeof *o->x_0);
    o->most = arena_take(arena, n * sizeof *o->most);
    o->total = arena_take(arena, n * sizeof *o->total);
    o->t = arena_take(arena, n * sizeof *o->t);
}

/* ---- a block of the set ---- */

static void fetch(Oracle *o, int first, int n)
{
    const ImageSource *images = o->config.images;
    images->fetch(images->context, o->block, first, n);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        const float *image = o->block + (size_t)i * o->size;
        double sum = 0;
        for (size_t k = 0; k < o->size; k++) sum += (double)image[k] * (double)image[k];
        o->squares[i] = sum;
    }
}

/* A row's products with `n` images become their weights. Whether there are any that are not 0. */
static bool weigh(Oracle *o, int row, double alpha_bar, int n)
{
    float *scores = o->scores + (size_t)row * (size_t)n;
    double of_product = sqrt(alpha_bar) / (1.0 - alpha_bar), total = 0;
    double of_square = 0.5 * alpha_bar / (1.0 - alpha_bar), most = o->most[row];
    for (int i = 0; i < n; i++) {
        double exponent = of_product * (double)scores[i] - of_square * o->squares[i];
        if (exponent > most) most = exponent;
    }
    for (int i = 0; i < n; i++) {
        double exponent = of_product * (double)scores[i] - of_square * o->squares[i];
        scores[i] = expf((float)(exponent - most));
        total += (double)scores[i];
    }
    if (most > o->most[row]) {
        double shrink = exp(o->most[row] - most);
        float *sum = o->x_0 + (size_t)row * o->size;
        for (size_t k = 0; k < o->size; k++) sum[k] *= (float)shrink;
        o->total[row] *= shrink;
        o->most[row] = most;
    }
    o->total[row] += total;
    return !(total <= 0.0);
}

static void add_block(Oracle *o, const float *x_t, const int *t, int rows, int n)
{
    bool any = false;
    int size = (int)o->size;
    gemm_parallel(o->scores, x_t, o->block, gemm_dims(rows, n, size, false, true, 0));
#pragma omp parallel for schedule(static) reduction(|| : any)
    for (int row = 0; row < rows; row++)
        any = weigh(o, row, o->config.schedule->alpha_bar[t[row] - 1], n) || any;
    if (any) gemm_parallel(o->x_0, o->scores, o->block, gemm_dims(rows, size, n, false, false, 1));
}

/* The means of at most config.rows rows, in x_0. */
static void solve(Oracle *o, const float *x_t, const int *t, int rows)
{
    memset(o->x_0, 0, (size_t)rows * o->size * sizeof *o->x_0);
    for (int row = 0; row < rows; row++) o->most[row] = -HUGE_VAL, o->total[row] = 0;
    for (int first = 0, count = o->config.images->count; first < count; first += ORACLE_BLOCK) {
        int n = whole_min(ORACLE_BLOCK, count - first);
        fetch(o, first, n);
        add_block(o, x_t, t, rows, n);
    }
    for (int row = 0; row < rows; row++) {
        float *x_0 = o->x_0 + (size_t)row * o->size;
        for (size_t k = 0; k < o->size; k++) x_0[k] = (float)((double)x_0[k] / o->total[row]);
    }
}

/* ---- what it says ---- */

void oracle_x_0(Oracle *o, float *out, const float *x_t, const int *t, int n)
{
    for (int first = 0; first < n; first += o->config.rows) {
        int rows = whole_min(o->config.rows, n - first);
        size_t at = (size_t)first * o->size;
        solve(o, x_t + at, t + first, rows);
        memcpy(out + at, o->x_0, (size_t)rows * o->size * sizeof *out);
    }
}

/* One row: predict_weights solved for the output. */
static void as_predicted(const Oracle *o, float *out, const float *x_0, const float *x_t, int i)
{
    const OracleConfig *c = &o->config;
    size_t channels = (size_t)c->channels, stride = o->out_size / c->pixels;
    double weights[2];
    predict_weights(weights, c->diffusion->prediction, c->schedule, i);
    for (size_t p = 0; p < c->pixels; p++, out += stride)
        for (size_t channel = 0; channel < channels; channel++) {
            size_t k = p * channels + channel;
            out[channel] = (float)(((double)x_0[k] - weights[1] * (double)x_t[k]) / weights[0]);
            if (stride > channels) out[channels + channel] = -1;
        }
}

void oracle_bound(void *oracle, float *out, const float *x_t, const int *t, const int *image, int n)
{
    Oracle *o = oracle;
    (void)image;
    for (int first = 0; first < n; first += o->config.rows) {
        int rows = whole_min(o->config.rows, n - first);
        const float *x = x_t + (size_t)first * o->size;
        solve(o, x, t + first, rows);
#pragma omp parallel for schedule(static)
        for (int row = 0; row < rows; row++) {
            size_t at = (size_t)row * o->size;
            as_predicted(o, out + (size_t)(first + row) * o->out_size, o->x_0 + at, x + at,
                         t[first + row] - 1);
        }
    }
}

void oracle_denoise(void *oracle, float *out, const float *x_t, int t, int n)
{
    Oracle *o = oracle;
    for (int first = 0; first < n; first += o->config.rows) {
        int rows = whole_min(o->config.rows, n - first);
        for (int row = 0; row < rows; row++) o->t[row] = t;
        oracle_bound(o, out + (size_t)first * o->out_size, x_t + (size_t)first * o->size, o->t,
                     NULL, rows);
    }
}
