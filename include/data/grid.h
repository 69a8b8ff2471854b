/*
 * Many images as one: rows of them, from the top left on, with 2 black pixels between and around.
 */
#ifndef DDPM_DATA_GRID_H
#define DDPM_DATA_GRID_H

#include "data/image.h"

enum { GRID_BORDER = 2 };

typedef struct {
    int count, height, width, channels; /* of each image */
    int columns;                        /* 0: the whole number from the root of count upwards */
} GridDims;

/* The black grid (allocated) that so many images need. ERR_USAGE at 2^30 bytes and more. */
bool grid_new(Image *grid, GridDims dims, Err *err);

/* `grid` (allocated) = `images` [count,height,width,channels], count >= 1. ERR_USAGE at 2^30 bytes
 * and more. */
bool grid_make(Image *grid, const uint8_t *images, GridDims dims, Err *err);

/* The same of `images` in [-1, 1] (data/pixels.h), into the PNG file `path`, with `texts` [count].
 */
bool grid_write(const char *path, const float *images, GridDims dims, const PngText *texts,
                int count, Err *err);

#endif
