/*
 * The Laplacian pyramid (Burt & Adelson 1983): an image as its details at each scale, level k being
 * what level k of the Gaussian pyramid has and level k + 1, enlarged, has not; the last level is
 * that of the Gaussian pyramid itself. Each scale has half the height and width of the one before,
 * halves rounded up. The filter is [1 4 6 4 1] / 16 in both directions; beyond its edges an image
 * goes on mirrored at the middle of the outermost pixels.
 */
#ifndef DDPM_EVAL_PYRAMID_H
#define DDPM_EVAL_PYRAMID_H

#include <stddef.h>
#include <stdint.h>

/* Levels go down to this many pixels of the shorter side, or there is one, the image itself. */
enum { PYRAMID_SMALLEST = 16, PYRAMID_MAX_LEVELS = 32 };

int pyramid_levels(int height, int width);

/* Pixels of a side of `pixels` at `level`. */
int pyramid_side(int pixels, int level);

/* out [(height+1)/2,(width+1)/2,channels] = every other pixel of x [height,width,channels] after
 * the filter. `scratch` has as many floats as x. Sides of at least 3 pixels. */
void pyramid_down(float *out, const float *x, int height, int width, int channels, float *scratch);

/* out [height,width,channels] = x [(height+1)/2,(width+1)/2,channels] with zeros in between,
 * through 4 times the filter. `scratch` has as many floats as out. */
void pyramid_up(float *out, const float *x, int height, int width, int channels, float *scratch);

/* out [side of height, side of width, channels] = the level of the Laplacian pyramid of `image`
 * [height,width,channels]. `scratch`: three times as many floats as the image has bytes. */
void pyramid_level(float *out, int level, const uint8_t *image, int height, int width, int channels,
                   float *scratch);

#endif
