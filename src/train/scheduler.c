#include "train/scheduler.h"

#include "diffusion/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Names in diffusers by our value; NULL where it has none. */
static const char *const SCHEDULES[] = {
    [SCHEDULE_LINEAR] = "linear",
    [SCHEDULE_QUADRATIC] = "scaled_linear",
    [SCHEDULE_CONSTANT] = NULL,
    [SCHEDULE_JSD] = NULL,
    [SCHEDULE_COSINE] = "squaredcos_cap_v2",
    [SCHEDULE_SIGMOID] = "sigmoid",
};
static const char *const PREDICTIONS[] = {
    [PREDICT_EPSILON] = "epsilon",
    [PREDICT_X0] = "sample",
    [PREDICT_MEAN] = NULL,
    [PREDICT_V] = "v_prediction",
};
static const char *const VARIANCES[] = {
    [VARIANCE_FIXED_SMALL] = "fixed_small",
    [VARIANCE_FIXED_LARGE] = "fixed_large",
    [VARIANCE_LEARNED_RANGE] = "learned_range",
};

enum { COUNT_SCHEDULES = 6, COUNT_PREDICTIONS = 4, COUNT_VARIANCES = 3 };

/* ---- writing ---- */

/* As they are before they are rescaled. */
static bool write_betas(Json *json, const DiffusionConfig *config, Err *err)
{
    DiffusionConfig plain = *config;
    plain.zero_terminal_snr = false;
    Arena arena;
    Schedule schedule;
    if (!arena_init(&arena, schedule_bytes(config->timesteps), "the schedule", err)) return false;
    schedule_init(&schedule, &arena, &plain);
    Json *betas = json_new_list();
    for (int i = 0; i < schedule.T; i++) json_add_number(betas, schedule.beta[i]);
    json_set(json, "trained_betas", betas);
    arena_release(&arena);
    return true;
}

bool scheduler_write(Json **out, const DiffusionConfig *config, bool clip, Err *err)
{
    const char *schedule = config->betas_count > 0 ? NULL : SCHEDULES[config->schedule];
    const char *prediction = PREDICTIONS[config->prediction];
    Json *json = json_new_object();
    json_set_string(json, "_class_name", "DDPMScheduler");
    json_set_string(json, "_diffusers_version", "0.1.1");
    json_set_number(json, "beta_start", config->beta_start);
    json_set_number(json, "beta_end", config->beta_end);
    json_set_string(json, "beta_schedule", schedule ? schedule : "linear");
    json_set_bool(json, "clip_sample", clip);
    json_set_number(json, "num_train_timesteps", config->timesteps);
    /* diffusers cannot sample from a predicted mean: it refuses this name. */
    json_set_string(json, "prediction_type", prediction ? prediction : "mean");
    json_set_string(json, "variance_type", VARIANCES[config->variance]);
    if (config->zero_terminal_snr) json_set_bool(json, "rescale_betas_zero_snr", true);
    if (schedule) {
        json_set_null(json, "trained_betas");
    } else if (!write_betas(json, config, err)) {
        json_free(json);
        *out = NULL;
        return false;
    }
    *out = json;
    return true;
}

/* ---- reading ---- */

static bool read_name(int *out, int missing, const char *const *names, int count, const Json *json,
                      const char *key, const char *origin, Err *err)
{
    const Json *value = json_get(json, key);
    *out = missing;
    if (!value) return true;
    for (int i = 0; i < count; i++)
        if (names[i] && json_type(value) == JSON_STRING &&
            strcmp(names[i], json_string(value)) == 0) {
            *out = i;
            return true;
        }
    char wanted[256] = "one of";
    for (int i = 0; i < count; i++) {
        size_t used = strlen(wanted);
        if (names[i]) snprintf(wanted + used, sizeof wanted - used, " %s", names[i]);
    }
    return json_refuse(value, key, origin, wanted, err);
}

static bool read_number(double *out, double missing, double least, double most, const Json *json,
                        const char *key, const char *origin, Err *err)
{
    const Json *value = json_get(json, key);
    *out = missing;
    if (!value) return true;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a number from %g to %g", least, most);
    if (json_type(value) != JSON_NUMBER || json_number(value) < least || json_number(value) > most)
        return json_refuse(value, key, origin, wanted, err);
    *out = json_number(value);
    return true;
}

static bool read_timesteps(int *out, const Json *json, const char *origin, Err *err)
{
    const char *key = "num_train_timesteps";
    const Json *value = json_get(json, key);
    uint64_t whole;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a whole number from 2 to %d", SCHEDULE_MAX_T);
    if (json_type(value) != JSON_NUMBER || !json_whole(&whole, value, SCHEDULE_MAX_T) || whole < 2)
        return json_refuse(value, key, origin, wanted, err);
    *out = (int)whole;
    return true;
}

/* The list is beta_1 .. beta_T of the schedule. */
static bool betas_are(ScheduleKind schedule, const DiffusionConfig *config, const Json *list)
{
    int t = 1, T = config->timesteps;
    if (json_count(list) != (size_t)T) return false;
    for (const Json *beta = json_first(list); beta; beta = json_next(beta), t++) {
        double wanted = schedule == SCHEDULE_JSD ? 1.0 / (T - t + 1) : config->beta_end;
        if (json_type(beta) != JSON_NUMBER || fabs(json_number(beta) - wanted) > 1e-12 * wanted)
            return false;
    }
    return true;
}

static bool take_betas(DiffusionConfig *config, const Json *list)
{
    int i = 0;
    if (json_count(list) != (size_t)config->timesteps || config->timesteps > DIFFUSION_MAX_BETAS)
        return false;
    for (const Json *beta = json_first(list); beta; beta = json_next(beta), i++) {
        bool number = json_type(beta) == JSON_NUMBER;
        config->betas[i] = number ? json_number(beta) : 0;
        if (!(config->betas[i] > 0 && config->betas[i] <= 1)) return false;
    }
    config->betas_count = i;
    return true;
}

/* trained_betas, where there are any, take the place of beta_schedule. Those of schedules that
 * scheduler_write has no name for are known again. */
static bool read_betas(DiffusionConfig *config, const Json *json, const char *origin, Err *err)
{
    static const ScheduleKind unnamed[] = {SCHEDULE_CONSTANT, SCHEDULE_JSD};
    const char *key = "trained_betas";
    const Json *list = json_get(json, key);
    char wanted[96];
    config->betas_count = 0;
    if (!list || json_type(list) == JSON_NULL) return true;
    for (int i = 0; i < 2 && json_type(list) == JSON_LIST; i++)
        if (betas_are(unnamed[i], config, list)) {
            config->schedule = unnamed[i];
            return true;
        }
    if (json_type(list) == JSON_LIST && take_betas(config, list)) return true;
    snprintf(wanted, sizeof wanted, "null, or num_train_timesteps (at most %d) numbers in (0, 1]",
             DIFFUSION_MAX_BETAS);
    return json_refuse(list, key, origin, wanted, err);
}

static bool read_flag(bool *out, bool missing, const Json *json, const char *key,
                      const char *origin, Err *err)
{
    const Json *value = json_get(json, key);
    bool null = value && json_type(value) == JSON_NULL; /* Python's None counts as false */
    *out = missing && !null;
    if (!value || null) return true;
    if (json_type(value) != JSON_BOOL) return json_refuse(value, key, origin, "true or false", err);
    *out = json_bool(value);
    return true;
}

/* Of a model that says no more of its variance, as solvers' files do with null. */
static bool read_variance(int *out, const Json *json, const char *origin, Err *err)
{
    const char *key = "variance_type";
    const Json *value = json_get(json, key);
    *out = VARIANCE_FIXED_SMALL;
    return (value && json_type(value) == JSON_NULL) ||
           read_name(out, VARIANCE_FIXED_SMALL, VARIANCES, COUNT_VARIANCES, json, key, origin, err);
}

/* ---- which keys there are ---- */

/* Which would change the chain, and which we do not have: missing, null or false is fine. */
static const char *const ABSENT[] = {"thresholding", "use_flow_sigmas"};

static const char *const READ[] = {
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "variance_type",
    "clip_sample",
    "clip_sample_range",
    "predict_epsilon",
    "rescale_betas_zero_snr",
};

/* Of how diffusers' own samplers walk the chain, which is for this program's to say. A file has
 * those of other samplers too, where one was made from another's. */
static const char *const SAMPLING[] = {
    "algorithm_type",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "noise_sampler_seed",
    "original_inference_steps",
    "predict_x0",
    "sample_max_value",
    "set_alpha_to_one",
    "set_alpha_to_zero",
    "shift_terminal",
    "sigma_max",
    "sigma_min",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "tensor_format",
    "time_shift_type",
    "timestep_scaling",
    "timestep_spacing",
    "timestep_type",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
};

static bool among(const char *key, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return false;
}

/* Keys that begin with an underscore say where the file comes from. */
static bool check_known(const Json *json, const char *origin, Err *err)
{
    for (const Json *child = json_first(json); child; child = json_next(child)) {
        const char *key = json_key(child);
        bool absent = among(key, ABSENT, sizeof ABSENT / sizeof *ABSENT);
        bool known = absent || key[0] == '_' || among(key, READ, sizeof READ / sizeof *READ) ||
                     among(key, SAMPLING, sizeof SAMPLING / sizeof *SAMPLING);
        if (json_type(child) == JSON_NULL) continue;
        if (absent && (json_type(child) != JSON_BOOL || json_bool(child)))
            return json_refuse(child, key, origin, "null or false", err);
        if (!known) return json_refuse(child, key, origin, "left out: no such key is known", err);
    }
    return true;
}

static bool need(const Json *json, const char *key, const char *origin, Err *err)
{
    if (json_get(json, key)) return true;
    return err_set(err, ERR_DATA,
                   "%s: %s is missing, without which the chain is not known; diffusers always "
                   "writes it",
                   origin, key);
}

/* What the betas follow from. */
static bool check_needed(const Json *json, const char *origin, Err *err)
{
    const Json *betas = json_get(json, "trained_betas"), *name = json_get(json, "beta_schedule");
    bool given = betas && json_type(betas) != JSON_NULL;
    bool cosine = name && json_type(name) == JSON_STRING &&
                  strcmp(json_string(name), SCHEDULES[SCHEDULE_COSINE]) == 0;
    return need(json, "num_train_timesteps", origin, err) &&
           (given || need(json, "beta_schedule", origin, err)) &&
           (given || cosine ||
            (need(json, "beta_start", origin, err) && need(json, "beta_end", origin, err)));
}

/* The name that prediction_type had at first. */
static bool check_epsilon(const Json *json, const char *origin, Err *err)
{
    const char *key = "predict_epsilon";
    const Json *value = json_get(json, key);
    if (!value || json_type(value) == JSON_NULL || json_get(json, "prediction_type") ||
        (json_type(value) == JSON_BOOL && json_bool(value)))
        return true;
    return json_refuse(value, key, origin, "left out, with prediction_type \"sample\" in its place",
                       err);
}

/* Samplers of the same chain: q(x_t | x_0) follows from the betas for all of them. Others (of
 * score-based or consistency models) have keys of the same names that mean something else. */
static bool check_class(const Json *json, const char *origin, Err *err)
{
    static const char *const classes[] = {
        "DDPMScheduler",
        "DDIMScheduler",
        "PNDMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "UniPCMultistepScheduler",
    };
    const Json *value = json_get(json, "_class_name");
    if (!value) return true;
    for (size_t i = 0; json_type(value) == JSON_STRING && i < sizeof classes / sizeof *classes; i++)
        if (strcmp(classes[i], json_string(value)) == 0) return true;
    return json_refuse(value, "_class_name", origin,
                       "that of a chain with betas, such as DDPMScheduler or DDIMScheduler", err);
}

bool scheduler_read(DiffusionConfig *config, bool *clip, const Json *json, const char *origin,
                    Err *err)
{
    int schedule, prediction, variance;
    double range;
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_DATA, "%s: holds %s, not the object of a scheduler", origin,
                       json_type_name(json_type(json)));
    if (!check_class(json, origin, err) || !check_known(json, origin, err) ||
        !check_needed(json, origin, err) || !check_epsilon(json, origin, err) ||
        !read_name(&schedule, SCHEDULE_LINEAR, SCHEDULES, COUNT_SCHEDULES, json, "beta_schedule",
                   origin, err) ||
        !read_name(&prediction, PREDICT_EPSILON, PREDICTIONS, COUNT_PREDICTIONS, json,
                   "prediction_type", origin, err) ||
        !read_variance(&variance, json, origin, err) ||
        !read_timesteps(&config->timesteps, json, origin, err) ||
        !read_number(&config->beta_start, 1e-4, 0, 1, json, "beta_start", origin, err) ||
        !read_number(&config->beta_end, 0.02, 0, 1, json, "beta_end", origin, err) ||
        !read_flag(clip, true, json, "clip_sample", origin, err) ||
        !read_flag(&config->zero_terminal_snr, false, json, "rescale_betas_zero_snr", origin,
                   err) ||
        (*clip && !read_number(&range, 1, 1, 1, json, "clip_sample_range", origin, err)))
        return false;
    config->schedule = (ScheduleKind)schedule;
    if (!read_betas(config, json, origin, err)) return false;
    config->prediction = (Prediction)prediction;
    config->variance = (Variance)variance;
    /* a loss that can have trained it */
    config->loss = variance == VARIANCE_LEARNED_RANGE ? LOSS_HYBRID : LOSS_SIMPLE;
    if (schedule_check(config, err)) return true;
    err_as(err, ERR_DATA);
    return err_prefix(err, "%s", origin);
}
