/*
 * The best possible denoiser of a finite set of images x_1 .. x_N as it stands: the conditional
 * mean, computed outright instead of learned,
 *
 *     E[x_0 | x_t] = sum over i of w_i x_i,
 *     w = softmax over i of -|x_t - sqrt(alpha-bar_t) x_i|^2 / (2 (1 - alpha-bar_t))
 *
 * over all of them or, where a class is asked for, those of the class: what a network that is told
 * it could do at best. It holds since q(x_t | x_0) is normal (Ho et al. 2020, eq. 4) and each x_i
 * as likely as the others. No network has a lower expected loss on that set; walking the reverse
 * chain with it ends in images of the set. It is computed in blocks of the set, by products of
 * matrices in float, whose rounding moves the exponents by about 1e-5 / (1 - alpha-bar_t): what
 * that mixes wrongly are images which are as near to each other as the noise is wide, so that the
 * mean hardly moves (1e-4 at most).
 */
#ifndef DDPM_DIFFUSION_ORACLE_H
#define DDPM_DIFFUSION_ORACLE_H

#include "base/memory.h"
#include "diffusion/config.h"
#include "diffusion/image_source.h"
#include "diffusion/schedule.h"

#include <stddef.h>

typedef struct {
    const DiffusionConfig *diffusion; /* what it puts x_0 as, where it stands for a network */
    const Schedule *schedule;         /* the chain of the original t */
    const ImageSource *images;        /* the set, one or more; fetched anew at each call */
    size_t pixels;
    int channels;
    int rows; /* of x_t that share a walk through the set; the more, the faster */
} OracleConfig;

typedef struct {
    OracleConfig config;
    size_t size, out_size;
    float *block;         /* [ORACLE_BLOCK, size] images */
    int32_t *labels;      /* [ORACLE_BLOCK] their classes */
    double *squares;      /* [ORACLE_BLOCK] of which the |x_i|^2 */
    float *scores;        /* [rows, ORACLE_BLOCK] products, then weights */
    float *x_0;           /* [rows, size] sums, then means */
    double *most, *total; /* [rows] the greatest exponent so far, the sum of weights */
    int *t;               /* [rows] */
} Oracle;

enum { ORACLE_BLOCK = 1024 };

/* What oracle_init takes from an arena. `config` and what it points at outlive the oracle. */
size_t oracle_bytes(const OracleConfig *config);
void oracle_init(Oracle *oracle, Arena *arena, const OracleConfig *config);

/* out [n, size]: E[x_0 | x_t] of each row of x_t [n, size] at its t (1..T), over the images of its
 * class: `classes` [n], of which there are images, -1: all images; NULL: all, for each row. NaN
 * stays in its row. */
void oracle_x_0(Oracle *oracle, float *out, const float *x_t, const int *t, const int32_t *classes,
                int n);

/* That of all images as what a network with `diffusion` would have to say, out [n, pixels,
 * loss_output_channels]; v of learned_range is -1, the posterior's variance, as that of an image
 * which is known. A Denoiser (diffusion/sampler.h) and a BoundDenoiser (diffusion/bound.h), whose
 * context is the Oracle. */
void oracle_denoise(void *oracle, float *out, const float *x_t, int t, int n);
void oracle_bound(void *oracle, float *out, const float *x_t, const int *t, const int *image,
                  int n);

#endif
