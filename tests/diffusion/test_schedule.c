#include "chain.h"

#define assert_relative(actual, expected, bound)                                                   \
    assert_close((actual), (expected), (bound)*fabs(expected))

static void assert_field(const Safetensors *file, const char *kind, int T, const char *field,
                         const double *actual)
{
    size_t count;
    double *expected = test_fixture_doubles(file, &count, "%s.%d.%s", kind, T, field);
    assert_int_equal(count, T);
    for (int i = 0; i < T; i++) assert_relative(actual[i], expected[i], 1e-10);
    free(expected);
}

static void tables_equal_the_fixtures(void **state)
{
    (void)state;
    Safetensors file = test_fixture("schedules");
    size_t checked = 0;
    for (ScheduleKind kind = SCHEDULE_LINEAR; kind <= SCHEDULE_SIGMOID; kind++)
        for (int T = 1000; T >= 50; T /= 20) {
            DiffusionConfig config = chain_config(kind, T);
            if (T == 50) config.beta_start = 2e-3, config.beta_end = 0.4;
            Chain chain = chain_new(config);
            const Schedule *s = &chain.schedule;
            const struct {
                const char *name;
                const double *values;
            } fields[] = {{"beta", s->beta},
                          {"abar", s->alpha_bar},
                          {"posterior_variance", s->posterior_variance},
                          {"posterior_log_variance", s->posterior_log_variance},
                          {"coef_x0", s->coef_x0},
                          {"coef_xt", s->coef_xt},
                          {"snr", s->snr}};
            for (size_t i = 0; i < sizeof fields / sizeof *fields; i++, checked++)
                assert_field(&file, schedule_names[kind], T, fields[i].name, fields[i].values);
            chain_release(&chain);
        }
    assert_int_equal(checked, file.count);
    safetensors_release(&file);
}

static void published_figures(void **state)
{
    (void)state;
    Chain linear = chain_linear(), cosine = chain_new(chain_config(SCHEDULE_COSINE, 1000));
    const Schedule *l = &linear.schedule, *c = &cosine.schedule;
    assert_relative(l->alpha_bar[0], 0.9999, 1e-12);
    assert_relative(l->alpha_bar[1], 0.999780092, 1e-9);
    assert_relative(l->posterior_variance[1], 5.45318766e-05, 1e-8);
    assert_relative(l->alpha_bar[499], 0.0785872429, 1e-9);
    assert_relative(l->alpha_bar[999], 4.03582977e-05, 1e-8);
    assert_relative(c->alpha_bar[0], 0.999958716, 1e-9);
    assert_relative(c->alpha_bar[1], 0.999912576, 1e-9);
    assert_relative(c->posterior_variance[1], 2.17894961e-05, 1e-8);
    assert_relative(c->alpha_bar[499], 0.49384359, 1e-8);
    assert_relative(c->alpha_bar[999], 2.42876691e-09, 1e-8);
    assert_close(l->posterior_variance[0], 0, 0);
    assert_close(l->posterior_variance[487], 0.009792, 5e-7);
    assert_close(l->posterior_variance[999], 0.02, 5e-6);
    chain_release(&linear), chain_release(&cosine);
}

/* E[x_{t-1}] along the posterior of x_t = sqrt(alpha-bar_t) x_0 is sqrt(alpha-bar_{t-1}) x_0. */
static void posterior_mean_stays_on_the_chain(void **state)
{
    (void)state;
    for (ScheduleKind kind = SCHEDULE_LINEAR; kind <= SCHEDULE_SIGMOID; kind++) {
        Chain chain = chain_new(chain_config(kind, 200));
        const Schedule *s = &chain.schedule;
        for (int i = 0; i < s->T; i++) {
            assert_close(s->coef_x0[i] + s->coef_xt[i] * sqrt(s->alpha_bar[i]),
                         sqrt(s->alpha_bar_prev[i]), 1e-12);
            assert_int_equal(s->timestep[i], i + 1);
        }
        assert_close(s->coef_x0[0], 1, 1e-12);
        assert_close(s->coef_xt[0], 0, 0);
        chain_release(&chain);
    }
}

static void log_variance_at_the_first_entry_is_the_seconds(void **state)
{
    (void)state;
    Chain chain = chain_linear();
    const Schedule *s = &chain.schedule;
    double first = log(5.45318766e-05);
    assert_close(schedule_log_variance(s, VARIANCE_FIXED_SMALL, 0), first, 1e-8);
    assert_close(schedule_log_variance(s, VARIANCE_FIXED_LARGE, 0), first, 1e-8);
    assert_close(schedule_log_variance(s, VARIANCE_FIXED_SMALL, 1), first, 1e-8);
    assert_close(schedule_log_variance(s, VARIANCE_FIXED_LARGE, 999), log(0.02), 1e-12);
    chain_release(&chain);
}

/* v = -1, 0, 1: the posterior's variance, the geometric mean, beta; at the first entry log beta_1 =
 * log 1e-4 although fixed_large has the second's there; beyond 1 it goes on. */
static void learned_log_variance_is_between_the_fixed_ones(void **state)
{
    (void)state;
    static const int timesteps[] = {1, 400, 1000};
    Chain full = chain_linear();
    Chain chain = chain_respaced(&full.schedule, timesteps, 3);
    for (int i = 0; i < 3; i++) {
        double small = chain.schedule.posterior_variance[i > 0 ? i : 1];
        double large = i > 0 ? 1 - full.schedule.alpha_bar[timesteps[i] - 1] /
                                       full.schedule.alpha_bar[timesteps[i - 1] - 1]
                             : 1e-4;
        const Schedule *s = &chain.schedule;
        assert_close(schedule_learned_log_variance(s, i, -1), log(small), 1e-12);
        assert_close(schedule_learned_log_variance(s, i, 0), log(sqrt(small * large)), 1e-12);
        assert_close(schedule_learned_log_variance(s, i, 1), log(large), 1e-12);
        assert_close(schedule_learned_log_variance(s, i, 3), log(large * large / small), 1e-12);
        assert_true(isnan(schedule_learned_log_variance(s, i, NAN)));
    }
    chain_release(&chain), chain_release(&full);
}

static void respaced_chain_keeps_alpha_bar_and_timesteps(void **state)
{
    (void)state;
    static const int timesteps[] = {3, 10, 11, 400, 1000};
    Chain full = chain_linear();
    Chain chain = chain_respaced(&full.schedule, timesteps, 5);
    const Schedule *s = &chain.schedule;
    double product = 1;
    for (int i = 0; i < 5; i++) {
        product *= 1 - s->beta[i];
        assert_int_equal(s->timestep[i], timesteps[i]);
        assert_relative(product, full.schedule.alpha_bar[timesteps[i] - 1], 1e-12);
        assert_relative(s->alpha_bar[i], product, 1e-12);
    }
    /* two neighbours are one step of the full chain */
    assert_relative(s->beta[2], full.schedule.beta[10], 1e-11);
    assert_relative(s->posterior_variance[2], full.schedule.posterior_variance[10], 1e-11);
    chain_release(&chain);
    chain = chain_respaced(&full.schedule, timesteps + 4, 1);
    assert_close(chain.schedule.coef_x0[0], 1, 1e-12);
    assert_close(schedule_log_variance(&chain.schedule, VARIANCE_FIXED_SMALL, 0),
                 log(chain.schedule.beta[0]), 1e-12);
    chain_release(&chain), chain_release(&full);
}

static void full_respacing_changes_nothing(void **state)
{
    (void)state;
    Chain full = chain_linear();
    Chain chain = chain_respaced(&full.schedule, full.schedule.timestep, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_relative(chain.schedule.beta[i], full.schedule.beta[i], 1e-11);
        assert_relative(chain.schedule.coef_x0[i], full.schedule.coef_x0[i], 1e-11);
        assert_relative(chain.schedule.coef_xt[i], full.schedule.coef_xt[i], 1e-11);
    }
    chain_release(&chain), chain_release(&full);
}

static void assert_timesteps(int T, int K, Spacing spacing, const int *expected, int count)
{
    int out[64];
    assert_true(K <= 64);
    for (int i = 0; i < 64; i++) out[i] = -1;
    assert_int_equal(schedule_timesteps(out, T, K, spacing), count);
    for (int i = 0; i < count; i++) assert_int_equal(out[i], expected[i]);
}

#define LIST(...) (const int[]){__VA_ARGS__}, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int))

/* Worked by hand; one more than the 0-based values of the formulas. */
static void timesteps_of_each_spacing(void **state)
{
    (void)state;
    assert_timesteps(10, 4, SPACING_LINSPACE, LIST(1, 4, 7, 10));
    assert_timesteps(10, 3, SPACING_LINSPACE, LIST(1, 6, 10)); /* 4.5 goes to 5 */
    assert_timesteps(4, 3, SPACING_LINSPACE, LIST(1, 3, 4));   /* 1.5 goes to 2 */
    assert_timesteps(1000, 10, SPACING_LINSPACE,
                     LIST(1, 112, 223, 334, 445, 556, 667, 778, 889, 1000));
    assert_timesteps(10, 4, SPACING_LEADING, LIST(1, 3, 5, 7)); /* floor(10/4) = 2 */
    assert_timesteps(1000, 4, SPACING_LEADING, LIST(1, 251, 501, 751));
    assert_timesteps(10, 4, SPACING_TRAILING, LIST(3, 5, 8, 10)); /* 1.5, 4, 6.5, 9 */
    assert_timesteps(10, 3, SPACING_TRAILING, LIST(3, 7, 10));    /* 2.33, 5.67, 9 */
    assert_timesteps(1000, 4, SPACING_TRAILING, LIST(250, 500, 750, 1000));
    assert_timesteps(10, 4, SPACING_QUADRATIC, LIST(1, 2, 5, 9));           /* i^2 8/9 */
    assert_timesteps(10, 5, SPACING_QUADRATIC, LIST(1, 2, 3, 6, 9));        /* i^2 / 2 */
    assert_timesteps(10, 10, SPACING_QUADRATIC, LIST(1, 2, 3, 5, 6, 7, 9)); /* i^2 0.0988 */
    assert_timesteps(2, 2, SPACING_QUADRATIC, LIST(1, 2)); /* 1.6 goes to 2, past the end */
}

static void one_timestep_is_the_last_and_T_are_all(void **state)
{
    (void)state;
    for (Spacing spacing = SPACING_LINSPACE; spacing <= SPACING_QUADRATIC; spacing++)
        assert_timesteps(1000, 1, spacing, LIST(1000));
    for (Spacing spacing = SPACING_LINSPACE; spacing <= SPACING_TRAILING; spacing++)
        assert_timesteps(7, 7, spacing, LIST(1, 2, 3, 4, 5, 6, 7));
}

static void timesteps_ascend_inside_the_chain(void **state)
{
    (void)state;
    static const int lengths[] = {2, 3, 50, 997, SCHEDULE_MAX_T};
    for (Spacing spacing = SPACING_LINSPACE; spacing <= SPACING_QUADRATIC; spacing++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            int T = lengths[k], K = T > 1000 ? T : T / 2 + 1;
            int *out = calloc((size_t)K, sizeof *out);
            int count = schedule_timesteps(out, T, K, spacing);
            assert_true(count >= 1 && count <= K && out[0] >= 1 && out[count - 1] <= T);
            for (int i = 1; i < count; i++) assert_true(out[i] > out[i - 1]);
            free(out);
        }
}

static void refused(DiffusionConfig config, const char *part)
{
    Err err = {0};
    assert_refused(schedule_check(&config, &err), &err, part);
}

static void check_refuses_what_cannot_work(void **state)
{
    (void)state;
    static const struct {
        int T;
        ScheduleKind kind;
        double beta_start, beta_end;
        const char *part;
    } cases[] = {
        {1, SCHEDULE_LINEAR, 1e-4, 0.02, "diffusion.timesteps = 1 "},
        {SCHEDULE_MAX_T + 1, SCHEDULE_COSINE, 1e-4, 0.02, "diffusion.timesteps = 1000001 "},
        {1000, SCHEDULE_LINEAR, 0.03, 0.02, "diffusion.beta_start = 0.03 "},
        {1000, SCHEDULE_QUADRATIC, 0, 0.02, "diffusion.beta_start = 0 "},
        {1000, SCHEDULE_SIGMOID, (double)NAN, 0.02, "diffusion.beta_start = nan "},
        {1000, SCHEDULE_LINEAR, 1e-4, 1.5, "diffusion.beta_end = 1.5 "},
        {1000, SCHEDULE_CONSTANT, 1e-4, (double)NAN, "diffusion.beta_end = nan "},
        {1000, SCHEDULE_LINEAR, 1e-17, 0.02, "beta = 1e-17 at t = 1, too small"},
        {5000, SCHEDULE_LINEAR, 1e-4, 0.999, "of 5000; lower"},
        {1000, SCHEDULE_CONSTANT, 1e-4, 1, "alpha-bar 0 at t = 1 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused((DiffusionConfig){.timesteps = cases[i].T,
                                  .schedule = cases[i].kind,
                                  .beta_start = cases[i].beta_start,
                                  .beta_end = cases[i].beta_end},
                cases[i].part);
}

/* jsd ends at alpha-bar 0, and so does linear if beta_end is 1. */
static void zero_at_the_end_refuses_epsilon_alone(void **state)
{
    (void)state;
    Err err = {0};
    DiffusionConfig jsd = chain_config(SCHEDULE_JSD, 1000), linear;
    linear = chain_config(SCHEDULE_LINEAR, 20), linear.beta_end = 1;
    refused(jsd, "jsd ends at alpha-bar 0");
    refused(linear, "diffusion.prediction = epsilon");
    for (Prediction p = PREDICT_X0; p <= PREDICT_V; p++) {
        jsd.prediction = linear.prediction = p;
        assert_true(schedule_check(&jsd, &err) && schedule_check(&linear, &err));
    }
    assert_true(schedule_ends_at_zero(&jsd) && schedule_ends_at_zero(&linear));
    linear.beta_end = 0.02;
    assert_false(schedule_ends_at_zero(&linear));
}

/* The betas of a schedule, given outright, are that schedule. */
static void betas_given_are_the_chain(void **state)
{
    (void)state;
    Chain linear = chain_linear();
    DiffusionConfig config = chain_config(SCHEDULE_JSD, 1000);
    config.betas_count = 1000;
    memcpy(config.betas, linear.schedule.beta, 1000 * sizeof *config.betas);
    Chain given = chain_new(config);
    assert_memory_equal(given.schedule.beta, linear.schedule.beta, 1000 * sizeof(double));
    assert_memory_equal(given.schedule.alpha_bar, linear.schedule.alpha_bar, 1000 * sizeof(double));
    Err err;
    assert_true(schedule_check(&config, &err));
    assert_false(schedule_ends_at_zero(&config));
    config.betas[999] = 1;
    assert_true(schedule_ends_at_zero(&config));
    refused(config, "diffusion.betas ends at alpha-bar 0");
    config.betas[999] = 1.5;
    refused(config, "diffusion.betas[999] = 1.5");
    config.betas[999] = (double)NAN;
    refused(config, "diffusion.betas[999] = nan");
    config.betas[999] = 0.02, config.betas[3] = 1;
    refused(config,
            "diffusion.betas reaches alpha-bar 0 at t = 4 of 1000, by diffusion.betas[3] = 1;");
    config.betas[3] = 1e-18;
    refused(config, "diffusion.betas has beta = 1e-18 at t = 4");
    config.betas_count = 999;
    refused(config, "diffusion.betas has 999 numbers");
    chain_release(&linear), chain_release(&given);
}

/* Lin et al. 2024, algorithm 1: an affine map of sqrt(alpha-bar) that keeps the first and takes the
 * last to 0. */
static void zero_terminal_snr_rescales_the_signal(void **state)
{
    (void)state;
    for (ScheduleKind kind = SCHEDULE_LINEAR; kind <= SCHEDULE_SIGMOID; kind++) {
        DiffusionConfig config = chain_config(kind, 200), zero = config;
        zero.zero_terminal_snr = true, zero.prediction = PREDICT_V;
        Err err;
        if (!schedule_check(&zero, &err)) fail_msg("%s", err.text);
        assert_true(schedule_ends_at_zero(&zero));
        Chain plain = chain_new(config), chain = chain_new(zero);
        const Schedule *s = &chain.schedule;
        double first = sqrt(plain.schedule.alpha_bar[0]);
        double last = sqrt(plain.schedule.alpha_bar[199]), product = 1;
        for (int i = 0; i < 200; i++) {
            double root = sqrt(plain.schedule.alpha_bar[i]);
            double expected = (root - last) * first / (first - last);
            assert_close(sqrt(s->alpha_bar[i]), expected, 1e-14);
            product *= 1 - s->beta[i];
            assert_close(product, s->alpha_bar[i], 1e-13);
            assert_true(isfinite(s->coef_x0[i]) && isfinite(s->coef_xt[i]));
            assert_true(isfinite(s->posterior_log_variance[i]));
        }
        assert_close(s->alpha_bar[199], 0, 0);
        assert_close(s->beta[199], 1, 0);
        assert_close(s->snr[199], 0, 0);
        chain_release(&plain), chain_release(&chain);
    }
}

/* Linear with T = 1000, in double by another program. */
static void zero_terminal_snr_of_the_usual_chain(void **state)
{
    (void)state;
    DiffusionConfig config = chain_config(SCHEDULE_LINEAR, 1000);
    config.zero_terminal_snr = true;
    refused(config, "diffusion.zero_terminal_snr ends at alpha-bar 0");
    config.prediction = PREDICT_X0;
    Chain chain = chain_new(config);
    assert_close(chain.schedule.alpha_bar[0], 0.9999, 1e-12);
    assert_close(chain.schedule.alpha_bar[1], 0.999779325433, 1e-12);
    assert_close(chain.schedule.alpha_bar[499], 0.0760287505471, 1e-12);
    assert_close(chain.schedule.alpha_bar[998], 4.21326246509e-09, 1e-12);
    assert_close(chain.schedule.beta[998], 0.75226723115, 1e-10);
    chain_release(&chain);
}

static void check_accepts_the_usual(void **state)
{
    (void)state;
    Err err = {0};
    for (ScheduleKind kind = SCHEDULE_LINEAR; kind <= SCHEDULE_SIGMOID; kind++)
        for (int T = 2; T <= 2000; T = T * 3 + 1) {
            DiffusionConfig config = chain_config(kind, T);
            config.prediction = PREDICT_V;
            if (!schedule_check(&config, &err)) fail_msg("%s", err.text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_equal_the_fixtures),
        cmocka_unit_test(published_figures),
        cmocka_unit_test(posterior_mean_stays_on_the_chain),
        cmocka_unit_test(log_variance_at_the_first_entry_is_the_seconds),
        cmocka_unit_test(learned_log_variance_is_between_the_fixed_ones),
        cmocka_unit_test(respaced_chain_keeps_alpha_bar_and_timesteps),
        cmocka_unit_test(full_respacing_changes_nothing),
        cmocka_unit_test(timesteps_of_each_spacing),
        cmocka_unit_test(one_timestep_is_the_last_and_T_are_all),
        cmocka_unit_test(timesteps_ascend_inside_the_chain),
        cmocka_unit_test(check_refuses_what_cannot_work),
        cmocka_unit_test(zero_at_the_end_refuses_epsilon_alone),
        cmocka_unit_test(betas_given_are_the_chain),
        cmocka_unit_test(zero_terminal_snr_rescales_the_signal),
        cmocka_unit_test(zero_terminal_snr_of_the_usual_chain),
        cmocka_unit_test(check_accepts_the_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
