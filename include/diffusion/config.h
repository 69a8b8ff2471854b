/*
 * The keys of `diffusion` and `sample` in a config: names and values, each written once here and
 * used by the config, the command line and the diffusers files alike.
 */
#ifndef DDPM_DIFFUSION_CONFIG_H
#define DDPM_DIFFUSION_CONFIG_H

#include <stdbool.h>

typedef enum {
    SCHEDULE_LINEAR,
    SCHEDULE_QUADRATIC,
    SCHEDULE_CONSTANT,
    SCHEDULE_JSD,
    SCHEDULE_COSINE,
    SCHEDULE_SIGMOID,
} ScheduleKind;

typedef enum { PREDICT_EPSILON, PREDICT_X0, PREDICT_MEAN, PREDICT_V } Prediction;
typedef enum { VARIANCE_FIXED_SMALL, VARIANCE_FIXED_LARGE, VARIANCE_LEARNED_RANGE } Variance;
typedef enum { LOSS_SIMPLE, LOSS_VLB, LOSS_HYBRID, LOSS_MIN_SNR, LOSS_P2 } Loss;
typedef enum { TIMESTEP_UNIFORM, TIMESTEP_STRATIFIED, TIMESTEP_IMPORTANCE } TimestepSampler;
typedef enum { SAMPLER_DDPM, SAMPLER_DDIM, SAMPLER_DPMPP, SAMPLER_HEUN } SamplerKind;
typedef enum { SPACING_LINSPACE, SPACING_LEADING, SPACING_TRAILING, SPACING_QUADRATIC } Spacing;

/* Names by value, ended by NULL, as users type them: "linear", ... "epsilon", "x0", "mean", "v";
 * "fixed_small", ...; "simple", ...; "uniform", ...; "ddpm", "ddim", "dpm++", "heun"; "linspace",
 * ... */
extern const char *const schedule_names[];
extern const char *const prediction_names[];
extern const char *const variance_names[];
extern const char *const loss_names[];
extern const char *const timestep_sampler_names[];
extern const char *const sampler_names[];
extern const char *const spacing_names[];

enum { DIFFUSION_MAX_BETAS = 4096 };

typedef struct {
    int timesteps; /* T */
    ScheduleKind schedule;
    double beta_start, beta_end;
    int betas_count; /* 0, or T: they take the place of the schedule */
    double betas[DIFFUSION_MAX_BETAS];
    bool zero_terminal_snr; /* alpha-bars are rescaled to end at 0 */
    Prediction prediction;
    Variance variance;
    Loss loss;
    double min_snr_gamma;  /* of LOSS_MIN_SNR */
    double p2_gamma, p2_k; /* of LOSS_P2 */
    TimestepSampler timestep_sampler;
} DiffusionConfig;

#endif
