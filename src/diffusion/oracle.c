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
           memory_round(ORACLE_BLOCK * sizeof(int32_t)) +
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
    o->labels = arena_take(arena, ORACLE_BLOCK * sizeof *o->labels);
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
        if (images->label) o->labels[i] = images->label(images->context, first + i);
    }
}

/* A row's exponents are of_product x_t . x_i - of_square |x_i|^2 over the images of its class. */
typedef struct {
    double of_product, of_square;
    int32_t class; /* -1: all */
} Row;

static bool counts(const Oracle *o, Row row, int i)
{
    return row.class < 0 || o->labels[i] == row.class;
}

static double exponent(const Oracle *o, Row row, float product, int i)
{
    return row.of_product * (double)product - row.of_square * o->squares[i];
}

/* The greatest exponent is now this. */
static void scale_down(Oracle *o, int number, double most)
{
    double shrink = exp(o->most[number] - most);
    float *sum = o->x_0 + (size_t)number * o->size;
    for (size_t k = 0; k < o->size; k++) sum[k] *= (float)shrink;
    o->total[number] *= shrink;
    o->most[number] = most;
}

/* A row's products with `n` images become their weights. Whether there are any that are not 0. */
static bool weigh(Oracle *o, Row row, int number, int n)
{
    float *scores = o->scores + (size_t)number * (size_t)n;
    double most = o->most[number], total = 0;
    for (int i = 0; i < n; i++)
        if (counts(o, row, i)) {
            double e = exponent(o, row, scores[i], i);
            if (e > most) most = e;
        }
    for (int i = 0; i < n; i++) {
        scores[i] = counts(o, row, i) ? expf((float)(exponent(o, row, scores[i], i) - most)) : 0.0f;
        total += (double)scores[i];
    }
    if (most > o->most[number]) scale_down(o, number, most);
    o->total[number] += total;
    return !(total <= 0.0);
}

static Row row_of(const Oracle *o, int t, const int32_t *class)
{
    double a = o->config.schedule->alpha_bar[t - 1];
    return (Row){sqrt(a) / (1.0 - a), 0.5 * a / (1.0 - a), class ? *class : -1};
}

typedef struct {
    const float *x_t; /* [n, size] */
    const int *t;
    const int32_t *classes; /* [n] or NULL */
    int n;                  /* at most config.rows */
} Asked;

static void add_block(Oracle *o, Asked a, int n)
{
    bool any = false;
    int size = (int)o->size;
    gemm_parallel(o->scores, a.x_t, o->block, gemm_dims(a.n, n, size, false, true, 0));
#pragma omp parallel for schedule(static) reduction(|| : any)
    for (int k = 0; k < a.n; k++) {
        Row row = row_of(o, a.t[k], a.classes ? a.classes + k : NULL);
        any = weigh(o, row, k, n) || any;
    }
    if (any) gemm_parallel(o->x_0, o->scores, o->block, gemm_dims(a.n, size, n, false, false, 1));
}

/* The means of the rows, in x_0. */
static void solve(Oracle *o, Asked a)
{
    assert(!a.classes || o->config.images->label);
    memset(o->x_0, 0, (size_t)a.n * o->size * sizeof *o->x_0);
    for (int row = 0; row < a.n; row++) o->most[row] = -HUGE_VAL, o->total[row] = 0;
    for (int first = 0, count = o->config.images->count; first < count; first += ORACLE_BLOCK) {
        int n = whole_min(ORACLE_BLOCK, count - first);
        fetch(o, first, n);
        add_block(o, a, n);
    }
    for (int row = 0; row < a.n; row++) {
        float *x_0 = o->x_0 + (size_t)row * o->size;
        for (size_t k = 0; k < o->size; k++) x_0[k] = (float)((double)x_0[k] / o->total[row]);
    }
}

/* ---- what it says ---- */

void oracle_x_0(Oracle *o, float *out, const float *x_t, const int *t, const int32_t *classes,
                int n)
{
    for (int first = 0; first < n; first += o->config.rows) {
        int rows = whole_min(o->config.rows, n - first);
        size_t at = (size_t)first * o->size;
        solve(o, (Asked){x_t + at, t + first, classes ? classes + first : NULL, rows});
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
        solve(o, (Asked){x, t + first, NULL, rows});
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
