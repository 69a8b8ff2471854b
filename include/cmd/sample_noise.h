/*
 * x_T from a file instead of drawing it: `ddpm sample --noise`.
 */
#ifndef DDPM_CMD_SAMPLE_NOISE_H
#define DDPM_CMD_SAMPLE_NOISE_H

#include "model/config.h"

#include <stdint.h>

typedef struct {
    float *x_T;     /* [count,h,w,c] of the images asked for; NULL: none was given */
    int count;      /* images */
    uint32_t crc32; /* zlib's, of the numbers in the file */
} SampleNoise;

/* The images first .. first + count - 1 (count 0: all from `first` on) of the file, float32
 * [N,C,H,W]. ERR_USAGE if it holds fewer; ERR_DATA if it holds anything else, or numbers that are
 * not finite. */
bool sample_noise_read(SampleNoise *noise, const char *path, const ModelConfig *model,
                       uint32_t first, int count, Err *err);
void sample_noise_release(SampleNoise *noise);

#endif
