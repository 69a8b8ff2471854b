/*
 * The reverse chain: from x_T ~ N(0, I) down to x_0, through the timesteps that were chosen.
 *
 * A `Sampler` runs the steps of diffusion/sampler_steps.h over a batch, asks a Denoiser for what
 * the network predicts, and draws the noise from the counter-based generator, so that image i of a
 * run depends on (seed, i) alone, not on how the run is split into batches.
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

typedef struct {
    SamplerKind kind;
    Spacing spacing;
    int steps;             /* K, 1 .. T; repeated timesteps are dropped */
    double eta;            /* of DDIM, 0 .. 1; 0 for the others */
    Variance variance;     /* of DDPM; learned_range only of a network that learned it */
    Prediction prediction; /* what the network predicts */
    bool clip;             /* x_0 to [-1, 1] at each step */
    bool learned_variance; /* the network puts out the variance's channels too, used or not */
    int channels;          /* C of an image; needed with learned_variance */
    int start;             /* 0: all entries of the chain are walked; k: the last k of them */
    uint64_t seed;
    uint32_t first_image; /* which of the run's images is the batch's first */
} SamplerConfig;

/* Write what the network predicts for the `n` images of x_t at `t`, the original timestep, 1 .. T
 * (the network itself is fed t - 1). out, x_t: [n, size], elements in the network's order. With
 * learned_variance out is [n, pixels, 2 C]: of each pixel the C channels of the prediction, then
 * the C of v (schedule_learned_log_variance). */
typedef void (*Denoiser)(void *context, float *out, const float *x_t, int t, int n);

/* A sampling in progress. After each step x_t, x_0 and the chain may be read, to show how far it
 * is. */
typedef struct {
    SamplerConfig config;
    const Schedule *full; /* the chain that the network was trained on */
    Schedule chain;       /* the entries that are visited: chain.T steps in all */
    int left;             /* steps still to do; the next is from entry left - 1 */
    uint32_t part;        /* of the noise (base/rng.h): 0, unless an entry is walked again */
    int n;
    size_t size;
    double *x_t;              /* [n, size] */
    double *x_0, *x_0_before; /* [n, size] predicted at the last step and the one before */
    double *epsilon,
        *noise;         /* [n, size] scratch; ddpm, which has no use for epsilon, puts v there */
    float *network_in;  /* [n, size] */
    float *network_out; /* [n, size], with learned_variance [n, 2 size] */
} Sampler;

/* Whether `config` can sample from a model trained with `diffusion` (which has passed
 * schedule_check): steps in 1 .. T, eta in [0, 1] and only for DDIM, learned_range only if that is
 * the model's variance, and no DPM-Solver++ where alpha-bar_T is 0, since it divides by it. A fixed
 * variance of a model that learned one leaves what it learned aside. ERR_USAGE otherwise. */
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
