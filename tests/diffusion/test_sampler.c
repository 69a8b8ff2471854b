#include "base/parallel.h"
#include "base/rng.h"
#include "chain.h"
#include "diffusion/predict.h"
#include "diffusion/sampler.h"

#include <stdio.h>

/* ---- single steps against the fixtures: every double as it is there ---- */

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
        sampler_dpmpp(f->x, f->x_0, second ? f->x_0_before : NULL, f->x, three, SIZE);
    }
    fixture_check(f, "dpmpp_2m");
    fixture_free(f);
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
        sampler_dpmpp(x, now, second ? before : NULL, x, three, PUBLISHED);
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

/* ---- the iterator ---- */

static SamplerConfig sampler_config(SamplerKind kind, int steps)
{
    return (SamplerConfig){.kind = kind, .steps = steps, .clip = true, .seed = 7};
}

/* Samples of `config` in a new buffer [n, size]. */
static float *run(const SamplerConfig *config, const Schedule *full, const float *x_T, int n,
                  size_t size, Denoiser denoise, void *context)
{
    Sampler sampler;
    Arena arena = chain_arena(sampler_bytes(config, n, size));
    sampler_init(&sampler, &arena, config, full, x_T, n, size);
    int steps = 1, planned = sampler.chain.T;
    while (sampler_step(&sampler, denoise, context)) steps++;
    assert_int_equal(steps, planned);
    float *out = test_floats((size_t)n * size);
    sampler_result(out, &sampler);
    arena_release(&arena);
    return out;
}

static void toy_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    size_t size = *(const size_t *)context;
    for (size_t k = 0; k < (size_t)n * size; k++) out[k] = (float)toy_model((double)x_t[k], t);
}

static void iterator_equals_the_fixtures(void **state)
{
    (void)state;
    Safetensors file = test_fixture("samplers");
    Chain full = chain_linear();
    float *x_T = test_fixture_floats(&file, NULL, "x_T");
    static const char *const names[] = {[SAMPLER_DDIM] = "ddim.0.0", [SAMPLER_DPMPP] = "dpmpp_2m"};
    for (SamplerKind kind = SAMPLER_DDIM; kind <= SAMPLER_DPMPP; kind++) {
        SamplerConfig config = sampler_config(kind, STEPS);
        config.spacing = SPACING_LEADING;
        size_t size = SIZE / 2;
        float *expected = test_fixture_floats(&file, NULL, "%s", names[kind]);
        float *out = run(&config, &full.schedule, x_T, 2, size, toy_denoiser, &size);
        assert_arrays_close(out, expected, SIZE, 0, 1e-6);
        free(out), free(expected);
    }
    free(x_T), chain_release(&full), safetensors_release(&file);
}

/* x_T and the noise are those that the header names, and the last step has none. */
static void iterator_draws_the_noise_it_says(void **state)
{
    (void)state;
    enum { N = 2, ELEMENTS = 5, K = 3 };
    Chain full = chain_linear();
    SamplerConfig config = sampler_config(SAMPLER_DDIM, K);
    config.eta = 1, config.first_image = 30, config.clip = false;
    static const int timesteps[K] = {1, 501, 1000};
    size_t size = ELEMENTS;
    float *out = run(&config, &full.schedule, NULL, N, size, toy_denoiser, &size);
    for (int image = 0; image < N; image++) {
        double x[ELEMENTS], x_0[ELEMENTS], epsilon[ELEMENTS], noise[ELEMENTS];
        float normals[ELEMENTS];
        RngKey key = {.seed = 7, .image = (uint32_t)(30 + image), .stream = RNG_X_T};
        rng_normal(normals, ELEMENTS, key);
        for (int k = 0; k < ELEMENTS; k++) x[k] = (double)normals[k];
        for (int i = K - 1; i >= 0; i--) {
            int t = timesteps[i];
            key.stream = RNG_SAMPLER_NOISE, key.step = (uint32_t)t;
            rng_normal(normals, ELEMENTS, key);
            for (int k = 0; k < ELEMENTS; k++)
                noise[k] = (double)normals[k], epsilon[k] = toy_model(x[k], t);
            predict_x0(x_0, epsilon, x, PREDICT_EPSILON, &full.schedule, t - 1, ELEMENTS);
            sampler_ddim(x, x_0, epsilon, i > 0 ? noise : NULL, full.schedule.alpha_bar[t - 1],
                         i > 0 ? full.schedule.alpha_bar[timesteps[i - 1] - 1] : 1, 1, ELEMENTS);
        }
        for (int k = 0; k < ELEMENTS; k++)
            assert_close((double)out[image * ELEMENTS + k], x[k], 1e-4 * fabs(x[k]));
    }
    free(out), chain_release(&full);
}

static void samples_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    size_t size = 21;
    Chain full = chain_linear();
    for (SamplerKind kind = SAMPLER_DDPM; kind <= SAMPLER_DPMPP; kind++) {
        SamplerConfig config = sampler_config(kind, 12);
        config.eta = kind == SAMPLER_DDIM ? 0.7 : 0;
        parallel_setup(2);
        float *all = run(&config, &full.schedule, NULL, 64, size, toy_denoiser, &size);
        parallel_setup(1);
        float *four = run(&config, &full.schedule, NULL, 4, size, toy_denoiser, &size);
        config.first_image = 32;
        float *half = run(&config, &full.schedule, NULL, 32, size, toy_denoiser, &size);
        assert_memory_equal(four, all, 4 * size * sizeof *all);
        assert_memory_equal(half, all + 32 * size, 32 * size * sizeof *all);
        assert_true(memcmp(all, all + size, size * sizeof *all) != 0);
        config.seed = 8;
        float *other = run(&config, &full.schedule, NULL, 32, size, toy_denoiser, &size);
        assert_true(memcmp(half, other, size * sizeof *all) != 0);
        free(all), free(four), free(half), free(other);
    }
    chain_release(&full);
}

/* A denoiser that knows x_0 and says it in the way that it is asked. */
typedef struct {
    const Schedule *full;
    Prediction prediction;
    float x_0[4];
} Oracle;

static void oracle_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    const Oracle *o = context;
    assert_int_equal(n, 1);
    double x[4], x_0[4], epsilon[4];
    float noise[4];
    for (int k = 0; k < 4; k++) x[k] = (double)x_t[k], x_0[k] = (double)o->x_0[k];
    predict_epsilon(epsilon, x_0, x, o->full->alpha_bar[t - 1], 4);
    for (int k = 0; k < 4; k++) noise[k] = (float)epsilon[k];
    predict_target(out, o->x_0, noise, x_t, o->prediction, o->full, t - 1, 4);
}

/* Respaced chains too, that end above t = 1, where a mean is that of the full chain's step. */
static void every_prediction_leads_to_x_0(void **state)
{
    (void)state;
    static const ScheduleKind kinds[] = {SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_JSD};
    for (int s = 0; s < 3; s++) {
        Chain full = chain_new(chain_config(kinds[s], 50));
        Prediction first = kinds[s] == SCHEDULE_JSD ? PREDICT_X0 : PREDICT_EPSILON;
        SamplerKind last = kinds[s] == SCHEDULE_JSD ? SAMPLER_DDIM : SAMPLER_DPMPP;
        for (SamplerKind kind = SAMPLER_DDPM; kind <= last; kind++)
            for (Prediction p = first; p <= PREDICT_V; p++) {
                Oracle oracle = {&full.schedule, p, {-1, 0.5f, 0.25f, 1}};
                SamplerConfig config = sampler_config(kind, 7);
                config.spacing = SPACING_TRAILING, config.prediction = p;
                config.variance = VARIANCE_FIXED_LARGE; /* not 0 at the last step, if it drew */
                float *out = run(&config, &full.schedule, NULL, 1, 4, oracle_denoiser, &oracle);
                assert_arrays_close(out, oracle.x_0, 4, 0, 2e-5);
                free(out);
            }
        chain_release(&full);
    }
}

static void nan_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    (void)x_t, (void)t;
    size_t size = *(const size_t *)context;
    for (size_t k = 0; k < (size_t)n * size; k++) out[k] = k % 2 ? NAN : 0.0f;
}

static void clipping_does_not_hide_nan(void **state)
{
    (void)state;
    size_t size = 2;
    Chain full = chain_linear();
    for (SamplerKind kind = SAMPLER_DDPM; kind <= SAMPLER_DPMPP; kind++) {
        SamplerConfig config = sampler_config(kind, 3);
        float *out = run(&config, &full.schedule, NULL, 1, size, nan_denoiser, &size);
        assert_true(isfinite(out[0]) && isnan(out[1]));
        free(out);
    }
    chain_release(&full);
}

static void check_refuses_what_cannot_work(void **state)
{
    (void)state;
    static const struct {
        SamplerKind kind;
        int steps;
        double eta;
        ScheduleKind schedule;
        const char *part;
    } cases[] = {
        {SAMPLER_DDPM, 0, 0, SCHEDULE_LINEAR, "steps = 0 is not in 1 .. 1000"},
        {SAMPLER_DDIM, 1001, 0, SCHEDULE_LINEAR, "steps = 1001 "},
        {SAMPLER_DDIM, 50, 1.5, SCHEDULE_LINEAR, "eta = 1.5 "},
        {SAMPLER_DDIM, 50, -0.1, SCHEDULE_LINEAR, "eta = -0.1 "},
        {SAMPLER_DDIM, 50, (double)NAN, SCHEDULE_LINEAR, "eta = nan "},
        {SAMPLER_DDPM, 50, 0.5, SCHEDULE_LINEAR, "this is ddpm"},
        {SAMPLER_DPMPP, 50, 1, SCHEDULE_LINEAR, "this is dpm++"},
        {SAMPLER_DPMPP, 50, 0, SCHEDULE_JSD, "schedule jsd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        SamplerConfig config = sampler_config(cases[i].kind, cases[i].steps);
        config.eta = cases[i].eta;
        DiffusionConfig diffusion = chain_config(cases[i].schedule, 1000);
        assert_refused(sampler_check(&config, &diffusion, &err), &err, cases[i].part);
    }
}

static void check_accepts_the_usual(void **state)
{
    (void)state;
    Err err = {0};
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
    for (SamplerKind kind = SAMPLER_DDPM; kind <= SAMPLER_DPMPP; kind++)
        for (int steps = 1; steps <= 1000; steps += 333) {
            SamplerConfig config = sampler_config(kind, steps);
            config.eta = kind == SAMPLER_DDIM ? 1 : 0;
            if (!sampler_check(&config, &diffusion, &err)) fail_msg("%s", err.text);
        }
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ddpm_equals_the_fixtures),
        cmocka_unit_test(ddim_equals_the_fixtures),
        cmocka_unit_test(dpmpp_equals_the_fixture),
        cmocka_unit_test(ddim_gives_the_published_sums),
        cmocka_unit_test(dpmpp_gives_the_published_means),
        cmocka_unit_test(iterator_equals_the_fixtures),
        cmocka_unit_test(iterator_draws_the_noise_it_says),
        cmocka_unit_test(samples_do_not_depend_on_the_batch),
        cmocka_unit_test(every_prediction_leads_to_x_0),
        cmocka_unit_test(clipping_does_not_hide_nan),
        cmocka_unit_test(check_refuses_what_cannot_work),
        cmocka_unit_test(check_accepts_the_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
