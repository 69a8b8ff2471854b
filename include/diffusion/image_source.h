/*
 * Where images come from, a block at a time, so that this layer knows no data set.
 */
#ifndef DDPM_DIFFUSION_IMAGE_SOURCE_H
#define DDPM_DIFFUSION_IMAGE_SOURCE_H

#include <stdint.h>

typedef struct {
    /* Write images first .. first + n - 1 of 0 .. count - 1 to out [n, size], in -1 .. 1. */
    void (*fetch)(void *context, float *out, int first, int n);
    void *context;
    int count;
    /* The class of image `i`; NULL: they have none. */
    int32_t (*label)(void *context, int i);
} ImageSource;

#endif
