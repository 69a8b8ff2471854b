/*
 * Data N(m, s^2), elementwise, have a closed-form optimal epsilon, linear in x_t. Unclipped chains
 * are then linear too: the mean and variance of what they sample follow exactly by a recursion,
 * written here from the papers' formulas and alpha-bar alone.
 */
#include "base/parallel.h"
#include "chain.h"
#include "diffusion/sampler.h"

static const double data_mean = 0.4, data_deviation = 0.5;

/* E[epsilon | x_t]: x_t is N(sqrt(a) m, a s^2 + 1 - a), a = alpha-bar_t. */
static double optimal_epsilon(double x_t, double alpha_bar)
{
    double variance = alpha_bar * data_deviation * data_deviation + 1 - alpha_bar;
    return sqrt(1 - alpha_bar) * (x_t - sqrt(alpha_bar) * data_mean) / variance;
}

typedef struct {
    const Schedule *full;
    size_t size;
} Optimal;

static void optimal_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    const Optimal *o = context;
    for (size_t k = 0; k < (size_t)n * o->size; k++)
        out[k] = (float)optimal_epsilon((double)x_t[k], o->full->alpha_bar[t - 1]);
}

typedef struct {
    double mean, variance;
} Moments;

/* One step of x -> slope (x - center) + center' + sigma z, from alpha-bar a to b. On the center
 * sqrt(a) m the optimal epsilon is 0 and x_0 is m, so that every sampler goes to sqrt(b) m. */
static Moments step_moments(Moments at, const SamplerConfig *c, double a, double b)
{
    double center = sqrt(a) * data_mean, epsilon = optimal_epsilon(center + 1, a);
    double x_0 = (1 - sqrt(1 - a) * epsilon) / sqrt(a), slope, variance;
    if (c->kind == SAMPLER_DDPM) {
        double beta = 1 - a / b;
        slope = (beta * sqrt(b) * x_0 + (1 - b) * sqrt(a / b)) / (1 - a);
        variance = c->variance == VARIANCE_FIXED_LARGE ? beta : beta * (1 - b) / (1 - a);
    } else {
        variance = c->eta * c->eta * (1 - b) / (1 - a) * (1 - a / b);
        slope = sqrt(b) * x_0 + sqrt(1 - b - variance) * epsilon;
    }
    if (b == 1) variance = 0;
    return (Moments){sqrt(b) * data_mean + slope * (at.mean - center),
                     slope * slope * at.variance + variance};
}

static Moments recursion(const SamplerConfig *config, const Schedule *full)
{
    int *timesteps = calloc((size_t)config->steps, sizeof *timesteps);
    int count = schedule_timesteps(timesteps, full->T, config->steps, config->spacing);
    Moments moments = {0, 1};
    for (int i = count - 1; i >= 0; i--)
        moments = step_moments(moments, config, full->alpha_bar[timesteps[i] - 1],
                               i > 0 ? full->alpha_bar[timesteps[i - 1] - 1] : 1);
    free(timesteps);
    return moments;
}

enum { IMAGES = 100, SIZE = 100, SAMPLES = IMAGES * SIZE };

static Moments sample(const SamplerConfig *config, const Schedule *full)
{
    Sampler sampler;
    Optimal optimal = {full, SIZE};
    Arena arena = chain_arena(sampler_bytes(config, IMAGES, SIZE));
    sampler_init(&sampler, &arena, config, full, NULL, IMAGES, SIZE);
    while (sampler_step(&sampler, optimal_denoiser, &optimal)) continue;
    float *x = test_floats(SAMPLES);
    sampler_result(x, &sampler);
    double sum = 0, squares = 0;
    for (int k = 0; k < SAMPLES; k++) sum += (double)x[k];
    for (int k = 0; k < SAMPLES; k++) squares += pow((double)x[k] - sum / SAMPLES, 2);
    free(x), arena_release(&arena);
    return (Moments){sum / SAMPLES, squares / (SAMPLES - 1)};
}

static const SamplerConfig configs[] = {
    {.kind = SAMPLER_DDPM, .variance = VARIANCE_FIXED_SMALL},
    {.kind = SAMPLER_DDPM, .variance = VARIANCE_FIXED_LARGE},
    {.kind = SAMPLER_DDIM, .eta = 0},
    {.kind = SAMPLER_DDIM, .eta = 0.5},
    {.kind = SAMPLER_DDIM, .eta = 1},
};

enum { CONFIGS = sizeof configs / sizeof *configs };

static void samples_have_the_moments_of_the_recursion(void **state)
{
    (void)state;
    static const int steps[] = {1000, 40, 7};
    Chain full = chain_linear();
    for (int c = 0; c < CONFIGS; c++)
        for (int k = 0; k < 3; k++) {
            SamplerConfig config = configs[c];
            config.steps = steps[k], config.seed = 11;
            config.spacing = k == 1 ? SPACING_QUADRATIC : SPACING_LINSPACE;
            Moments expected = recursion(&config, &full.schedule);
            Moments actual = sample(&config, &full.schedule);
            assert_close(actual.mean, expected.mean, 4 * sqrt(expected.variance / SAMPLES));
            assert_close(actual.variance, expected.variance,
                         4 * expected.variance * sqrt(2.0 / (SAMPLES - 1)));
        }
    chain_release(&full);
}

/* The error of the variance falls by more than half whenever K grows fivefold. That of the mean is
 * at most what starting at 0 instead of sqrt(alpha-bar_T) m leaves of it. */
static void recursion_approaches_the_data(void **state)
{
    (void)state;
    Chain full = chain_linear();
    double start = sqrt(full.schedule.alpha_bar[999]) * data_mean;
    for (int c = 0; c < CONFIGS; c++) {
        double error = HUGE_VAL;
        for (int K = 8; K <= 1000; K *= 5) {
            SamplerConfig config = configs[c];
            config.steps = K;
            Moments m = recursion(&config, &full.schedule);
            double before = error;
            error = fabs(m.variance - data_deviation * data_deviation);
            assert_true(error < 0.5 * before);
            assert_close(m.mean, data_mean, start);
        }
        assert_close(error, 0, 0.004);
    }
    chain_release(&full);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_have_the_moments_of_the_recursion),
        cmocka_unit_test(recursion_approaches_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
