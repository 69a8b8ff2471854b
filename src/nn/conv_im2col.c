/*
 * The pixels under the filter are gathered into rows of [9 c_in] floats, a block of output pixels
 * at a time in per-thread scratch, and multiplied by the filter, which is a [9 c_in, c_out] matrix
 * as it stands. A block is one task: its extent follows from the shape, so the bits do not depend
 * on the number of threads.
 *
 * Gradient of the input, with stride 2. As a convolution of dy (nn/conv.c does that with stride 1)
 * it would multiply by three zeros in four; instead each tap's product dy w^T is added at its
 * place, image by image.
 *
 * Gradient of the filter: gathered^T dy, split by taps and outputs, so that each task owns its part
 * of dw. Where that part is small and the sum long, tasks also split the pixels, and the parts are
 * added in order.
 */
#include "nn/conv_im2col.h"

#include "base/parallel.h"
#include "base/whole.h"
#include "nn/product.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum {
    TAPS = 9,
    MIN_PIXELS = 128, /* of a block: below this copies of the filter take too much of the time */
    MAX_PIXELS = 512, /* more no longer helps */
    COLUMN_FLOATS = 98304, /* of a block between the two: a fifth of a 2 MiB cache */
    WIDE = 64,             /* channels of a task where the work is split by channels */
    SMALL_FILTER = 16384,  /* floats of a filter that is summed in parts */
    PARTS = 8,
};

static int out_pixels(const ConvDims *d)
{
    return d->n * conv_out_height(d) * conv_out_width(d);
}

static size_t filter_size(const ConvDims *d)
{
    return (size_t)TAPS * (size_t)d->c_in * (size_t)d->c_out;
}

/* Output pixels of a block when `row` floats are gathered for each. */
static int block_pixels(int row)
{
    int pixels = COLUMN_FLOATS / row / 16 * 16;
    return pixels < MIN_PIXELS ? MIN_PIXELS : whole_min(pixels, MAX_PIXELS);
}

typedef struct {
    int first, count; /* filter taps 3 u + v */
} Taps;

static void gather_tap(float *to, const float *image, const ConvDims *d, int row, int column)
{
    size_t c = (size_t)d->c_in;
    if (row < 0 || row >= d->h || column < 0 || column >= d->w)
        memset(to, 0, c * sizeof *to);
    else
        memcpy(to, image + ((size_t)row * (size_t)d->w + (size_t)column) * c, c * sizeof *to);
}

/* All nine taps where the filter's columns are inside the image: three runs of 3 c_in floats. */
static void gather_inside(float *to, const float *image, const ConvDims *d, int row, int column)
{
    size_t run = 3 * (size_t)d->c_in, line = (size_t)d->w * (size_t)d->c_in;
    for (int u = 0; u < 3; u++, to += run) {
        if (row + u < 0 || row + u >= d->h)
            memset(to, 0, run * sizeof *to);
        else
            memcpy(to, image + (size_t)(row + u) * line + (size_t)column * (size_t)d->c_in,
                   run * sizeof *to);
    }
}

/* columns [count, taps.count c_in]: what output pixels first .. first+count-1 see of x. */
static void gather(float *columns, const float *x, const ConvDims *d, Taps taps, int first,
                   int count)
{
    int w_out = conv_out_width(d), area = conv_out_height(d) * w_out;
    size_t c = (size_t)d->c_in, image_size = (size_t)d->h * (size_t)d->w * c;
    for (int p = first; p < first + count; p++, columns += (size_t)taps.count * c) {
        const float *image = x + (size_t)(p / area) * image_size;
        int row = p % area / w_out * d->stride - d->pad, column = p % w_out * d->stride - d->pad;
        if (taps.count == TAPS && column >= 0 && column + 3 <= d->w) {
            gather_inside(columns, image, d, row, column);
            continue;
        }
        for (int k = 0; k < taps.count; k++) {
            int tap = taps.first + k;
            gather_tap(columns + (size_t)k * c, image, d, row + tap / 3, column + tap % 3);
        }
    }
}

/* The part of y that one task makes: `count` pixels from `pixel`, `outputs` channels from `out`. */
typedef struct {
    int pixel, count, out, outputs;
} Block;

/* y = what is added, on one block. */
static void add_first(float *y, ConvAdd add, const ConvDims *d, Block b)
{
    int area = conv_out_height(d) * conv_out_width(d);
    for (int p = b.pixel; p < b.pixel + b.count; p++) {
        size_t at = (size_t)p * (size_t)d->c_out + (size_t)b.out;
        const float *row =
            add.image ? add.image + (size_t)(p / area) * (size_t)d->c_out + b.out : NULL;
        for (int o = 0; o < b.outputs; o++) {
            float sum = add.residual ? add.residual[at + (size_t)o] : 0.0f;
            if (add.bias) sum += add.bias[b.out + o];
            if (row) sum += row[o];
            y[at + (size_t)o] = sum;
        }
    }
}

static void forward_block(float *y, const float *x, const float *w, ConvAdd add, const ConvDims *d,
                          Block b, float *columns)
{
    bool adds = add.bias || add.image || add.residual;
    gather(columns, x, d, (Taps){0, TAPS}, b.pixel, b.count);
    if (adds) add_first(y, add, d, b);
    Gemm g = gemm_dims(b.count, b.outputs, TAPS * d->c_in, false, false, adds ? 1.0f : 0.0f);
    g.ldb = g.ldc = d->c_out;
    product(y + (size_t)b.pixel * (size_t)d->c_out + b.out, columns, w + b.out, NULL, g);
}

void im2col_forward(float *y, const float *x, const float *w, ConvAdd add, const ConvDims *d,
                    float *scratch)
{
    int total = out_pixels(d), pixels = block_pixels(TAPS * d->c_in);
    int down = whole_divide_up(total, pixels);
    int outputs = down >= 8 ? d->c_out : whole_min(d->c_out, WIDE);
    int across = whole_divide_up(d->c_out, outputs);
    size_t columns = (size_t)pixels * TAPS * (size_t)d->c_in;
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < down * across; task++) {
        int pixel = task / across * pixels, out = task % across * outputs;
        Block b = {pixel, whole_min(pixels, total - pixel), out,
                   whole_min(outputs, d->c_out - out)};
        forward_block(y, x, w, add, d, b, scratch + (size_t)parallel_thread() * columns);
    }
}

size_t im2col_forward_scratch(const ConvDims *d)
{
    size_t row = TAPS * (size_t)d->c_in;
    return (size_t)parallel_threads() * (size_t)block_pixels((int)row) * row;
}

/* Output rows whose products are held at a time when the taps are added one by one. */
static int scatter_rows(const ConvDims *d)
{
    int rows = 2 * MAX_PIXELS / conv_out_width(d);
    return rows < 1 ? 1 : whole_min(rows, conv_out_height(d));
}

/* dx += product [rows w_out, channels], which is tap (u,v)'s part of output rows first .. */
static void scatter(float *dx, const float *product, const ConvDims *d, int tap, int first,
                    int rows, int channels)
{
    int w_out = conv_out_width(d);
    for (int i = 0; i < rows; i++) {
        int row = (first + i) * d->stride + tap / 3 - d->pad;
        if (row < 0 || row >= d->h) continue;
        for (int j = 0; j < w_out; j++) {
            int column = j * d->stride + tap % 3 - d->pad;
            if (column < 0 || column >= d->w) continue;
            const float *from =
                product + ((size_t)i * (size_t)w_out + (size_t)j) * (size_t)channels;
            float *to = dx + ((size_t)row * (size_t)d->w + (size_t)column) * (size_t)d->c_in;
            for (int c = 0; c < channels; c++) to[c] += from[c];
        }
    }
}

/* `channels` channels of one image; dx, dy and w point at them. */
static void backward_image(float *dx, const float *dy, const float *w, const ConvDims *d,
                           int channels, float *taps)
{
    int w_out = conv_out_width(d), h_out = conv_out_height(d), rows = scatter_rows(d);
    size_t c_in = (size_t)d->c_in, c_out = (size_t)d->c_out;
    for (size_t p = 0; p < (size_t)d->h * (size_t)d->w; p++)
        memset(dx + p * c_in, 0, (size_t)channels * sizeof *dx);
    for (int first = 0; first < h_out; first += rows) {
        int count = whole_min(rows, h_out - first);
        Gemm g = gemm_dims(count * w_out, channels, d->c_out, false, true, 0.0f);
        for (int tap = 0; tap < TAPS; tap++) {
            product(taps, dy + (size_t)first * (size_t)w_out * c_out,
                    w + (size_t)tap * c_in * c_out, NULL, g);
            scatter(dx, taps, d, tap, first, count, channels);
        }
    }
}

void im2col_backward_input(float *dx, const float *dy, const float *w, const ConvDims *d,
                           float *scratch)
{
    int across = whole_divide_up(d->c_in, WIDE);
    size_t c_in = (size_t)d->c_in, c_out = (size_t)d->c_out;
    size_t out_area = (size_t)conv_out_height(d) * (size_t)conv_out_width(d);
    size_t area = (size_t)d->h * (size_t)d->w;
    size_t product = (size_t)scatter_rows(d) * (size_t)conv_out_width(d) * WIDE;
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < d->n * across; task++) {
        size_t image = (size_t)(task / across);
        int first = task % across * WIDE;
        backward_image(dx + image * area * c_in + first, dy + image * out_area * c_out,
                       w + (size_t)first * c_out, d, whole_min(WIDE, d->c_in - first),
                       scratch + (size_t)parallel_thread() * product);
    }
}

size_t im2col_backward_input_scratch(const ConvDims *d)
{
    return (size_t)parallel_threads() * (size_t)scatter_rows(d) * (size_t)conv_out_width(d) * WIDE;
}

/* How the gradient of the filter is split: a task has `taps` taps, `outputs` output channels and
 * one of `parts` ranges of pixels. */
typedef struct {
    int taps, outputs, parts;
} Split;

static Split split_weight(const ConvDims *d)
{
    if (filter_size(d) <= SMALL_FILTER) return (Split){TAPS, d->c_out, PARTS};
    return (Split){1, whole_min(d->c_out, WIDE), 1};
}

/* dw [taps c_in, outputs] (row stride c_out) += the sum over the block's pixels. */
static void weight_block(float *dw, const float *dy, const float *x, const ConvDims *d, Taps taps,
                         Block b, float *columns)
{
    int row = taps.count * d->c_in, pixels = block_pixels(row);
    for (int done = 0; done < b.count; done += pixels) {
        int first = b.pixel + done, count = whole_min(pixels, b.count - done);
        gather(columns, x, d, taps, first, count);
        Gemm g = gemm_dims(row, b.outputs, count, true, false, 1.0f);
        g.ldb = g.ldc = d->c_out;
        product(dw + b.out, columns, dy + (size_t)first * (size_t)d->c_out + b.out, NULL, g);
    }
}

void im2col_backward_weight(float *dw, const float *dy, const float *x, const ConvDims *d,
                            float *scratch)
{
    Split s = split_weight(d);
    int total = out_pixels(d), share = whole_divide_up(total, s.parts);
    int across = whole_divide_up(d->c_out, s.outputs), down = TAPS / s.taps;
    size_t size = filter_size(d), tap_size = (size_t)d->c_in * (size_t)d->c_out;
    size_t columns = (size_t)block_pixels(s.taps * d->c_in) * (size_t)(s.taps * d->c_in);
    float *sums = s.parts == 1 ? dw : scratch;
    float *free_scratch = s.parts == 1 ? scratch : scratch + (size_t)s.parts * size;
    if (s.parts > 1) memset(sums, 0, (size_t)s.parts * size * sizeof *sums);
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < s.parts * down * across; task++) {
        int part = task / (down * across), out = task % across * s.outputs;
        Taps taps = {task / across % down * s.taps, s.taps};
        Block b = {part * share, whole_min(share, total - part * share), out,
                   whole_min(s.outputs, d->c_out - out)};
        weight_block(sums + (size_t)part * size + (size_t)taps.first * tap_size, dy, x, d, taps, b,
                     free_scratch + (size_t)parallel_thread() * columns);
    }
    for (int part = 0; part < s.parts && s.parts > 1; part++)
        for (size_t i = 0; i < size; i++) dw[i] += sums[(size_t)part * size + i];
}

size_t im2col_backward_weight_scratch(const ConvDims *d)
{
    Split s = split_weight(d);
    size_t row = (size_t)s.taps * (size_t)d->c_in;
    size_t columns = (size_t)parallel_threads() * (size_t)block_pixels((int)row) * row;
    return columns + (s.parts > 1 ? (size_t)s.parts * filter_size(d) : 0);
}
