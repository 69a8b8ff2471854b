/*
 * The variational bound on -log p(x_0) of images under a network, in bits per dimension
 * (Ho et al. 2020, eq. 5; the terms are those of diffusion/likelihood.h):
 *
 *     L_T + sum over t = 2..T of L_{t-1}(x_t) + L_0(x_1),   x_t ~ q(x_t | x_0)
 *
 * Its expectation over the noise is what both of these estimate without bias, for each image:
 *
 *   full      one x_t for each t: T network calls an image (Nichol & Dhariwal 2021, their code)
 *   budget K  L_0 once, and K - 1 t out of 2..T, t_k ~ p in strata of equal mass:
 *                 C + L_T + L_0 + 1 / (K - 1) sum over k of (L_{t_k - 1} - C_{t_k}) / p(t_k)
 *             where C_t is what the variances alone make of L_{t-1}, known outright where they are
 *             fixed (else 0), and C its sum over t
 *
 * The first BOUND_PILOT images draw from a guess g(t), that of data of known variance; from then on
 *     p(t) ~ g(t) sqrt(E[((L_{t-1} - C_t) / g(t))^2]),
 * what is least noisy, with the expectation over those images in each stratum, and a tenth of p
 * is g. So p never depends on the image it is used for, nor on how the images are split.
 *
 * A term has x_0 clipped to [-1, 1] if so configured, as the sampler has it, and as published
 * figures have it (Ho et al. 2020, Nichol & Dhariwal 2021 in their code), whatever the variance.
 *
 * x_t of image j is drawn from RNG_EVAL_NOISE at (seed, j, t), part k; t_k from RNG_EVAL_TIMESTEP.
 */
#ifndef DDPM_DIFFUSION_BOUND_H
#define DDPM_DIFFUSION_BOUND_H

#include "base/memory.h"
#include "base/moments.h"
#include "diffusion/config.h"
#include "diffusion/image_source.h"
#include "diffusion/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BOUND_PILOT = 16 };

/* Write what the network predicts of the `n` rows of x_t, each at its own t (1..T), to out
 * [n, pixels, loss_output_channels]; `image`: which image of the source a row is of, for classes.
 */
typedef void (*BoundDenoiser)(void *context, float *out, const float *x_t, const int *t,
                              const int *image, int n);

/* Called after each batch with the rows asked so far; false stops. */
typedef bool (*BoundProgress)(void *context, long done);

typedef struct {
    const DiffusionConfig *diffusion;
    const Schedule *schedule; /* the chain the network was trained on */
    size_t pixels;
    int channels; /* of an image */
    int rows;     /* asked at once, 1 or more */
    int budget;   /* K, 2 or more; 0: full */
    bool clip;
    uint64_t seed;
} BoundConfig;

/* Which t the rows of an image are asked at; p is 0 at the first entry, which is always asked. */
typedef struct {
    int strata;                  /* K - 1; 0: full */
    double *guess;               /* [T] g */
    double *p, *cumulative;      /* [T] */
    double *ratios;              /* [strata] the sum of ((L - C) / g)^2 over the pilot */
    double *constant, constants; /* [T] C_t in bits, and their sum */
} BoundProposal;

typedef struct {
    BoundConfig config;
    BoundProposal proposal;
    size_t size, out_size;
    float *x_0, *x_t, *out; /* [rows, size], [rows, size], [rows, out_size] */
    int *t, *image;         /* [rows] */
    double *bits, *weight;  /* [rows] a term, and what it counts in its image's sum */
    /* of the image that is under way: its sum, its L_0, its draws at the present t */
    double sum, first, draws_sum;
    int draws, draws_entry;

    /* the results, in bits per dimension; of whole images alone but for by_t */
    Moments total, prior, decoder; /* the bound, L_T, L_0 */
    Moments *by_t; /* [T] L_{t-1} of the images that were asked there, at entry t - 1 */
    long asked;    /* rows */
} Bound;

/* Rows that an image takes: K or T. */
int bound_rows(const BoundConfig *config);

/* What bound_init takes from an arena. */
size_t bound_bytes(const BoundConfig *config);
void bound_init(Bound *bound, Arena *arena, const BoundConfig *config);

/* The bound of all images of `images`, once. False if it was stopped before the last: then the
 * results are those of what there is so far. `progress` may be NULL. */
bool bound_run(Bound *bound, const ImageSource *images, BoundDenoiser denoise, void *context,
               BoundProgress progress, void *progress_context);

#endif
