#include "diffusion/config.h"

#include <stddef.h>

const char *const schedule_names[] = {
    [SCHEDULE_LINEAR] = "linear",     [SCHEDULE_QUADRATIC] = "quadratic",
    [SCHEDULE_CONSTANT] = "constant", [SCHEDULE_JSD] = "jsd",
    [SCHEDULE_COSINE] = "cosine",     [SCHEDULE_SIGMOID] = "sigmoid",
    [SCHEDULE_SIGMOID + 1] = NULL,
};

const char *const prediction_names[] = {
    [PREDICT_EPSILON] = "epsilon", [PREDICT_X0] = "x0", [PREDICT_MEAN] = "mean", [PREDICT_V] = "v",
    [PREDICT_V + 1] = NULL,
};

const char *const variance_names[] = {
    [VARIANCE_FIXED_SMALL] = "fixed_small",
    [VARIANCE_FIXED_LARGE] = "fixed_large",
    [VARIANCE_LEARNED_RANGE] = "learned_range",
    [VARIANCE_LEARNED_RANGE + 1] = NULL,
};

const char *const loss_names[] = {
    [LOSS_SIMPLE] = "simple",   [LOSS_VLB] = "vlb", [LOSS_HYBRID] = "hybrid",
    [LOSS_MIN_SNR] = "min_snr", [LOSS_P2] = "p2",   [LOSS_P2 + 1] = NULL,
};

const char *const timestep_sampler_names[] = {
    [TIMESTEP_UNIFORM] = "uniform",
    [TIMESTEP_STRATIFIED] = "stratified",
    [TIMESTEP_IMPORTANCE] = "importance",
    [TIMESTEP_IMPORTANCE + 1] = NULL,
};

const char *const sampler_names[] = {
    [SAMPLER_DDPM] = "ddpm", [SAMPLER_DDIM] = "ddim",   [SAMPLER_DPMPP] = "dpm++",
    [SAMPLER_HEUN] = "heun", [SAMPLER_HEUN + 1] = NULL,
};

const char *const spacing_names[] = {
    [SPACING_LINSPACE] = "linspace", [SPACING_LEADING] = "leading",
    [SPACING_TRAILING] = "trailing", [SPACING_QUADRATIC] = "quadratic",
    [SPACING_QUADRATIC + 1] = NULL,
};
