/*
 * The transforms of Winograd's minimal convolution F(4x4, 3x3) (Lavin & Gray 2016, section 4):
 *
 *     Y = A' [(G g G') o (B' d B)] A        d 6x6 of the input, g the 3x3 filter, Y 4x4
 *
 * on the interpolation points 0, +-3/4, +-3/2 and infinity. All constants are exact in float, and
 * points this close to 1 keep a convolution of 128 channels within 2e-6 of its largest output,
 * where the usual 0, +-1, +-2 give 8e-6.
 *
 * Each function works on one tile (or one row of the filter) and a run of channels. Transformed
 * tiles have 36 planes, one for each frequency, `plane` floats apart. What has output channels is
 * in panels of WINOGRAD_PANEL of them, so that products read and write them in one piece; lanes
 * past the last channel hold zeros or nothing of meaning.
 */
#ifndef DDPM_NN_WINOGRAD_TRANSFORM_H
#define DDPM_NN_WINOGRAD_TRANSFORM_H

#include "nn/panel_product.h"

#include <stddef.h>

enum {
    WINOGRAD_FREQUENCIES = 36,
    WINOGRAD_TILE = 4,              /* pixels of output */
    WINOGRAD_WINDOW = 6,            /* pixels of input that a tile needs */
    WINOGRAD_PANEL = PANEL_COLUMNS, /* output channels that a product makes at a time */
};

/* v[f * plane + c] = B' d B for c < channels rounded up to SIMD_LANES; pixel[6 i + j] is the
 * window's pixel (i,j), or zeros. */
void winograd_input(float *v, size_t plane, const float *const *pixel, int channels);

/* One panel of the transformed filter for one input channel: u[f * plane + o], o < WINOGRAD_PANEL.
 * g[tap * tap_stride + o] is the filter, for o < outputs. */
void winograd_filter(float *u, size_t plane, const float *g, size_t tap_stride, int outputs);

/* The adjoint: dg[tap * tap_stride + o] += G' du G. */
void winograd_filter_adjoint(float *dg, size_t tap_stride, const float *du, size_t plane,
                             int outputs);

/* Where a tile goes to in y, and what is added there; `channels` of them from y on. */
typedef struct {
    float *y;
    const float *bias, *image, *residual; /* at the same channel (and pixel) as y, or NULL */
    size_t line, pixel;                   /* floats from row to row, and from pixel to pixel */
    int rows, columns;                    /* of the tile that are inside the image, at most 4 */
    int channels;                         /* at most WINOGRAD_PANEL */
} WinogradTile;

/* One panel of one tile: A' m A + what is added, m[f * plane + o]. */
void winograd_output(WinogradTile to, const float *m, size_t plane);

/* The adjoint: m[f * plane + o] = A dy A' for one panel, `channels` of them; pixel[4 i + j] is dy's
 * pixel (i,j) of the tile, or zeros. */
void winograd_output_adjoint(float *m, size_t plane, const float *const *pixel, int channels);

#endif
