/*
 * The state is double, so that a chain of a thousand steps adds nothing of its own to the network's
 * error; only what the network reads and writes is float. A step works image by image, each in its
 * own part of every buffer: images may run on any thread without changing a bit.
 */
#include "diffusion/sampler.h"

#include "base/rng.h"
#include "diffusion/predict.h"
#include "diffusion/sampler_steps.h"

#include <assert.h>
#include <math.h>

bool sampler_takes_eta(SamplerKind kind)
{
    return kind == SAMPLER_DDIM || kind == SAMPLER_DPMPP;
}

bool sampler_check(const SamplerConfig *config, const DiffusionConfig *diffusion, Err *err)
{
    const char *name = sampler_names[config->kind];
    if (config->steps < 1 || config->steps > diffusion->timesteps)
        return err_set(err, ERR_USAGE, "steps = %d is not in 1 .. %d, the timesteps of the model",
                       config->steps, diffusion->timesteps);
    if (!(config->eta >= 0.0 && config->eta <= 1.0))
        return err_set(err, ERR_USAGE, "eta = %g is not in [0, 1]", config->eta);
    if (config->eta > 0.0 && !sampler_takes_eta(config->kind))
        return err_set(err, ERR_USAGE,
                       "eta = %g is for the samplers ddim and dpm++, and this is %s; leave eta out "
                       "or choose one of them",
                       config->eta, name);
    if (config->variance == VARIANCE_LEARNED_RANGE && !config->learned_variance)
        return err_set(err, ERR_USAGE,
                       "variance = learned_range, but the model has not learned its variance; "
                       "choose fixed_small or fixed_large");
    char origin[SCHEDULE_ORIGIN];
    schedule_origin(origin, diffusion);
    bool divides = config->kind == SAMPLER_DPMPP || config->kind == SAMPLER_HEUN;
    if (divides && schedule_ends_at_zero(diffusion))
        return err_set(err, ERR_USAGE,
                       "the sampler %s divides by alpha-bar, which the model's %s ends at 0; "
                       "choose ddim or ddpm",
                       name, origin);
    return true;
}

int sampler_entries(int *timesteps, const SamplerConfig *config, int T)
{
    return schedule_timesteps(timesteps, T, config->steps, config->spacing);
}

/* Whether heun corrects a step from entry `i`, which has this alpha-bar. */
static bool corrects(SamplerKind kind, int i, double alpha_bar)
{
    return kind == SAMPLER_HEUN && i > 0 &&
           1.0 - alpha_bar <= alpha_bar * SAMPLER_HEUN_SIGMA * SAMPLER_HEUN_SIGMA;
}

int sampler_calls(int *timesteps, const SamplerConfig *config, const Schedule *full)
{
    int count = sampler_entries(timesteps, config, full->T);
    int start = config->start > 0 ? config->start : count, calls = start;
    for (int i = 0; i < start; i++)
        calls += corrects(config->kind, i, full->alpha_bar[timesteps[i] - 1]);
    return calls;
}

static RngKey key_of(uint64_t seed, uint32_t image, int step, RngStream stream)
{
    return (RngKey){.seed = seed, .image = image, .step = (uint32_t)step, .stream = stream};
}

void sampler_draw_x_T(float *x_T, int n, size_t size, uint64_t seed, uint32_t first_image)
{
    for (int i = 0; i < n; i++)
        rng_normal(x_T + (size_t)i * size, size,
                   key_of(seed, first_image + (uint32_t)i, 0, RNG_X_T));
}

/* What the network puts out for `elements` of x_t. */
static size_t outputs(const SamplerConfig *config, size_t elements)
{
    return config->learned_variance ? 2 * elements : elements;
}

size_t sampler_bytes(const SamplerConfig *config, int n, size_t size)
{
    size_t elements = (size_t)n * size;
    return schedule_bytes(config->steps) + memory_round((size_t)config->steps * sizeof(int)) +
           5 * memory_round(elements * sizeof(double)) + memory_round(elements * sizeof(float)) +
           memory_round(outputs(config, elements) * sizeof(float));
}

static void widen(double *out, const float *in, size_t size)
{
    for (size_t i = 0; i < size; i++) out[i] = (double)in[i];
}

static void round_to_float(float *out, const double *in, size_t size)
{
    for (size_t i = 0; i < size; i++) out[i] = (float)in[i];
}

void sampler_init(Sampler *sampler, Arena *arena, const SamplerConfig *config, const Schedule *full,
                  const float *x_T, int n, size_t size)
{
    assert(!config->learned_variance ||
           (config->channels > 0 && size % (size_t)config->channels == 0));
    size_t elements = (size_t)n * size;
    int *timesteps = arena_take(arena, (size_t)config->steps * sizeof *timesteps);
    int count = sampler_entries(timesteps, config, full->T);
    int start = config->start > 0 ? config->start : count;
    assert(start <= count);
    *sampler = (Sampler){.config = *config, .full = full, .left = start, .n = n, .size = size};
    sampler->config.start = start;
    schedule_respace(&sampler->chain, arena, full, timesteps, count);

    double **doubles[] = {&sampler->x_t, &sampler->x_0, &sampler->x_0_before, &sampler->epsilon,
                          &sampler->noise};
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        *doubles[i] = arena_take(arena, elements * sizeof(double));
    sampler->network_in = arena_take(arena, elements * sizeof(float));
    sampler->network_out = arena_take(arena, outputs(config, elements) * sizeof(float));

    if (!x_T) {
        sampler_draw_x_T(sampler->network_in, n, size, config->seed, config->first_image);
        x_T = sampler->network_in;
    }
    widen(sampler->x_t, x_T, elements);
}

/* The noise of this step for one image, whose part of network_in is free by now. */
static const double *draw_noise(Sampler *s, int image, int t)
{
    size_t at = (size_t)image * s->size;
    uint32_t index = s->config.shared_noise ? 0 : s->config.first_image + (uint32_t)image;
    RngKey key = key_of(s->config.seed, index, t, RNG_SAMPLER_NOISE);
    key.part = s->part;
    rng_normal(s->network_in + at, s->size, key);
    widen(s->noise + at, s->network_in + at, s->size);
    return s->noise + at;
}

typedef enum { OUTPUT_PREDICTION, OUTPUT_VARIANCE } Output;

/* One half of what the network put out for an image; without a learned variance the first is all.
 */
static void take_output(double *out, const Sampler *s, int image, Output half)
{
    const float *in = s->network_out + outputs(&s->config, (size_t)image * s->size);
    if (!s->config.learned_variance) {
        widen(out, in, s->size);
        return;
    }
    size_t channels = (size_t)s->config.channels, pixels = s->size / channels;
    in += half == OUTPUT_VARIANCE ? channels : 0;
    for (size_t p = 0; p < pixels; p++) widen(out + p * channels, in + 2 * p * channels, channels);
}

/* x_0 of an image from what the network said of `x` at `t`. */
static void predict_image(Sampler *s, double *x_0, const double *x, int image, int t)
{
    take_output(x_0, s, image, OUTPUT_PREDICTION);
    predict_x0(x_0, x_0, x, s->config.prediction, s->full, t - 1, s->size);
    if (s->config.clip)
        for (size_t k = 0; k < s->size; k++) x_0[k] = predict_clip(x_0[k]);
}

static void step_ddpm(Sampler *s, int image, const double *noise)
{
    size_t at = (size_t)image * s->size;
    double *x_t = s->x_t + at, *x_0 = s->x_0 + at, *v = s->epsilon + at;
    int i = s->left - 1;
    if (s->config.variance == VARIANCE_LEARNED_RANGE) {
        take_output(v, s, image, OUTPUT_VARIANCE);
        sampler_ddpm_learned(x_t, x_0, x_t, noise, v, &s->chain, i, s->size);
    } else {
        sampler_ddpm(x_t, x_0, x_t, noise, &s->chain, i, s->config.variance, s->size);
    }
}

static void step_ddim(Sampler *s, int image, const double *noise)
{
    size_t at = (size_t)image * s->size;
    double *x_t = s->x_t + at, *x_0 = s->x_0 + at, *epsilon = s->epsilon + at;
    int i = s->left - 1;
    double now = s->chain.alpha_bar[i], prev = s->chain.alpha_bar_prev[i];
    predict_epsilon(epsilon, x_0, x_t, now, s->size);
    sampler_ddim(x_t, x_0, epsilon, noise, now, prev, s->config.eta, s->size);
}

static void step_dpmpp(Sampler *s, int image, const double *noise)
{
    size_t at = (size_t)image * s->size;
    int i = s->left - 1;
    bool second_order = i > 0 && i < s->config.start - 1;
    const double *before = second_order ? s->x_0_before + at : NULL;
    double alpha_bar[3] = {s->chain.alpha_bar[second_order ? i + 1 : i], s->chain.alpha_bar[i],
                           s->chain.alpha_bar_prev[i]};
    sampler_dpmpp(s->x_t + at, s->x_0 + at, before, s->x_t + at, noise, alpha_bar, s->config.eta,
                  s->size);
}

/* The Euler step. */
static void step_heun(Sampler *s, int image)
{
    size_t at = (size_t)image * s->size;
    double *x_t = s->x_t + at, *x_0 = s->x_0 + at, *epsilon = s->epsilon + at;
    int i = s->left - 1;
    double now = s->chain.alpha_bar[i], prev = s->chain.alpha_bar_prev[i];
    predict_epsilon(epsilon, x_0, x_t, now, s->size);
    double *end = corrects(SAMPLER_HEUN, i, now) ? s->noise + at : x_t;
    sampler_ddim(end, x_0, epsilon, NULL, now, prev, 0, s->size);
}

/* With what the network said at the end of the Euler step. */
static void correct_heun(Sampler *s, int image)
{
    size_t at = (size_t)image * s->size;
    const double *x_euler = s->noise + at, *epsilon = s->epsilon + at;
    double *x_t = s->x_t + at, *epsilon_prev = s->x_0_before + at;
    int i = s->left - 1;
    double now = s->chain.alpha_bar[i], prev = s->chain.alpha_bar_prev[i];
    predict_image(s, epsilon_prev, x_euler, image, s->chain.timestep[i - 1]);
    predict_epsilon(epsilon_prev, epsilon_prev, x_euler, prev, s->size);
    sampler_heun(x_t, epsilon, epsilon_prev, x_t, now, prev, s->size);
}

static void step_image(Sampler *s, int image)
{
    int i = s->left - 1, t = s->chain.timestep[i];
    size_t at = (size_t)image * s->size;
    bool noisy = i > 0 && (s->config.kind == SAMPLER_DDPM || s->config.eta > 0.0);
    predict_image(s, s->x_0 + at, s->x_t + at, image, t);
    const double *noise = noisy ? draw_noise(s, image, t) : NULL;
    switch (s->config.kind) {
    case SAMPLER_DDPM:
        step_ddpm(s, image, noise);
        return;
    case SAMPLER_DDIM:
        step_ddim(s, image, noise);
        return;
    case SAMPLER_DPMPP:
        step_dpmpp(s, image, noise);
        return;
    case SAMPLER_HEUN:
        step_heun(s, image);
        return;
    }
    assert(!"a sampler");
}

/* What the network says of `x` [n, size] at entry `i` of the chain. */
static void ask(Sampler *s, Denoiser denoise, void *context, const double *x, int i)
{
    round_to_float(s->network_in, x, (size_t)s->n * s->size);
    denoise(context, s->network_out, s->network_in, s->chain.timestep[i], s->n);
    s->calls++;
}

bool sampler_step(Sampler *s, Denoiser denoise, void *context)
{
    assert(s->left > 0);
    int i = s->left - 1;
    double *x_0 = s->x_0;
    s->x_0 = s->x_0_before, s->x_0_before = x_0;
    ask(s, denoise, context, s->x_t, i);
#pragma omp parallel for schedule(static)
    for (int image = 0; image < s->n; image++) step_image(s, image);
    if (corrects(s->config.kind, i, s->chain.alpha_bar[i])) {
        ask(s, denoise, context, s->noise, i - 1);
#pragma omp parallel for schedule(static)
        for (int image = 0; image < s->n; image++) correct_heun(s, image);
    }
    return --s->left > 0;
}

void sampler_predict(Sampler *s, const double *x, int i, Denoiser denoise, void *context)
{
    ask(s, denoise, context, x, i);
#pragma omp parallel for schedule(static)
    for (int image = 0; image < s->n; image++) {
        size_t at = (size_t)image * s->size;
        predict_image(s, s->x_0 + at, x + at, image, s->chain.timestep[i]);
        predict_epsilon(s->epsilon + at, s->x_0 + at, x + at, s->chain.alpha_bar[i], s->size);
    }
}

void sampler_result(float *out, const Sampler *sampler)
{
    round_to_float(out, sampler->x_t, (size_t)sampler->n * sampler->size);
}
