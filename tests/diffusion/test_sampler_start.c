/*
 * Chains of which only the last entries are walked (SamplerConfig.start).
 */
#include "base/parallel.h"
#include "chain.h"
#include "diffusion/predict.h"
#include "diffusion/sampler.h"
#include "diffusion/sampler_steps.h"

static SamplerConfig config_of(SamplerKind kind, int steps)
{
    return (SamplerConfig){.kind = kind, .steps = steps, .clip = true, .seed = 7};
}

static void toy_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    size_t size = *(const size_t *)context;
    for (size_t k = 0; k < (size_t)n * size; k++) out[k] = (float)toy_model((double)x_t[k], t);
}

/* Samples of `config` in a new buffer [n, size]. */
static float *run(const SamplerConfig *config, const Schedule *full, const float *x_t, int n,
                  size_t size)
{
    Sampler sampler;
    Arena arena = chain_arena(sampler_bytes(config, n, size));
    sampler_init(&sampler, &arena, config, full, x_t, n, size);
    while (sampler_step(&sampler, toy_denoiser, &size)) continue;
    float *out = test_floats((size_t)n * size);
    sampler_result(out, &sampler);
    arena_release(&arena);
    return out;
}

/* A chain that is left after some steps and taken up again at that entry goes on as it was; the
 * state in between is rounded to float. DPM-Solver++ forgets a prediction there: its first step is
 * then of first order, as at x_T. */
static void starting_on_the_way_goes_on_as_it_was(void **state)
{
    (void)state;
    enum { N = 3, ALL = 12, LEFT = 5 };
    size_t size = 8;
    Chain full = chain_linear();
    for (SamplerKind kind = SAMPLER_DDPM; kind <= SAMPLER_DDIM; kind++) {
        SamplerConfig config = config_of(kind, ALL);
        float *whole = run(&config, &full.schedule, NULL, N, size);
        Sampler sampler;
        Arena arena = chain_arena(sampler_bytes(&config, N, size));
        sampler_init(&sampler, &arena, &config, &full.schedule, NULL, N, size);
        for (int k = 0; k < ALL - LEFT; k++) sampler_step(&sampler, toy_denoiser, &size);
        float *x_t = test_floats(N * size);
        sampler_result(x_t, &sampler);
        config.start = LEFT;
        float *rest = run(&config, &full.schedule, x_t, N, size);
        assert_arrays_close(rest, whole, N * size, 0, 1e-5);
        free(whole), free(x_t), free(rest), arena_release(&arena);
    }
    chain_release(&full);
}

/* One entry of the whole chain is one step of first order. */
static void dpmpp_starts_in_first_order(void **state)
{
    (void)state;
    size_t size = 4;
    Chain full = chain_linear();
    SamplerConfig config = config_of(SAMPLER_DPMPP, 10);
    config.start = 3, config.clip = false;
    Sampler sampler;
    Arena arena = chain_arena(sampler_bytes(&config, 1, size));
    float x_t[] = {-0.5f, 0.1f, 0.7f, 2};
    sampler_init(&sampler, &arena, &config, &full.schedule, x_t, 1, size);
    const Schedule *chain = &sampler.chain;
    double x[4], x_0[4], alpha_bar[] = {0, chain->alpha_bar[2], chain->alpha_bar[1]};
    for (int k = 0; k < 4; k++) x[k] = (double)x_t[k], x_0[k] = toy_model(x[k], chain->timestep[2]);
    predict_x0(x_0, x_0, x, PREDICT_EPSILON, &full.schedule, chain->timestep[2] - 1, size);
    sampler_dpmpp(x, x_0, NULL, x, NULL, alpha_bar, 0, size);
    assert_true(sampler_step(&sampler, toy_denoiser, &size));
    for (int k = 0; k < 4; k++) assert_close(sampler.x_t[k], x[k], 1e-6);
    assert_true(sampler_step(&sampler, toy_denoiser, &size));
    assert_false(sampler_step(&sampler, toy_denoiser, &size));
    arena_release(&arena), chain_release(&full);
}

/* Images that start alike stay alike, wherever in a run they are. */
static void shared_noise_is_that_of_image_0(void **state)
{
    (void)state;
    enum { N = 3 };
    size_t size = 8;
    float x_T[N * 8];
    Chain full = chain_linear();
    SamplerConfig config = config_of(SAMPLER_DDPM, 12);
    for (int k = 0; k < N * 8; k++) x_T[k] = (float)(k % 8) / 8;
    float *own = run(&config, &full.schedule, x_T, N, size);
    config.shared_noise = true, config.first_image = 40;
    float *shared = run(&config, &full.schedule, x_T, N, size);
    for (size_t i = 0; i < N; i++) assert_memory_equal(shared + i * size, own, size * sizeof *own);
    assert_true(memcmp(own, own + size, size * sizeof *own) != 0);
    free(own), free(shared), chain_release(&full);
}

static void entries_are_the_steps_without_repeats(void **state)
{
    (void)state;
    int timesteps[18];
    SamplerConfig config = config_of(SAMPLER_DDIM, 18);
    assert_int_equal(sampler_entries(timesteps, &config, 1000), 18);
    config.spacing = SPACING_QUADRATIC;
    int entries = sampler_entries(timesteps, &config, 20);
    assert_in_range(entries, 10, 17);
    for (int i = 1; i < entries; i++) assert_true(timesteps[i] > timesteps[i - 1]);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starting_on_the_way_goes_on_as_it_was),
        cmocka_unit_test(dpmpp_starts_in_first_order),
        cmocka_unit_test(shared_noise_is_that_of_image_0),
        cmocka_unit_test(entries_are_the_steps_without_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
