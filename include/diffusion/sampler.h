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
    double eta;            /* of DDIM and DPM-Solver++, 0 .. 1; 0 for the others */
    Variance variance;     /* of DDPM; learned_range only of a network that learned it */
    Prediction prediction; /* what the network predicts */
    bool clip;             /* x_0 to [-1, 1] at each step */
    bool learned_variance; /* the network puts out the variance's channels too, used or not */
    int channels;          /* C of an image; needed with learned_variance */
    int start;             /* 0: all entries of the chain are walked; k: the last k of them */
    uint64_t seed;
    uint32_t first_image; /* which of the run's images is the batch's first */
    bool shared_noise;    /* all images draw the noise of the run's image 0 */
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
    int calls;            /* of the network, so far */
    int n;
    size_t size;
    double *x_t;              /* [n, size] */
    double *x_0, *x_0_before; /* [n, size] predicted at the last step and the one before;
                               * of heun the latter is scratch */
    double *epsilon, *noise;  /* [n, size] scratch; of ddpm, which has no use for epsilon, v; of
                               * heun, which draws no noise, the end of the Euler step */
    float *network_in;        /* [n, size] */
    float *network_out;       /* [n, size], with learned_variance [n, 2 size] */
} Sampler;

/* Whether the sampler has an eta: how much noise it adds. The others' is 0. */
bool sampler_takes_eta(SamplerKind kind);

/* Whether `config` can sample from a model trained with `diffusion` (which has passed
 * schedule_check): steps in 1 .. T, eta in [0, 1] and 0 for a sampler that takes none,
 * learned_range only if that is the model's variance, and neither DPM-Solver++ nor Heun where
 * alpha-bar_T is 0, since they divide by it. A fixed variance of a model that learned one leaves
 * what it learned aside. ERR_USAGE otherwise. */
bool sampler_check(const SamplerConfig *config, const DiffusionConfig *diffusion, Err *err);

/* How many entries the chain of `config` has: its steps without repeats. `timesteps` [steps] gets
 * them, 1-based, ascending; T is that of the model. */
int sampler_entries(int *timesteps, const SamplerConfig *config, int T);

/* The sigma of heun (sampler_heun) above which its steps are Euler's: the correction multiplies by
 * sigma what two outputs of the network differ by, which ruins the sample where alpha-bar_T is
 * nearly 0 (cosine: sigma 20,000). Karras et al. 2022 leave out the first timesteps of such a
 * schedule (table 1, j_0), to begin at sigma 80. */
#define SAMPLER_HEUN_SIGMA 160.0

/* Network calls in all: one for each step, and of heun another for each that is corrected, which
 * are those from sigma <= SAMPLER_HEUN_SIGMA but for the last. `timesteps` as of
 * sampler_entries. */
int sampler_calls(int *timesteps, const SamplerConfig *config, const Schedule *full);

/* x_T of images first_image .. first_image + n - 1 of the run: x_T [n, size], standard normal. */
void sampler_draw_x_T(float *x_T, int n, size_t size, uint64_t seed, uint32_t first_image);

/* What sampler_init takes from an arena. */
size_t sampler_bytes(const SamplerConfig *config, int n, size_t size);

/* Start from `x_T` [n, size], or from sampler_draw_x_T's if NULL. With config->start = k, at most
 * sampler_entries, `x_T` is x_t at the entry k - 1 of the chain. `config` has passed sampler_check;
 * `full` outlives the sampler. */
void sampler_init(Sampler *sampler, Arena *arena, const SamplerConfig *config, const Schedule *full,
                  const float *x_T, int n, size_t size);

/* Ask `denoise`, heun twice where it corrects, and go one entry down the chain.
 * Whether steps are left:
 *     while (sampler_step(&sampler, denoise, context)) show_progress(sampler.calls);
 * x_0 is clipped if so configured, and epsilon then re-derived from it. The step to x_0 adds no
 * noise. The noise is that of stream RNG_SAMPLER_NOISE at (seed, image, original t). */
bool sampler_step(Sampler *sampler, Denoiser denoise, void *context);

/* What the network says of any `x` [n, size] at entry `i` of the chain, without a step: x_0,
 * clipped if so configured, and the epsilon that leads from it to x. `x` may be x_t, noise or
 * x_0_before of the sampler. */
void sampler_predict(Sampler *sampler, const double *x, int i, Denoiser denoise, void *context);

/* x_t as it is now, rounded to float: out [n, size]. x_0 once no step is left. */
void sampler_result(float *out, const Sampler *sampler);

#endif
