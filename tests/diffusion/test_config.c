#include "diffusion/config.h"
#include "support.h"

static void names_stand_at_their_values(void **state)
{
    (void)state;
    assert_string_equal(schedule_names[SCHEDULE_LINEAR], "linear");
    assert_string_equal(schedule_names[SCHEDULE_QUADRATIC], "quadratic");
    assert_string_equal(schedule_names[SCHEDULE_CONSTANT], "constant");
    assert_string_equal(schedule_names[SCHEDULE_JSD], "jsd");
    assert_string_equal(schedule_names[SCHEDULE_COSINE], "cosine");
    assert_string_equal(schedule_names[SCHEDULE_SIGMOID], "sigmoid");
    assert_string_equal(prediction_names[PREDICT_EPSILON], "epsilon");
    assert_string_equal(prediction_names[PREDICT_X0], "x0");
    assert_string_equal(prediction_names[PREDICT_MEAN], "mean");
    assert_string_equal(prediction_names[PREDICT_V], "v");
    assert_string_equal(variance_names[VARIANCE_FIXED_SMALL], "fixed_small");
    assert_string_equal(variance_names[VARIANCE_FIXED_LARGE], "fixed_large");
    assert_string_equal(variance_names[VARIANCE_LEARNED_RANGE], "learned_range");
    assert_string_equal(loss_names[LOSS_SIMPLE], "simple");
    assert_string_equal(loss_names[LOSS_VLB], "vlb");
    assert_string_equal(loss_names[LOSS_HYBRID], "hybrid");
    assert_string_equal(loss_names[LOSS_MIN_SNR], "min_snr");
    assert_string_equal(loss_names[LOSS_P2], "p2");
    assert_string_equal(timestep_sampler_names[TIMESTEP_UNIFORM], "uniform");
    assert_string_equal(timestep_sampler_names[TIMESTEP_STRATIFIED], "stratified");
    assert_string_equal(timestep_sampler_names[TIMESTEP_IMPORTANCE], "importance");
    assert_string_equal(sampler_names[SAMPLER_DDPM], "ddpm");
    assert_string_equal(sampler_names[SAMPLER_DDIM], "ddim");
    assert_string_equal(sampler_names[SAMPLER_DPMPP], "dpm++");
    assert_string_equal(spacing_names[SPACING_LINSPACE], "linspace");
    assert_string_equal(spacing_names[SPACING_LEADING], "leading");
    assert_string_equal(spacing_names[SPACING_TRAILING], "trailing");
    assert_string_equal(spacing_names[SPACING_QUADRATIC], "quadratic");
}

static int count(const char *const *names)
{
    int n = 0;
    while (names[n]) n++;
    return n;
}

static void tables_end_after_their_last_value(void **state)
{
    (void)state;
    assert_int_equal(count(schedule_names), SCHEDULE_SIGMOID + 1);
    assert_int_equal(count(prediction_names), PREDICT_V + 1);
    assert_int_equal(count(variance_names), VARIANCE_LEARNED_RANGE + 1);
    assert_int_equal(count(loss_names), LOSS_P2 + 1);
    assert_int_equal(count(timestep_sampler_names), TIMESTEP_IMPORTANCE + 1);
    assert_int_equal(count(sampler_names), SAMPLER_HEUN + 1);
    assert_int_equal(count(spacing_names), SPACING_QUADRATIC + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stand_at_their_values),
        cmocka_unit_test(tables_end_after_their_last_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
