#include "base/parallel.h"
#include "base/rng.h"
#include "chain.h"
#include "diffusion/predict.h"
#include "diffusion/sampler.h"
#include "diffusion/sampler_steps.h"

enum { STEPS = 20, SIZE = 2 * 3 * 8 * 8 }; /* of the fixtures */

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
    int steps = 1, planned = sampler.chain.T, *timesteps = calloc((size_t)planned, sizeof(int));
    while (sampler_step(&sampler, denoise, context)) steps++;
    assert_int_equal(steps, planned);
    assert_int_equal(sampler.calls, sampler_calls(timesteps, config, full));
    free(timesteps);
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
    for (SamplerKind kind = SAMPLER_DDPM; sampler_names[kind]; kind++) {
        SamplerConfig config = sampler_config(kind, 12);
        config.eta = sampler_takes_eta(kind) ? 0.7 : 0;
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

/* The toy with a learned variance, three channels: v is the same everywhere. */
typedef struct {
    size_t size;
    float v;
} Learned;

static void learned_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    const Learned *learned = context;
    for (size_t p = 0; p < (size_t)n * learned->size / 3; p++)
        for (size_t c = 0; c < 3; c++) {
            out[p * 6 + c] = (float)toy_model((double)x_t[p * 3 + c], t);
            out[p * 6 + 3 + c] = learned->v;
        }
}

/* Samples of two images from a network that learned its variance. */
static float *run_learned(SamplerConfig config, const Schedule *full, float v)
{
    Learned learned = {21, v};
    config.learned_variance = true, config.channels = 3;
    return run(&config, full, NULL, 2, learned.size, learned_denoiser, &learned);
}

static void the_variance_s_channels_are_behind_the_prediction_s(void **state)
{
    (void)state;
    size_t size = 21;
    Chain full = chain_linear();
    SamplerConfig config = sampler_config(SAMPLER_DDPM, 12), learned = config;
    learned.variance = VARIANCE_LEARNED_RANGE;
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_FIXED_LARGE; v++) {
        config.variance = v;
        float *expected = run(&config, &full.schedule, NULL, 2, size, toy_denoiser, &size);
        float *out = run_learned(learned, &full.schedule, v == VARIANCE_FIXED_SMALL ? -1 : 1);
        assert_arrays_close(out, expected, 2 * size, 1e-6, 0);
        free(expected), free(out);
    }
    chain_release(&full);
}

/* Whatever does not ask for it: the other samplers, and ddpm with a fixed variance. */
static void others_leave_the_learned_variance_aside(void **state)
{
    (void)state;
    size_t size = 21;
    Chain full = chain_linear();
    for (SamplerKind kind = SAMPLER_DDPM; sampler_names[kind]; kind++) {
        SamplerConfig config = sampler_config(kind, 12), learned = config;
        if (kind != SAMPLER_DDPM) learned.variance = VARIANCE_LEARNED_RANGE;
        float *expected = run(&config, &full.schedule, NULL, 2, size, toy_denoiser, &size);
        float *out = run_learned(learned, &full.schedule, NAN);
        assert_memory_equal(out, expected, 2 * size * sizeof *out);
        free(expected), free(out);
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
        SamplerKind last = kinds[s] == SCHEDULE_JSD ? SAMPLER_DDIM : SAMPLER_HEUN;
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

static void heun_calls_twice_but_at_both_ends(void **state)
{
    (void)state;
    int timesteps[1000];
    SamplerConfig config = sampler_config(SAMPLER_HEUN, 10);
    Chain linear = chain_linear(), cosine = chain_new(chain_config(SCHEDULE_COSINE, 1000));
    assert_int_equal(sampler_calls(timesteps, &config, &linear.schedule), 19);
    /* sigma_T is 20,000: Euler's step; the next entry is at sigma 6 */
    assert_int_equal(sampler_calls(timesteps, &config, &cosine.schedule), 18);
    config.start = 4;
    assert_int_equal(sampler_calls(timesteps, &config, &cosine.schedule), 7);
    config.kind = SAMPLER_DPMPP;
    assert_int_equal(sampler_calls(timesteps, &config, &cosine.schedule), 4);
    config.start = 0, config.kind = SAMPLER_HEUN, config.steps = 1;
    assert_int_equal(sampler_calls(timesteps, &config, &linear.schedule), 1);
    chain_release(&linear), chain_release(&cosine);
}

/* After a step x_0 is what was predicted at the x_t that it began with. */
static void x_0_is_the_last_step_s(void **state)
{
    (void)state;
    size_t size = 3;
    Chain full = chain_linear();
    for (SamplerKind kind = SAMPLER_DDPM; sampler_names[kind]; kind++) {
        SamplerConfig config = sampler_config(kind, 5);
        config.clip = false;
        Sampler sampler;
        Arena arena = chain_arena(sampler_bytes(&config, 1, size));
        sampler_init(&sampler, &arena, &config, &full.schedule, NULL, 1, size);
        for (bool more = true; more;) {
            double x_t[3], x_0[3];
            int t = sampler.chain.timestep[sampler.left - 1];
            for (int k = 0; k < 3; k++)
                x_t[k] = sampler.x_t[k], x_0[k] = toy_model((double)(float)x_t[k], t);
            predict_x0(x_0, x_0, x_t, PREDICT_EPSILON, &full.schedule, t - 1, size);
            more = sampler_step(&sampler, toy_denoiser, &size);
            for (int k = 0; k < 3; k++) assert_close(sampler.x_0[k], x_0[k], 1e-4);
        }
        arena_release(&arena);
    }
    chain_release(&full);
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
    for (SamplerKind kind = SAMPLER_DDPM; sampler_names[kind]; kind++) {
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
        {SAMPLER_HEUN, 50, 1, SCHEDULE_LINEAR, "this is heun"},
        {SAMPLER_DPMPP, 50, 1.5, SCHEDULE_LINEAR, "eta = 1.5 "},
        {SAMPLER_DPMPP, 50, 0, SCHEDULE_JSD, "the sampler dpm++ divides by alpha-bar"},
        {SAMPLER_HEUN, 50, 0, SCHEDULE_JSD, "the sampler heun divides by alpha-bar"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        SamplerConfig config = sampler_config(cases[i].kind, cases[i].steps);
        config.eta = cases[i].eta;
        DiffusionConfig diffusion = chain_config(cases[i].schedule, 1000);
        assert_refused(sampler_check(&config, &diffusion, &err), &err, cases[i].part);
    }
}

static void a_variance_that_was_not_learned_is_refused(void **state)
{
    (void)state;
    Err err = {0};
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
    SamplerConfig config = sampler_config(SAMPLER_DDPM, 50);
    config.variance = VARIANCE_LEARNED_RANGE;
    assert_refused(sampler_check(&config, &diffusion, &err), &err, "variance = learned_range");
    config.learned_variance = true, config.channels = 3;
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_LEARNED_RANGE; v++) {
        config.variance = v;
        if (!sampler_check(&config, &diffusion, &err)) fail_msg("%s", err.text);
    }
}

static void check_accepts_the_usual(void **state)
{
    (void)state;
    Err err = {0};
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
    for (SamplerKind kind = SAMPLER_DDPM; sampler_names[kind]; kind++)
        for (int steps = 1; steps <= 1000; steps += 333) {
            SamplerConfig config = sampler_config(kind, steps);
            config.eta = sampler_takes_eta(kind) ? 1 : 0;
            if (!sampler_check(&config, &diffusion, &err)) fail_msg("%s", err.text);
        }
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iterator_equals_the_fixtures),
        cmocka_unit_test(iterator_draws_the_noise_it_says),
        cmocka_unit_test(samples_do_not_depend_on_the_batch),
        cmocka_unit_test(the_variance_s_channels_are_behind_the_prediction_s),
        cmocka_unit_test(others_leave_the_learned_variance_aside),
        cmocka_unit_test(every_prediction_leads_to_x_0),
        cmocka_unit_test(heun_calls_twice_but_at_both_ends),
        cmocka_unit_test(x_0_is_the_last_step_s),
        cmocka_unit_test(clipping_does_not_hide_nan),
        cmocka_unit_test(check_refuses_what_cannot_work),
        cmocka_unit_test(a_variance_that_was_not_learned_is_refused),
        cmocka_unit_test(check_accepts_the_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
