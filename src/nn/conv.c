/*
 * Chooses the algorithm. With stride 1 the gradient of the input is a convolution itself, of dy
 * with the filter turned by 180 degrees and its channels swapped, so it has no code of its own.
 */
#include "nn/conv.h"

#include "nn/conv_im2col.h"
#include "nn/linear.h"
#include "nn/winograd.h"

#include <assert.h>
#include <stdbool.h>

static void check(const ConvDims *d)
{
    assert(d->n > 0 && d->c_in > 0 && d->c_out > 0);
    assert((d->stride == 1 && d->pad == 1) || (d->stride == 2 && (d->pad == 0 || d->pad == 1)));
    assert(conv_out_height(d) > 0 && conv_out_width(d) > 0);
    (void)d;
}

/*
 * Microseconds of one core (AVX-512, 2.8 GHz), Winograd against im2col:
 *
 *     16x32x32   3 -> 128   1938 / 1491    16x4x4  32 ->  32     18 /  43
 *     16x32x32   4 ->  32    726 /  618    16x3x3  64 ->  64     50 /  91
 *     16x32x32   8 ->   8    698 /  584     1x8x8  64 ->  64     32 /  38
 *     16x32x32   8 ->  32    772 / 1044    16x2x2 256 -> 256   1066 / 838
 *     16x32x32  32 ->   1    795 /  779     1x4x4 256 -> 256    639 / 351
 *     16x32x32  32 ->   3    886 / 1012    16x1x1 256 -> 256   1063 / 358
 *     16x32x32  16 ->  16    476 / 1251
 *     16x32x32 128 ->   3   3071 / 3726
 *
 * Few channels make vectors that are mostly empty, and few pixels do not repay the transform of
 * the filter. The gradients' figures fall on the same sides.
 */
static bool by_winograd(const ConvDims *d)
{
    enum { MIN_IN = 8, MIN_PRODUCT = 96, MIN_PIXELS = 64 };
    return d->stride == 1 && d->c_in >= MIN_IN && d->c_in * d->c_out >= MIN_PRODUCT &&
           d->n * d->h * d->w >= MIN_PIXELS;
}

static size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t filter_size(const ConvDims *d)
{
    return 9 * (size_t)d->c_in * (size_t)d->c_out;
}

static ConvDims turned_dims(const ConvDims *d)
{
    ConvDims turned = *d;
    turned.c_in = d->c_out;
    turned.c_out = d->c_in;
    return turned;
}

static size_t forward_scratch(const ConvDims *d)
{
    return by_winograd(d) ? winograd_forward_scratch(d) : im2col_forward_scratch(d);
}

static size_t backward_input_scratch(const ConvDims *d)
{
    if (d->stride == 2) return im2col_backward_input_scratch(d);
    ConvDims turned = turned_dims(d);
    return filter_size(d) + forward_scratch(&turned);
}

static size_t backward_weight_scratch(const ConvDims *d)
{
    return by_winograd(d) ? winograd_backward_weight_scratch(d) : im2col_backward_weight_scratch(d);
}

/* Which algorithm runs depends on the batch, and a small batch's may need more than a large one's:
 * the most of them all. */
size_t conv_scratch(const ConvDims *d)
{
    check(d);
    size_t most = 0;
    ConvDims part = *d;
    for (part.n = 1; part.n <= d->n; part.n++) {
        most = size_max(most, forward_scratch(&part));
        most = size_max(most, backward_input_scratch(&part));
        most = size_max(most, backward_weight_scratch(&part));
    }
    return most;
}

size_t conv_prepared_size(const ConvDims *d)
{
    check(d);
    return by_winograd(d) ? winograd_prepared_size(d) : 0;
}

void conv_prepare(float *prepared, const float *w, const ConvDims *d)
{
    check(d);
    if (by_winograd(d)) winograd_prepare(prepared, w, d);
}

void conv_forward(float *y, const float *x, const float *w, const float *prepared, ConvAdd add,
                  const ConvDims *d, float *scratch)
{
    check(d);
    if (by_winograd(d))
        winograd_forward(y, x, w, prepared, add, d, scratch);
    else
        im2col_forward(y, x, w, add, d, scratch);
}

/* turned [3,3,c_out,c_in]: turned[u,v,o,c] = w[2-u,2-v,c,o], in squares that stay in the cache. */
static void turn_filter(float *turned, const float *w, const ConvDims *d)
{
    enum { SIDE = 16, TAPS = 9 };
    int c_in = d->c_in, c_out = d->c_out, across = (c_out + SIDE - 1) / SIDE;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < TAPS * across; task++) {
        int tap = task / across, o_first = task % across * SIDE;
        int o_last = o_first + SIDE < c_out ? o_first + SIDE : c_out;
        const float *from = w + (size_t)(TAPS - 1 - tap) * (size_t)c_in * (size_t)c_out;
        float *to = turned + (size_t)tap * (size_t)c_in * (size_t)c_out;
        for (int c_first = 0; c_first < c_in; c_first += SIDE)
            for (int o = o_first; o < o_last; o++)
                for (int c = c_first; c < c_in && c < c_first + SIDE; c++)
                    to[(size_t)o * (size_t)c_in + (size_t)c] =
                        from[(size_t)c * (size_t)c_out + (size_t)o];
    }
}

void conv_backward_input(float *dx, const float *dy, const float *w, const ConvDims *d,
                         float *scratch)
{
    check(d);
    if (d->stride == 2) {
        im2col_backward_input(dx, dy, w, d, scratch);
        return;
    }
    ConvDims turned = turned_dims(d);
    turn_filter(scratch, w, d);
    conv_forward(dx, dy, scratch, NULL, (ConvAdd){0}, &turned, scratch + filter_size(d));
}

void conv_backward_weight(float *dw, float *dbias, const float *dy, const float *x,
                          const ConvDims *d, float *scratch)
{
    check(d);
    if (by_winograd(d))
        winograd_backward_weight(dw, dy, x, d, scratch);
    else
        im2col_backward_weight(dw, dy, x, d, scratch);
    if (dbias)
        linear_column_sums(dbias, dy, d->n * conv_out_height(d) * conv_out_width(d), d->c_out);
}
