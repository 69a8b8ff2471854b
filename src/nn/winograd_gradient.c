/*
 * The gradient of the filter: the adjoint of the forward pass in the transformed domain, 36
 * products [c_in, tiles] x [tiles, c_out], then transformed back.
 *
 * A task is a square of 64 x 64 channels of the filter, and goes over its tiles in blocks. Inputs
 * are so transformed once for each 64 outputs and the other way round, which costs up to a quarter
 * of the products; but all that a task touches stays in its core's cache, the transformed gradient
 * is never written down, and no thread waits for another. Passing chunks of transformed tiles to
 * tasks of one frequency each is up to 15 % faster on one core that has nothing else to do (128
 * channels at 32x32: 353 to 312 GFLOP/s), but meets at two barriers a chunk: with other programs on
 * both cores it fell from 300 to 3 GFLOP/s for 64 channels at 14x14, this to 176. (A machine of 2
 * cores with AVX-512.)
 *
 * Where the squares are few, tasks also split the tiles, and their parts are added in order.
 */
#include "nn/winograd.h"

#include "base/parallel.h"
#include "base/whole.h"
#include "nn/panel_product.h"
#include "nn/winograd_tiles.h"

#include <stdbool.h>
#include <string.h>

enum {
    FREQUENCIES = WINOGRAD_FREQUENCIES,
    WINDOW = WINOGRAD_WINDOW,
    TILE = WINOGRAD_TILE,
    PANEL = WINOGRAD_PANEL,
    TAPS = 9,
    SIDE = 64,  /* channels */
    BLOCK = 48, /* tiles */
    TASKS = 8,  /* as many are wanted */
    GAP = 16,   /* keeps 36 planes from sharing the same few lines of the cache */
    TILES_PLANE = BLOCK * SIDE + GAP, /* inputs [BLOCK, SIDE], gradients [panels, BLOCK, PANEL] */
    FILTER_PLANE = SIDE * SIDE + GAP, /* [panels, SIDE, PANEL] */
    OWN = FREQUENCIES * (2 * TILES_PLANE + FILTER_PLANE),
};

/* How the work is cut: squares of channels, and parts of `share` tiles. */
typedef struct {
    WinogradTiles tiles;
    int down, across, parts, share;
} Cut;

static Cut cut_work(const ConvDims *d)
{
    Cut cut = {.tiles = winograd_tiles(d)};
    cut.down = whole_divide_up(d->c_in, SIDE), cut.across = whole_divide_up(d->c_out, SIDE);
    int parts = whole_divide_up(TASKS, cut.down * cut.across);
    cut.share = whole_divide_up(whole_divide_up(cut.tiles.count, parts), BLOCK) * BLOCK;
    cut.parts = whole_divide_up(cut.tiles.count, cut.share);
    return cut;
}

/* What one task does: channels of the input and the output from c and o on, and tiles. */
typedef struct {
    int c, inputs, o, outputs, tile, tiles;
} Task;

static Task task_of(const Cut *cut, const ConvDims *d, int task)
{
    int square = task % (cut->down * cut->across), part = task / (cut->down * cut->across);
    Task t = {.c = square / cut->across * SIDE,
              .o = square % cut->across * SIDE,
              .tile = part * cut->share};
    t.inputs = whole_min(SIDE, d->c_in - t.c);
    t.outputs = whole_min(SIDE, d->c_out - t.o);
    t.tiles = whole_min(cut->share, cut->tiles.count - t.tile);
    return t;
}

/* A core's own memory: transformed inputs, gradients of outputs, and their products. */
typedef struct {
    float *v, *m, *du;
    const float *zeros;
} Own;

static void transform_tile(Own own, int to, const float *dy, const float *x, const ConvDims *d,
                           const WinogradTiles *tiles, Task t, int tile)
{
    const float *pixel[WINDOW * WINDOW];
    WinogradPlace at = winograd_place(tiles, tile);
    winograd_square(pixel, dy + t.o, own.zeros, tiles, d->c_out, at, TILE);
    for (int o = 0; o < t.outputs; o += PANEL) {
        winograd_output_adjoint(own.m + o * BLOCK + to * PANEL, TILES_PLANE, pixel,
                                whole_min(PANEL, t.outputs - o));
        for (int k = 0; k < TILE * TILE; k++) pixel[k] += PANEL;
    }
    at.row--, at.column--;
    winograd_square(pixel, x + t.c, own.zeros, tiles, d->c_in, at, WINDOW);
    winograd_input(own.v + to * SIDE, TILES_PLANE, pixel, t.inputs);
}

static void multiply(Own own, Task t, int tiles, bool accumulate)
{
    for (int f = 0; f < FREQUENCIES; f++)
        for (int o = 0; o < t.outputs; o += PANEL) {
            PanelProduct p = {.a = own.v + f * TILES_PLANE,
                              .a_row = 1,
                              .a_step = SIDE,
                              .b = own.m + f * TILES_PLANE + o * BLOCK,
                              .b_row = PANEL,
                              .c_row = PANEL,
                              .rows = t.inputs,
                              .depth = tiles};
            panel_product(own.du + f * FILTER_PLANE + o * SIDE, p, accumulate);
        }
}

/* dw += the task's part of the gradient. */
static void run_task(float *dw, const float *dy, const float *x, const ConvDims *d,
                     const WinogradTiles *tiles, Task t, Own own)
{
    for (int done = 0; done < t.tiles; done += BLOCK) {
        int count = whole_min(BLOCK, t.tiles - done);
        for (int i = 0; i < count; i++)
            transform_tile(own, i, dy, x, d, tiles, t, t.tile + done + i);
        multiply(own, t, count, done > 0);
    }
    size_t c_in = (size_t)d->c_in, c_out = (size_t)d->c_out;
    for (int c = 0; c < t.inputs; c++)
        for (int o = 0; o < t.outputs; o += PANEL)
            winograd_filter_adjoint(dw + (size_t)(t.c + c) * c_out + (size_t)(t.o + o),
                                    c_in * c_out, own.du + o * SIDE + c * PANEL, FILTER_PLANE,
                                    whole_min(PANEL, t.outputs - o));
}

static size_t filter_size(const ConvDims *d)
{
    return TAPS * (size_t)d->c_in * (size_t)d->c_out;
}

size_t winograd_backward_weight_scratch(const ConvDims *d)
{
    Cut cut = cut_work(d);
    size_t sums = cut.parts > 1 ? (size_t)cut.parts * filter_size(d) : 0;
    return SIDE + (size_t)parallel_threads() * OWN + sums;
}

void winograd_backward_weight(float *dw, const float *dy, const float *x, const ConvDims *d,
                              float *scratch)
{
    Cut cut = cut_work(d);
    size_t size = filter_size(d);
    float *zeros = scratch, *own = zeros + SIDE;
    float *sums = cut.parts > 1 ? own + (size_t)parallel_threads() * OWN : dw;
    memset(zeros, 0, SIDE * sizeof *zeros);
    if (cut.parts > 1) memset(sums, 0, (size_t)cut.parts * size * sizeof *sums);
    int squares = cut.down * cut.across;
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < squares * cut.parts; task++) {
        float *v = own + (size_t)parallel_thread() * OWN, *m = v + FREQUENCIES * TILES_PLANE;
        run_task(sums + (size_t)(task / squares) * size, dy, x, d, &cut.tiles,
                 task_of(&cut, d, task), (Own){v, m, m + FREQUENCIES * TILES_PLANE, zeros});
    }
    for (int part = 0; part < cut.parts && cut.parts > 1; part++)
        for (size_t i = 0; i < size; i++) dw[i] += sums[(size_t)part * size + i];
}
