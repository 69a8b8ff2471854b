/*
 * The image is cut into tiles of 4x4 outputs; in the transformed domain a convolution is 36
 * products [tiles, c_in] x [c_in, c_out]. Work is cut in one of two ways.
 *
 * Many tiles: a task is a block of tiles. It transforms their inputs, multiplies, and transforms
 * the outputs, all within its core's cache; the transformed filter, made before, is read by all.
 *
 * Few tiles (small images, small batches): the transformed filter, four times the filter, would be
 * most of what is moved. There the inputs are transformed first, and a task is a panel of output
 * channels, whose part of the filter it transforms itself and never writes to memory. Even a
 * prepared filter is no faster then: 256 channels at 4x4, batch 16, take 1.06 ms of one core so,
 * 1.8 ms with it.
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
    TILE = WINOGRAD_TILE,
    WINDOW = WINOGRAD_WINDOW,
    PANEL = WINOGRAD_PANEL,
    M_TILE = WINOGRAD_FREQUENCIES * WINOGRAD_PANEL,
    BLOCK_TILES = 48,
    PLANE_GAP = 16, /* keeps 36 planes from sharing the same few lines of the cache */
};

typedef struct {
    ConvDims d;
    WinogradTiles tiles;
    int panels;   /* of output channels */
    size_t v_row; /* floats of a transformed input tile in one plane */
    size_t u_plane;
} Layout;

static size_t round_up(int a, int step)
{
    return (size_t)whole_divide_up(a, step) * (size_t)step;
}

static Layout layout_of(const ConvDims *d)
{
    Layout l = {.d = *d, .tiles = winograd_tiles(d)};
    l.panels = whole_divide_up(d->c_out, PANEL);
    l.v_row = round_up(d->c_in, SIMD_LANES);
    l.u_plane = (size_t)l.panels * (size_t)d->c_in * PANEL + PLANE_GAP;
    return l;
}

/* The transformed tiles of a block: element (f, t, c) of the inputs at v[f v_plane + t v_row + c],
 * (f, panel, t, o) of the outputs at m[(panel rows + t) M_TILE + f PANEL + o], a tile in one piece,
 * since it is read at once by its transform. */
typedef struct {
    float *v, *m;
    size_t v_plane, rows;
} Tiles;

static size_t v_plane(const Layout *l, int tiles)
{
    return (size_t)tiles * l->v_row + PLANE_GAP;
}

static size_t m_size(int panels, int tiles)
{
    return (size_t)tiles * (size_t)panels * M_TILE;
}

static Tiles tiles_at(float *v, float *m, const Layout *l, int tiles)
{
    return (Tiles){v, m, v_plane(l, tiles), (size_t)tiles};
}

/* Tiles first .. first+count-1 of x into rows from `to` on. */
static void transform_inputs(Tiles t, int to, const float *x, const float *zeros, const Layout *l,
                             int first, int count)
{
    const float *pixel[WINDOW * WINDOW];
    for (int i = 0; i < count; i++) {
        WinogradPlace p = winograd_place(&l->tiles, first + i);
        p.row--, p.column--;
        winograd_square(pixel, x, zeros, &l->tiles, l->d.c_in, p, WINDOW);
        winograd_input(t.v + (size_t)(to + i) * l->v_row, t.v_plane, pixel, l->d.c_in);
    }
}

/* The range of a task in the output: tiles and panels. */
typedef struct {
    int tile, tiles, panel, panels;
} Range;

static void multiply(Tiles t, const float *u, size_t u_plane, const Layout *l, Range r)
{
    size_t c_in = (size_t)l->d.c_in;
    for (int f = 0; f < FREQUENCIES; f++)
        for (int panel = 0; panel < r.panels; panel++) {
            PanelProduct p = {.a = t.v + (size_t)f * t.v_plane,
                              .a_row = l->v_row,
                              .a_step = 1,
                              .b = u + (size_t)f * u_plane + (size_t)panel * c_in * PANEL,
                              .b_row = PANEL,
                              .c_row = M_TILE,
                              .rows = r.tiles,
                              .depth = l->d.c_in};
            float *m = t.m + f * PANEL + (size_t)panel * t.rows * M_TILE;
            panel_product(m, p, false);
        }
}

static void transform_outputs(float *y, Tiles t, ConvAdd add, const Layout *l, Range r)
{
    size_t c = (size_t)l->d.c_out;
    for (int i = 0; i < r.tiles; i++) {
        WinogradPlace p = winograd_place(&l->tiles, r.tile + i);
        size_t pixel = (size_t)((p.image * l->d.h + p.row) * l->d.w + p.column) * c;
        for (int panel = 0; panel < r.panels; panel++) {
            size_t o = (size_t)(r.panel + panel) * PANEL;
            WinogradTile to = {.y = y + pixel + o,
                               .bias = add.bias ? add.bias + o : NULL,
                               .image = add.image ? add.image + (size_t)p.image * c + o : NULL,
                               .residual = add.residual ? add.residual + pixel + o : NULL,
                               .line = (size_t)l->d.w * c,
                               .pixel = c,
                               .rows = whole_min(TILE, l->d.h - p.row),
                               .columns = whole_min(TILE, l->d.w - p.column),
                               .channels = whole_min(PANEL, (int)(c - o))};
            winograd_output(to, t.m + ((size_t)panel * t.rows + (size_t)i) * M_TILE, PANEL);
        }
    }
}

/* Input channels c .. c+count-1 of one panel of the filter; u is where the panel begins. */
static void transform_filter(float *u, size_t u_plane, const float *w, const Layout *l, int panel,
                             int c, int count)
{
    size_t c_out = (size_t)l->d.c_out, tap = (size_t)l->d.c_in * c_out;
    for (int i = c; i < c + count; i++)
        winograd_filter(u + (size_t)i * PANEL, u_plane, w + (size_t)i * c_out + panel * PANEL, tap,
                        whole_min(PANEL, l->d.c_out - panel * PANEL));
}

static void prepare(float *u, const float *w, const Layout *l)
{
    enum { CHANNELS = 32 };
    int down = whole_divide_up(l->d.c_in, CHANNELS);
#pragma omp parallel for schedule(static)
    for (int task = 0; task < l->panels * down; task++) {
        int panel = task / down, c = task % down * CHANNELS;
        transform_filter(u + (size_t)panel * (size_t)l->d.c_in * PANEL, l->u_plane, w, l, panel, c,
                         whole_min(CHANNELS, l->d.c_in - c));
    }
}

static void forward_blocks(float *y, const float *x, const float *u, ConvAdd add, const Layout *l,
                           float *scratch)
{
    size_t v_size = FREQUENCIES * v_plane(l, BLOCK_TILES);
    size_t size = v_size + m_size(l->panels, BLOCK_TILES);
    float *zeros = scratch;
    memset(zeros, 0, l->v_row * sizeof *zeros);
#pragma omp parallel for schedule(dynamic)
    for (int first = 0; first < l->tiles.count; first += BLOCK_TILES) {
        Range r = {first, whole_min(BLOCK_TILES, l->tiles.count - first), 0, l->panels};
        float *own = scratch + l->v_row + (size_t)parallel_thread() * size;
        Tiles t = tiles_at(own, own + v_size, l, BLOCK_TILES);
        transform_inputs(t, 0, x, zeros, l, first, r.tiles);
        multiply(t, u, l->u_plane, l, r);
        transform_outputs(y, t, add, l, r);
    }
}

static size_t forward_blocks_scratch(const Layout *l)
{
    size_t size = FREQUENCIES * v_plane(l, BLOCK_TILES) + m_size(l->panels, BLOCK_TILES);
    return l->v_row + (size_t)parallel_threads() * size;
}

static size_t panel_plane(const Layout *l)
{
    return (size_t)l->d.c_in * PANEL + PLANE_GAP;
}

static void forward_panels(float *y, const float *x, const float *w, ConvAdd add, const Layout *l,
                           float *scratch)
{
    float *zeros = scratch, *v = zeros + l->v_row,
          *rest = v + FREQUENCIES * v_plane(l, l->tiles.count);
    size_t u_size = FREQUENCIES * panel_plane(l);
    size_t size = u_size + m_size(1, l->tiles.count);
    memset(zeros, 0, l->v_row * sizeof *zeros);
#pragma omp parallel
    {
        float *u = rest + (size_t)parallel_thread() * size;
        Tiles t = tiles_at(v, u + u_size, l, l->tiles.count);
#pragma omp for schedule(static)
        for (int tile = 0; tile < l->tiles.count; tile++)
            transform_inputs(t, tile, x, zeros, l, tile, 1);
#pragma omp for schedule(dynamic)
        for (int panel = 0; panel < l->panels; panel++) {
            Range r = {0, l->tiles.count, panel, 1};
            transform_filter(u, panel_plane(l), w, l, panel, 0, l->d.c_in);
            multiply(t, u, panel_plane(l), l, r);
            transform_outputs(y, t, add, l, r);
        }
    }
}

static size_t forward_panels_scratch(const Layout *l)
{
    size_t own = FREQUENCIES * panel_plane(l) + m_size(1, l->tiles.count);
    return l->v_row + FREQUENCIES * v_plane(l, l->tiles.count) + (size_t)parallel_threads() * own;
}

static bool by_panels(const Layout *l)
{
    return l->tiles.count <= l->d.c_out;
}

size_t winograd_prepared_size(const ConvDims *d)
{
    Layout l = layout_of(d);
    return by_panels(&l) ? 0 : FREQUENCIES * l.u_plane;
}

void winograd_prepare(float *prepared, const float *w, const ConvDims *d)
{
    Layout l = layout_of(d);
    if (!by_panels(&l)) prepare(prepared, w, &l);
}

size_t winograd_forward_scratch(const ConvDims *d)
{
    Layout l = layout_of(d);
    if (by_panels(&l)) return forward_panels_scratch(&l);
    return winograd_prepared_size(d) + forward_blocks_scratch(&l);
}

void winograd_forward(float *y, const float *x, const float *w, const float *prepared, ConvAdd add,
                      const ConvDims *d, float *scratch)
{
    Layout l = layout_of(d);
    if (by_panels(&l)) {
        forward_panels(y, x, w, add, &l, scratch);
        return;
    }
    float *u = scratch + forward_blocks_scratch(&l);
    if (!prepared) prepare(u, w, &l);
    forward_blocks(y, x, prepared ? prepared : u, add, &l, scratch);
}
