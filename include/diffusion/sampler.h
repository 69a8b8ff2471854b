/*
 * The reverse chain: from x_T ~ N(0, I) down to x_0, through the timesteps that were chosen.
 *
 * The steps are functions of one image's `size` elements with the noise given outright; `Sampler`
 * runs them over a batch, asks a Denoiser for what the network predicts, and draws the noise from
 * the counter-based generator, so that image i of a run depends on (seed, i) alone, not on how the
 * run is split into batches.
 */
#ifndef DDPM_DIFFUSION_SAMPLER_H
#define DDPM_DIFFUSION_SAMPLER_H

#include "base/err.h"
#include "base/memory.h"
#include "diffusion/config.h"
#include "diffusion/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- one step of one image; x_prev may alias x_t; `noise` is standard normal, NULL for none ----
 */

/* Ancestral sampling, Ho et al. 2020, algorithm 2 in the form of eq. 6 and 7: with i an entry of
 * the chain that is walked (respaced or not),
 *     x_{i-1} = coef_x0 x_0 + coef_xt x_t + sigma noise,
 * sigma^2 = beta (fixed_large) or posterior_variance (fixed_small), section 3.2. */
void sampler_ddpm(double *x_prev, const double *x_0, const double *x_t, const double *noise,
                  const Schedule *chain, int i, Variance variance, size_t size);

/* Song, Meng & Ermon 2021 (DDIM), eq. 12, from alpha_bar to alpha_bar_prev >= alpha_bar:
 *     x_prev = sqrt(alpha_bar_prev) x_0 + sqrt(1 - alpha_bar_prev - sigma^2) epsilon + sigma noise
 *     sigma = eta sqrt((1 - alpha_bar_prev) / (1 - alpha_bar)) sqrt(1 - alpha_bar/alpha_bar_prev)
 * (eq. 16; eta 1 has the variance of DDPM's fixed_small, eta 0 is deterministic). `epsilon` is the
 * network's own or, after x_0 was clipped, predict_epsilon's: the caller's choice. */
void sampler_ddim(double *x_prev, const double *x_0, const double *epsilon, const double *noise,
                  double alpha_bar, double alpha_bar_prev, double eta, size_t size);

/* DPM-Solver++(2M), Lu et al. 2022, algorithm 2. alpha_bar is that of the step before, of this step
 * and of where it leads. With lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), h = lambda_next
 * - lambda, r = h_before / h:
 *     D = (1 + 1/(2r)) x_0 - 1/(2r) x_0_before
 *     x_prev = sqrt((1 - alpha_bar_next) / (1 - alpha_bar)) x_t - sqrt(alpha_bar_next) (e^-h - 1) D
 * x_0_before NULL: first order, D = x_0, alpha_bar[0] unused; so must be a step to alpha-bar 1,
 * where h is infinite and x_prev = x_0. alpha_bar[1] is in (0, 1). */
void sampler_dpmpp(double *x_prev, const double *x_0, const double *x_0_before, const double *x_t,
                   const double alpha_bar[3], size_t size);

/* ---- the whole chain of a batch ---- */

typedef struct {
    SamplerKind kind;
    Spacing spacing;
    int steps;             /* K, 1 .. T; repeated timesteps are dropped */
    double eta;            /* of DDIM, 0 .. 1; 0 for the others */
    Variance variance;     /* of DDPM */
    Prediction prediction; /* what the network predicts */
    bool clip;             /* x_0 to [-1, 1] at each step */
    int start;             /* 0: all entries of the chain are walked; k: the last k of them */
    uint64_t seed;
    uint32_t first_image; /* which of the run's images is the batch's first */
} SamplerConfig;

/* Write what the network predicts for the `n` images of x_t at `t`, the original timestep, 1 .. T
 * (the network itself is fed t - 1). out, x_t: [n, size], elements in the network's order. */
typedef void (*Denoiser)(void *context, float *out, const float *x_t, int t, int n);

/* A sampling in progress. After each step x_t and the chain may be read, to show how far it is. */
typedef struct {
    SamplerConfig config;
    const Schedule *full; /* the chain that the network was trained on */
    Schedule chain;       /* the entries that are visited: chain.T steps in all */
    int left;             /* steps still to do; the next is from entry left - 1 */
    int n;
    size_t size;
    double *x_t;                     /* [n, size] */
    double *x_0, *x_0_before;        /* [n, size] predicted at this step and the one before */
    double *epsilon, *noise;         /* [n, size] scratch */
    float *network_in, *network_out; /* [n, size] */
} Sampler;

/* Whether `config` can sample from a model trained with `diffusion` (which has passed
 * schedule_check): steps in 1 .. T, eta in [0, 1] and only for DDIM, and no DPM-Solver++ where
 * alpha-bar_T is 0, since it divides by it. ERR_USAGE otherwise. */
bool sampler_check(const SamplerConfig *config, const DiffusionConfig *diffusion, Err *err);

/* How many entries the chain of `config` has: its steps without repeats. `timesteps` [steps] gets
 * them, 1-based, ascending; T is that of the model. */
int sampler_entries(int *timesteps, const SamplerConfig *config, int T);

/* x_T of images first_image .. first_image + n - 1 of the run: x_T [n, size], standard normal. */
void sampler_draw_x_T(float *x_T, int n, size_t size, uint64_t seed, uint32_t first_image);

/* What sampler_init takes from an arena. */
size_t sampler_bytes(const SamplerConfig *config, int n, size_t size);

/* Start from `x_T` [n, size], or from sampler_draw_x_T's if NULL. With config->start = k, at most
 * sampler_entries, `x_T` is x_t at the entry k - 1 of the chain. `config` has passed sampler_check;
 * `full` outlives the sampler. */
void sampler_init(Sampler *sampler, Arena *arena, const SamplerConfig *config, const Schedule *full,
                  const float *x_T, int n, size_t size);

/* Ask `denoise` once, then go one entry down the chain. Whether steps are left:
 *     while (sampler_step(&sampler, denoise, context)) show_progress();
 * x_0 is clipped if so configured, and DDIM then re-derives epsilon from it. The step to x_0 adds
 * no noise. The noise is that of stream RNG_SAMPLER_NOISE at (seed, image, original t). */
bool sampler_step(Sampler *sampler, Denoiser denoise, void *context);

/* x_t as it is now, rounded to float: out [n, size]. x_0 once no step is left. */
void sampler_result(float *out, const Sampler *sampler);

#endif
