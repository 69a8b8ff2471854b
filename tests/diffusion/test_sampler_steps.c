#include "chain.h"
#include "diffusion/predict.h"
#include "diffusion/sampler_steps.h"

#include <stdio.h>

/* ---- against the fixtures: every double as it is there ---- */

enum { STEPS = 20, SIZE = 2 * 3 * 8 * 8 };

typedef struct {
    Safetensors file;
    Chain full, chain;
    double *noises; /* [STEPS, SIZE], in the order of use */
    double x[SIZE], x_0[SIZE], x_0_before[SIZE], epsilon[SIZE];
} Fixture;

static Fixture *fixture_new(void)
{
    Fixture *f = calloc(1, sizeof *f);
    f->file = test_fixture("samplers");
    assert_int_equal(f->file.count, 3 + 6); /* what goes in; ddpm twice, ddim thrice, dpmpp */
    f->full = chain_linear();
    size_t count;
    int *timesteps = test_fixture_whole(&f->file, &count, "timesteps");
    assert_int_equal(count, STEPS);
    f->chain = chain_respaced(&f->full.schedule, timesteps, STEPS);
    f->noises = test_fixture_doubles(&f->file, NULL, "noises");
    free(timesteps);
    return f;
}

static void fixture_free(Fixture *f)
{
    chain_release(&f->full), chain_release(&f->chain), safetensors_release(&f->file);
    free(f->noises), free(f);
}

static void fixture_start(Fixture *f)
{
    double *x_T = test_fixture_doubles(&f->file, NULL, "x_T");
    memcpy(f->x, x_T, sizeof f->x);
    free(x_T);
}

static void fixture_predict(Fixture *f, int i)
{
    memcpy(f->x_0_before, f->x_0, sizeof f->x_0);
    int t = f->chain.schedule.timestep[i];
    for (int k = 0; k < SIZE; k++) f->x_0[k] = toy_model(f->x[k], t);
    predict_x0(f->x_0, f->x_0, f->x, PREDICT_EPSILON, &f->full.schedule, t - 1, SIZE);
    for (int k = 0; k < SIZE; k++) f->x_0[k] = predict_clip(f->x_0[k]);
    predict_epsilon(f->epsilon, f->x_0, f->x, f->chain.schedule.alpha_bar[i], SIZE);
}

/* The noise of the step from entry i, none from the last. */
static const double *fixture_noise(const Fixture *f, int i)
{
    return i > 0 ? f->noises + (size_t)(STEPS - 1 - i) * SIZE : NULL;
}

static void fixture_check(Fixture *f, const char *name)
{
    double *expected = test_fixture_doubles(&f->file, NULL, "%s", name);
    for (int k = 0; k < SIZE; k++) assert_close(f->x[k], expected[k], 1e-6);
    free(expected);
}

static void ddpm_equals_the_fixtures(void **state)
{
    (void)state;
    Fixture *f = fixture_new();
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_FIXED_LARGE; v++) {
        char name[32];
        snprintf(name, sizeof name, "ddpm.%s", variance_names[v]);
        fixture_start(f);
        for (int i = STEPS - 1; i >= 0; i--) {
            fixture_predict(f, i);
            sampler_ddpm(f->x, f->x_0, f->x, fixture_noise(f, i), &f->chain.schedule, i, v, SIZE);
        }
        fixture_check(f, name);
    }
    fixture_free(f);
}

/* At entry i of a respaced chain, from x_t = x_0 = 0, so that the noise alone is left: v = -1 is
 * fixed_small, 1 fixed_large, and the deviation of 0 the geometric mean of theirs. Each element has
 * a v of its own. */
static void learned_range_is_between_the_fixed_variances(void **state)
{
    (void)state;
    Fixture *f = fixture_new();
    static const double zero[3], ones[3] = {1, 1, 1}, v[3] = {-1, 1, 0}, x_0[3] = {0.5, -1, 2};
    for (int i = 1; i < STEPS; i++) {
        const Schedule *chain = &f->chain.schedule;
        double x[3], small[3], large[3];
        sampler_ddpm(small, zero, zero, ones, chain, i, VARIANCE_FIXED_SMALL, 3);
        sampler_ddpm(large, zero, zero, ones, chain, i, VARIANCE_FIXED_LARGE, 3);
        sampler_ddpm_learned(x, zero, zero, ones, v, chain, i, 3);
        assert_close(x[0], small[0], 1e-12);
        assert_close(x[1], large[1], 1e-12);
        assert_close(x[2], sqrt(small[2] * large[2]), 1e-12);
        /* the mean is that of a fixed variance */
        sampler_ddpm(large, x_0, ones, NULL, chain, i, VARIANCE_FIXED_LARGE, 3);
        sampler_ddpm_learned(x, x_0, ones, NULL, v, chain, i, 3);
        for (int k = 0; k < 3; k++) assert_close(x[k], large[k], 0);
    }
    fixture_free(f);
}

static void ddim_equals_the_fixtures(void **state)
{
    (void)state;
    Fixture *f = fixture_new();
    for (double eta = 0; eta <= 1; eta += 0.5) {
        char name[32];
        snprintf(name, sizeof name, "ddim.%.1f", eta);
        fixture_start(f);
        for (int i = STEPS - 1; i >= 0; i--) {
            fixture_predict(f, i);
            sampler_ddim(f->x, f->x_0, f->epsilon, fixture_noise(f, i),
                         f->chain.schedule.alpha_bar[i], f->chain.schedule.alpha_bar_prev[i], eta,
                         SIZE);
        }
        fixture_check(f, name);
    }
    fixture_free(f);
}

static void dpmpp_equals_the_fixture(void **state)
{
    (void)state;
    Fixture *f = fixture_new();
    const double *alpha_bar = f->chain.schedule.alpha_bar;
    fixture_start(f);
    for (int i = STEPS - 1; i >= 0; i--) {
        fixture_predict(f, i);
        bool second = i > 0 && i < STEPS - 1;
        double three[] = {alpha_bar[second ? i + 1 : i], alpha_bar[i],
                          i > 0 ? alpha_bar[i - 1] : 1};
        sampler_dpmpp(f->x, f->x_0, second ? f->x_0_before : NULL, f->x, NULL, three, 0, SIZE);
    }
    fixture_check(f, "dpmpp_2m");
    fixture_free(f);
}

/* At first order the step of the SDE is ddim's with eta 1, and ddpm's with fixed_small. */
static void dpmpp_with_eta_1_starts_as_ddpm(void **state)
{
    (void)state;
    Fixture *f = fixture_new();
    fixture_start(f);
    static double x[SIZE], expected[SIZE];
    for (int i = 1; i < STEPS; i++) {
        const Schedule *chain = &f->chain.schedule;
        const double *noise = fixture_noise(f, i);
        double alpha_bar[] = {NAN, chain->alpha_bar[i], chain->alpha_bar[i - 1]};
        fixture_predict(f, i);
        sampler_ddpm(expected, f->x_0, f->x, noise, chain, i, VARIANCE_FIXED_SMALL, SIZE);
        sampler_dpmpp(x, f->x_0, NULL, f->x, noise, alpha_bar, 1, SIZE);
        for (int k = 0; k < SIZE; k++) assert_close(x[k], expected[k], 1e-12);
    }
    fixture_free(f);
}

/* Whatever eta: h is infinite. */
static void dpmpp_ends_at_x_0(void **state)
{
    (void)state;
    double x[2], x_0[] = {0.5, -1}, x_t[] = {3, 4}, alpha_bar[] = {NAN, 0.99, 1};
    for (double eta = 0; eta <= 1; eta += 0.5) {
        sampler_dpmpp(x, x_0, NULL, x_t, NULL, alpha_bar, eta, 2);
        for (int k = 0; k < 2; k++) assert_close(x[k], x_0[k], 0);
    }
}

/* Algorithm 1 of Karras et al. 2022 with D(x; sigma) = c x, sigma from 3 to 1: with the plain
 * numbers, and both in place and not. */
static void heun_is_the_algorithm(void **state)
{
    (void)state;
    const double c = 0.25, x = 2, sigma = 3, sigma_prev = 1;
    double d = (x - c * x) / sigma, euler = x + (sigma_prev - sigma) * d;
    double d_prev = (euler - c * euler) / sigma_prev;
    double expected = x + (sigma_prev - sigma) * (0.5 * d + 0.5 * d_prev);
    double a = 1 / (1 + sigma * sigma), b = 1 / (1 + sigma_prev * sigma_prev);
    double x_t = x * sqrt(a), x_euler, x_0 = c * x, epsilon, epsilon_prev, x_prev;
    predict_epsilon(&epsilon, &x_0, &x_t, a, 1);
    sampler_ddim(&x_euler, &x_0, &epsilon, NULL, a, b, 0, 1);
    assert_close(x_euler, euler * sqrt(b), 1e-14);
    x_0 = c * euler;
    predict_epsilon(&epsilon_prev, &x_0, &x_euler, b, 1);
    sampler_heun(&x_prev, &epsilon, &epsilon_prev, &x_t, a, b, 1);
    assert_close(x_prev, expected * sqrt(b), 1e-14);
    sampler_heun(&x_t, &epsilon, &epsilon_prev, &x_t, a, b, 1);
    assert_close(x_t, x_prev, 0);
}

/* ---- published figures (the scheduler tests of the diffusers library) ---- */

enum { PUBLISHED = 768 };

/* x t / (t + 1) with t from 0, on k / 768. */
static void published_output(double *out, const double *x, int t)
{
    for (int k = 0; k < PUBLISHED; k++) out[k] = x[k] * (t - 1) / t;
}

static void published_start(double *x)
{
    for (int k = 0; k < PUBLISHED; k++) x[k] = (double)k / PUBLISHED;
}

static double sum_of_abs(const double *x)
{
    double sum = 0;
    for (int k = 0; k < PUBLISHED; k++) sum += fabs(x[k]);
    return sum;
}

/* Ten steps; epsilon is what the network said, whatever x_0 was clipped to. */
static double published_ddim(Prediction prediction, double beta_start, bool last_is_1)
{
    DiffusionConfig config = chain_config(SCHEDULE_LINEAR, 1000);
    config.beta_start = beta_start;
    Chain chain = chain_new(config);
    const Schedule *s = &chain.schedule;
    double x[PUBLISHED], x_0[PUBLISHED], epsilon[PUBLISHED];
    int timesteps[10], count = schedule_timesteps(timesteps, 1000, 10, SPACING_LEADING);
    published_start(x);
    for (int k = count - 1; k >= 0; k--) {
        int i = timesteps[k] - 1;
        double prev = k > 0 ? s->alpha_bar[timesteps[k - 1] - 1] : last_is_1 ? 1 : s->alpha_bar[0];
        published_output(x_0, x, i + 1);
        predict_x0(x_0, x_0, x, prediction, s, i, PUBLISHED);
        predict_epsilon(epsilon, x_0, x, s->alpha_bar[i], PUBLISHED);
        for (int e = 0; e < PUBLISHED; e++) x_0[e] = predict_clip(x_0[e]);
        sampler_ddim(x, x_0, epsilon, NULL, s->alpha_bar[i], prev, 0, PUBLISHED);
    }
    chain_release(&chain);
    return sum_of_abs(x);
}

static void ddim_gives_the_published_sums(void **state)
{
    (void)state;
    assert_close(published_ddim(PREDICT_EPSILON, 1e-4, true), 172.0067, 1e-3);
    assert_close(published_ddim(PREDICT_V, 1e-4, true), 52.5302, 1e-3);
    assert_close(published_ddim(PREDICT_EPSILON, 0.01, true), 149.8295, 1e-3);
    assert_close(published_ddim(PREDICT_EPSILON, 0.01, false), 149.0784, 1e-3);
}

/* Ten steps of eleven timesteps; the last one leads to t = 1 and is second order too. */
static double published_dpmpp(Prediction prediction)
{
    Chain chain = chain_linear();
    const Schedule *s = &chain.schedule;
    double x[PUBLISHED], x_0[2][PUBLISHED];
    int timesteps[11], count = schedule_timesteps(timesteps, 1000, 11, SPACING_LINSPACE);
    published_start(x);
    for (int k = count - 1; k > 0; k--) {
        int i = timesteps[k] - 1;
        bool second = k < count - 1;
        double three[] = {s->alpha_bar[second ? timesteps[k + 1] - 1 : i], s->alpha_bar[i],
                          s->alpha_bar[timesteps[k - 1] - 1]};
        double *now = x_0[k % 2], *before = x_0[(k + 1) % 2];
        published_output(now, x, i + 1);
        predict_x0(now, now, x, prediction, s, i, PUBLISHED);
        sampler_dpmpp(x, now, second ? before : NULL, x, NULL, three, 0, PUBLISHED);
    }
    chain_release(&chain);
    return sum_of_abs(x) / PUBLISHED;
}

static void dpmpp_gives_the_published_means(void **state)
{
    (void)state;
    assert_close(published_dpmpp(PREDICT_EPSILON), 0.330147, 1e-6);
    assert_close(published_dpmpp(PREDICT_V), 0.225099, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ddpm_equals_the_fixtures),
        cmocka_unit_test(learned_range_is_between_the_fixed_variances),
        cmocka_unit_test(ddim_equals_the_fixtures),
        cmocka_unit_test(dpmpp_equals_the_fixture),
        cmocka_unit_test(dpmpp_with_eta_1_starts_as_ddpm),
        cmocka_unit_test(dpmpp_ends_at_x_0),
        cmocka_unit_test(heun_is_the_algorithm),
        cmocka_unit_test(ddim_gives_the_published_sums),
        cmocka_unit_test(dpmpp_gives_the_published_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
