/*
 * The tiles of 4x4 outputs that Winograd's algorithm cuts the images of a batch into. Those at the
 * right and the bottom may stick out.
 */
#ifndef DDPM_NN_WINOGRAD_TILES_H
#define DDPM_NN_WINOGRAD_TILES_H

#include "nn/conv_dims.h"
#include "nn/winograd_transform.h"

#include <stdbool.h>

typedef struct {
    int h, w;         /* of an image, in pixels */
    int down, across; /* tiles of a column and of a row of an image */
    int count;        /* of the batch */
} WinogradTiles;

typedef struct {
    int image, row, column; /* of a tile's first pixel */
} WinogradPlace;

static inline WinogradTiles winograd_tiles(const ConvDims *d)
{
    WinogradTiles tiles = {.h = d->h, .w = d->w};
    tiles.down = (d->h + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
    tiles.across = (d->w + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
    tiles.count = d->n * tiles.down * tiles.across;
    return tiles;
}

static inline WinogradPlace winograd_place(const WinogradTiles *tiles, int tile)
{
    int in_image = tile % (tiles->down * tiles->across);
    return (WinogradPlace){tile / (tiles->down * tiles->across),
                           in_image / tiles->across * WINOGRAD_TILE,
                           in_image % tiles->across * WINOGRAD_TILE};
}

/* pixel[size i + j] = pixel (i,j) of the square at `at` in x [n,h,w,c]; `zeros` where that is
 * outside of the image. */
static inline void winograd_square(const float **pixel, const float *x, const float *zeros,
                                   const WinogradTiles *tiles, int c, WinogradPlace at, int size)
{
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            int row = at.row + i, column = at.column + j;
            bool inside = row >= 0 && row < tiles->h && column >= 0 && column < tiles->w;
            size_t p = ((size_t)at.image * (size_t)tiles->h + (size_t)row) * (size_t)tiles->w +
                       (size_t)column;
            pixel[size * i + j] = inside ? x + p * (size_t)c : zeros;
        }
}

#endif
