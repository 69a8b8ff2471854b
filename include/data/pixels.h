/*
 * Between bytes as image files hold them, 0 .. 255, and numbers as the network sees them, -1 .. 1.
 */
#ifndef DDPM_DATA_PIXELS_H
#define DDPM_DATA_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* x = byte / 127.5 - 1, for `n` values. */
void pixels_to_floats(float *x, const uint8_t *bytes, size_t n);

/* The same with the columns of one image in reverse order: x [width,channels] for each of `height`
 * rows. */
void pixels_to_floats_mirrored(float *x, const uint8_t *bytes, int height, int width, int channels);

/* byte = round((x + 1) 127.5), halves upwards, clamped to 0 .. 255, for `n` values. NaN is 0. */
void pixels_to_bytes(uint8_t *bytes, const float *x, size_t n);

#endif
