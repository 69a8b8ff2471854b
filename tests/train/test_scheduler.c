#include "diffusion/schedule.h"
#include "support.h"
#include "train/scheduler.h"

#include <math.h>
#include <stdio.h>

static Json *json_of(const char *text)
{
    Json *json;
    Err err;
    if (!json_parse(&json, text, strlen(text), "test", &err)) fail_msg("%s", err.text);
    return json;
}

static bool read_text(DiffusionConfig *config, bool *clip, const char *text, Err *err)
{
    Json *json = json_of(text);
    bool ok = scheduler_read(config, clip, json, "s.json", err);
    json_free(json);
    return ok;
}

/* With what it lacks of the keys that have to be there. */
static bool read_completed(DiffusionConfig *config, bool *clip, const char *text, Err *err)
{
    Json *json = json_of(text);
    if (json_type(json) == JSON_OBJECT) {
        if (!json_get(json, "num_train_timesteps"))
            json_set_number(json, "num_train_timesteps", 1000);
        if (!json_get(json, "beta_schedule")) json_set_string(json, "beta_schedule", "linear");
        if (!json_get(json, "beta_start")) json_set_number(json, "beta_start", 1e-4);
        if (!json_get(json, "beta_end")) json_set_number(json, "beta_end", 0.02);
    }
    bool ok = scheduler_read(config, clip, json, "s.json", err);
    json_free(json);
    return ok;
}

static DiffusionConfig a_config(ScheduleKind schedule, Prediction prediction, Variance variance)
{
    return (DiffusionConfig){.timesteps = 120,
                             .schedule = schedule,
                             .beta_start = 0.0008,
                             .beta_end = 0.15,
                             .prediction = prediction,
                             .variance = variance,
                             .loss = LOSS_SIMPLE};
}

static void assert_round_trip(ScheduleKind schedule, Prediction prediction, Variance variance)
{
    DiffusionConfig written = a_config(schedule, prediction, variance), read = {0};
    Err err;
    for (int clip = 0; clip < 2; clip++) {
        bool clipped;
        Json *json;
        assert_true(scheduler_write(&json, &written, clip != 0, &err));
        assert_non_null(json);
        assert_string_equal(json_string(json_get(json, "_class_name")), "DDPMScheduler");
        if (!scheduler_read(&read, &clipped, json, "s.json", &err)) fail_msg("%s", err.text);
        assert_int_equal(clipped, clip);
        assert_int_equal(read.timesteps, 120);
        assert_int_equal(read.schedule, schedule);
        assert_int_equal(read.prediction, prediction);
        assert_int_equal(read.variance, variance);
        assert_int_equal(read.loss, variance == VARIANCE_LEARNED_RANGE ? LOSS_HYBRID : LOSS_SIMPLE);
        assert_close(read.beta_start, 0.0008, 0);
        assert_close(read.beta_end, 0.15, 0);
        json_free(json);
    }
}

static void what_diffusers_has_goes_there_and_back(void **state)
{
    (void)state;
    const ScheduleKind schedules[] = {SCHEDULE_LINEAR, SCHEDULE_QUADRATIC, SCHEDULE_COSINE,
                                      SCHEDULE_SIGMOID};
    const Prediction predictions[] = {PREDICT_EPSILON, PREDICT_X0, PREDICT_V};
    for (int s = 0; s < 4; s++)
        for (int p = 0; p < 3; p++) {
            assert_round_trip(schedules[s], predictions[p], VARIANCE_FIXED_SMALL);
            assert_round_trip(schedules[s], predictions[p], VARIANCE_FIXED_LARGE);
            assert_round_trip(schedules[s], predictions[p], VARIANCE_LEARNED_RANGE);
        }
}

/* Schedules without a name there are written out, for others to read. */
static void others_are_lists_of_betas(void **state)
{
    (void)state;
    const ScheduleKind schedules[] = {SCHEDULE_CONSTANT, SCHEDULE_JSD};
    for (int s = 0; s < 2; s++) {
        DiffusionConfig config = a_config(schedules[s], PREDICT_X0, VARIANCE_FIXED_SMALL);
        Err err;
        Json *json;
        assert_true(scheduler_write(&json, &config, true, &err));
        const Json *betas = json_get(json, "trained_betas");
        assert_int_equal(json_type(betas), JSON_LIST);
        assert_int_equal(json_count(betas), 120);
        int t = 1;
        for (const Json *beta = json_first(betas); beta; beta = json_next(beta), t++)
            assert_close(json_number(beta),
                         schedules[s] == SCHEDULE_CONSTANT ? 0.15 : 1.0 / (120 - t + 1), 1e-15);
        DiffusionConfig read;
        bool clip;
        if (!scheduler_read(&read, &clip, json, "s.json", &err)) fail_msg("%s", err.text);
        assert_int_equal(read.schedule, schedules[s]);
        assert_int_equal(read.timesteps, 120);
        json_free(json);
    }
}

/* Betas that were given, and the rescaling that ends any schedule at 0. */
static void chains_of_ones_own_go_there_and_back(void **state)
{
    (void)state;
    const ScheduleKind schedules[] = {SCHEDULE_LINEAR, SCHEDULE_CONSTANT};
    for (int k = 0; k < 4; k++) {
        DiffusionConfig config = a_config(schedules[k & 1], PREDICT_V, VARIANCE_FIXED_SMALL), read;
        config.zero_terminal_snr = k < 3;
        if (k & 2) config.betas_count = 120;
        for (int i = 0; i < config.betas_count; i++) config.betas[i] = 0.01 + 0.001 * i;
        Err err;
        bool clip;
        Json *json;
        assert_true(scheduler_write(&json, &config, true, &err));
        memset(&read, 0x5a, sizeof read);
        if (!scheduler_read(&read, &clip, json, "s.json", &err)) fail_msg("%s", err.text);
        assert_int_equal(read.zero_terminal_snr, k < 3);
        assert_int_equal(read.betas_count, config.betas_count);
        if (k & 2) read.schedule = config.schedule; /* not used then */
        assert_true(schedule_equal(&read, &config));
        json_free(json);
    }
}

/* The first of the keys that are not there but have to be. */
static void assert_missing(const char *text, const char *key)
{
    DiffusionConfig config = {0};
    bool clip;
    Err err;
    char words[64];
    snprintf(words, sizeof words, "s.json: %s is missing", key);
    if (read_text(&config, &clip, text, &err)) fail_msg("%s", text);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, words)) fail_msg("%s: %s", text, err.text);
}

static void what_makes_the_betas_has_to_be_there(void **state)
{
    (void)state;
    DiffusionConfig config = {0};
    bool clip;
    Err err;
    assert_missing("{}", "num_train_timesteps");
    assert_missing("{\"num_train_timesteps\": 20}", "beta_schedule");
    assert_missing("{\"num_train_timesteps\": 20, \"trained_betas\": null}", "beta_schedule");
    assert_missing("{\"trained_betas\": [0.1, 0.2]}", "num_train_timesteps");
    assert_missing(
        "{\"num_train_timesteps\": 20, \"beta_schedule\": \"linear\", \"beta_end\": 0.1}",
        "beta_start");
    assert_missing("{\"num_train_timesteps\": 20, \"beta_schedule\": \"sigmoid\","
                   "\"beta_start\": 0.1}",
                   "beta_end");
    if (!read_text(&config, &clip,
                   "{\"num_train_timesteps\": 20, \"beta_schedule\": \"squaredcos_cap_v2\"}",
                   &err) ||
        !read_text(&config, &clip, "{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, 0.2]}",
                   &err))
        fail_msg("%s", err.text);
}

#define CHAIN                                                                                      \
    "\"num_train_timesteps\": 1000, \"beta_schedule\": \"linear\", \"beta_start\": 0.0001,"        \
    "\"beta_end\": 0.02"

static void another_missing_key_means_diffusers_default(void **state)
{
    (void)state;
    DiffusionConfig config = {0};
    bool clip = false;
    Err err;
    if (!read_text(&config, &clip, "{" CHAIN "}", &err)) fail_msg("%s", err.text);
    assert_int_equal(config.timesteps, 1000);
    assert_int_equal(config.schedule, SCHEDULE_LINEAR);
    assert_int_equal(config.prediction, PREDICT_EPSILON);
    assert_int_equal(config.variance, VARIANCE_FIXED_SMALL);
    assert_close(config.beta_start, 1e-4, 0);
    assert_close(config.beta_end, 0.02, 0);
    assert_true(clip);
}

/* Each in a file that has all that the chain needs besides. */
static void a_misspelt_key_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "beta_schedulf", "num_train_timestepz",   "beta_star",       "clip_sampl", "variance_typ",
        "trained_beta",  "rescale_betas_zero_sn", "Prediction_type", "",           "sigma_data",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        DiffusionConfig config;
        char text[256], words[64];
        bool clip;
        Err err;
        snprintf(text, sizeof text, "{" CHAIN ", \"%s\": 1}", keys[i]);
        snprintf(words, sizeof words, "s.json: %s = 1 is not supported", keys[i]);
        if (read_text(&config, &clip, text, &err)) fail_msg("%s", text);
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, words)) fail_msg("%s: %s", text, err.text);
        snprintf(text, sizeof text, "{" CHAIN ", \"_%s\": 1}", keys[i]);
        if (!read_text(&config, &clip, text, &err)) fail_msg("%s", err.text);
    }
}

/* The chain of the first checkpoints of Ho et al.'s, as others hold it, with keys of samplers. */
static void keys_that_change_nothing_are_passed_over(void **state)
{
    (void)state;
    DiffusionConfig config;
    bool clip;
    Err err;
    assert_true(
        read_text(&config, &clip,
                  "{\"_class_name\": \"DDIMScheduler\", \"_diffusers_version\": \"0.1.1\","
                  "\"num_train_timesteps\": 1000, \"beta_start\": 0.0001, \"beta_end\": 0.02,"
                  "\"beta_schedule\": \"scaled_linear\", \"clip_sample\": false,"
                  "\"variance_type\": \"fixed_large\", \"trained_betas\": null,"
                  "\"steps_offset\": 1, \"set_alpha_to_one\": false,"
                  "\"timestep_spacing\": \"leading\", \"thresholding\": false}",
                  &err));
    assert_int_equal(config.schedule, SCHEDULE_QUADRATIC);
    assert_int_equal(config.variance, VARIANCE_FIXED_LARGE);
    assert_false(clip);
}

/* As diffusers writes them, from the first release on, with all the keys that there have been. */
static void files_of_every_sampler_are_read(void **state)
{
    (void)state;
    static const char *const files[] = {
        "{\"_class_name\": \"DDPMScheduler\", \"_diffusers_version\": \"0.1.1\", " CHAIN
        ", \"clip_sample\": true, \"trained_betas\": null, \"variance_type\": \"fixed_small\"}",
        "{\"_class_name\": \"DDPMScheduler\", " CHAIN
        ", \"clip_sample\": true, \"predict_epsilon\": true, \"trained_betas\": null,"
        "\"tensor_format\": \"pt\", \"timestep_values\": null, \"variance_type\": \"fixed_small\"}",
        "{\"_class_name\": \"DDPMScheduler\", " CHAIN
        ", \"clip_sample\": true, \"clip_sample_range\": 1.0, \"dynamic_thresholding_ratio\": "
        "0.995,"
        "\"prediction_type\": \"epsilon\", \"rescale_betas_zero_snr\": false,"
        "\"sample_max_value\": 1.0, \"steps_offset\": 0, \"thresholding\": false,"
        "\"timestep_spacing\": \"leading\", \"trained_betas\": null,"
        "\"variance_type\": \"fixed_large\"}",
        "{\"_class_name\": \"PNDMScheduler\", " CHAIN
        ", \"clip_sample\": false, \"set_alpha_to_one\": false, \"skip_prk_steps\": true,"
        "\"steps_offset\": 1, \"trained_betas\": null}",
        "{\"_class_name\": \"DPMSolverMultistepScheduler\", " CHAIN
        ", \"algorithm_type\": \"dpmsolver++\", \"dynamic_thresholding_ratio\": 0.995,"
        "\"euler_at_final\": false, \"final_sigmas_type\": \"zero\", \"flow_shift\": 1.0,"
        "\"lambda_min_clipped\": -5.1, \"lower_order_final\": true,"
        "\"prediction_type\": \"epsilon\", \"rescale_betas_zero_snr\": false,"
        "\"sample_max_value\": 1.0, \"solver_order\": 2, \"solver_type\": \"midpoint\","
        "\"steps_offset\": 0, \"thresholding\": false, \"time_shift_type\": \"exponential\","
        "\"timestep_spacing\": \"linspace\", \"trained_betas\": null, \"use_beta_sigmas\": false,"
        "\"use_dynamic_shifting\": false, \"use_exponential_sigmas\": false,"
        "\"use_flow_sigmas\": false, \"use_karras_sigmas\": true, \"use_lu_lambdas\": false,"
        "\"variance_type\": null, \"interpolation_type\": \"linear\"}",
        "{\"_class_name\": \"UniPCMultistepScheduler\", " CHAIN
        ", \"disable_corrector\": [], \"final_sigmas_type\": \"zero\", \"lower_order_final\": true,"
        "\"predict_x0\": true, \"prediction_type\": \"epsilon\", \"shift_terminal\": null,"
        "\"sigma_max\": null, \"sigma_min\": null, \"solver_order\": 2, \"solver_p\": null,"
        "\"solver_type\": \"bh2\", \"use_karras_sigmas\": false}",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        DiffusionConfig config;
        bool clip;
        Err err;
        if (!read_text(&config, &clip, files[i], &err)) fail_msg("%s: %s", files[i], err.text);
        assert_int_equal(config.timesteps, 1000);
        assert_int_equal(config.schedule, SCHEDULE_LINEAR);
        assert_int_equal(config.prediction, PREDICT_EPSILON);
    }
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words[2];
    } cases[] = {
        {"[]", {"s.json", "a list"}},
        {"{\"_class_name\": \"KarrasVeScheduler\"}", {"_class_name", "KarrasVeScheduler"}},
        {"{\"_class_name\": 3}", {"_class_name", "3"}},
        {"{\"beta_schedule\": \"exponential\"}", {"beta_schedule", "scaled_linear"}},
        {"{\"beta_schedule\": null}", {"beta_schedule", "null"}},
        {"{\"prediction_type\": \"flow\"}", {"prediction_type", "v_prediction"}},
        {"{\"variance_type\": \"learned\"}", {"variance_type", "learned_range"}},
        {"{\"num_train_timesteps\": 0}", {"num_train_timesteps", "0"}},
        {"{\"num_train_timesteps\": 10.5}", {"num_train_timesteps", "10.5"}},
        {"{\"num_train_timesteps\": 1e12}", {"num_train_timesteps", "1000000000000"}},
        {"{\"num_train_timesteps\": \"1000\"}", {"num_train_timesteps", "\"1000\""}},
        {"{\"beta_start\": -1}", {"beta_start", "-1"}},
        {"{\"beta_end\": 2}", {"beta_end", "2"}},
        {"{\"beta_end\": true}", {"beta_end", "true"}},
        {"{\"clip_sample\": 1}", {"clip_sample", "1"}},
        {"{\"thresholding\": true}", {"thresholding", "true"}},
        {"{\"use_flow_sigmas\": true}", {"use_flow_sigmas", "true"}},
        {"{\"predict_epsilon\": false}", {"predict_epsilon", "\"sample\" in its place"}},
        {"{\"rescale_betas_zero_snr\": true}", {"alpha-bar 0", "epsilon"}},
        {"{\"rescale_betas_zero_snr\": 1}", {"rescale_betas_zero_snr", "1"}},
        {"{\"trained_betas\": [0.1, 0.2]}", {"trained_betas", "[0.1,0.2]"}},
        {"{\"trained_betas\": [0.02, 0.02]}", {"trained_betas", "[0.02,0.02]"}},
        {"{\"trained_betas\": [\"a\", 1], \"num_train_timesteps\": 2}",
         {"trained_betas", "[\"a\",1]"}},
        {"{\"trained_betas\": 1}", {"trained_betas", "1"}},
        {"{\"clip_sample_range\": 2}", {"clip_sample_range", "2"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DiffusionConfig config;
        bool clip;
        Err err;
        if (read_completed(&config, &clip, cases[i].json, &err)) fail_msg("%s", cases[i].json);
        assert_int_equal(err.kind, ERR_DATA);
        if (strncmp(err.text, "s.json: ", 8) != 0 || !strstr(err.text, cases[i].words[0]) ||
            !strstr(err.text, cases[i].words[1]))
            fail_msg("%s: %s", cases[i].json, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_diffusers_has_goes_there_and_back),
        cmocka_unit_test(others_are_lists_of_betas),
        cmocka_unit_test(chains_of_ones_own_go_there_and_back),
        cmocka_unit_test(what_makes_the_betas_has_to_be_there),
        cmocka_unit_test(another_missing_key_means_diffusers_default),
        cmocka_unit_test(a_misspelt_key_is_refused_by_name),
        cmocka_unit_test(files_of_every_sampler_are_read),
        cmocka_unit_test(keys_that_change_nothing_are_passed_over),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
