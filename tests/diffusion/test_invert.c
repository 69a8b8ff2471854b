/*
 * Data N(m, s^2), elementwise: the optimal epsilon is closed-form, and the deterministic walk of
 * infinitely many steps keeps (x_t - sqrt(a) m) / sqrt(a s^2 + 1 - a) as it is.
 */
#include "base/parallel.h"
#include "chain.h"
#include "diffusion/invert.h"
#include "diffusion/sampler_steps.h"

enum { IMAGES = 3, SIZE = 40, ALL = IMAGES * SIZE };

static const double data_mean = 0.1, data_deviation = 0.5;

static double deviation_at(double alpha_bar)
{
    return sqrt(alpha_bar * data_deviation * data_deviation + 1 - alpha_bar);
}

static void optimal_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    const Schedule *full = context;
    double a = full->alpha_bar[t - 1];
    for (int k = 0; k < n * SIZE; k++)
        out[k] =
            (float)(sqrt(1 - a) * ((double)x_t[k] - sqrt(a) * data_mean) / pow(deviation_at(a), 2));
}

/* Images all over [-1, 1], its ends too. */
static void make_images(float *x_0)
{
    for (int k = 0; k < ALL; k++) x_0[k] = (float)(2.0 * (k % SIZE) / (SIZE - 1) - 1);
}

static void encode(float *x_t, const SamplerConfig *config, Schedule *full, const float *x_0,
                   int iterations)
{
    Sampler sampler;
    Arena arena = chain_arena(sampler_bytes(config, IMAGES, SIZE));
    sampler_init(&sampler, &arena, config, full, x_0, IMAGES, SIZE);
    invert_init(&sampler);
    int steps = 1;
    while (invert_step(&sampler, iterations, optimal_denoiser, full)) steps++;
    assert_int_equal(steps, config->start > 0 ? config->start : config->steps);
    assert_int_equal(sampler.left, steps);
    sampler_result(x_t, &sampler);
    arena_release(&arena);
}

static void decode(float *x_0, const SamplerConfig *config, Schedule *full, const float *x_t)
{
    Sampler sampler;
    Arena arena = chain_arena(sampler_bytes(config, IMAGES, SIZE));
    sampler_init(&sampler, &arena, config, full, x_t, IMAGES, SIZE);
    while (sampler_step(&sampler, optimal_denoiser, full)) continue;
    sampler_result(x_0, &sampler);
    arena_release(&arena);
}

/* Peak signal to noise ratio of images in [-1, 1], dB. */
static double psnr(const float *a, const float *b)
{
    double squares = 0;
    for (int k = 0; k < ALL; k++) squares += pow((double)a[k] - (double)b[k], 2);
    return 10 * log10(4 / (squares / ALL));
}

static double round_trip(const SamplerConfig *config, Schedule *full, int iterations)
{
    float x_0[ALL], *x_t = test_floats(ALL), *back = test_floats(ALL);
    make_images(x_0);
    encode(x_t, config, full, x_0, iterations);
    decode(back, config, full, x_t);
    double result = psnr(back, x_0);
    free(x_t), free(back);
    return result;
}

/* The step down, and from where it leads the step up by the same epsilon. */
static void solve_undoes_the_step_down(void **state)
{
    (void)state;
    static const double alpha_bars[][2] = {{0.3, 0.5}, {0.9, 1.0}, {1e-4, 0.2}};
    double x_0[] = {-1, 0.3, 0.8}, epsilon[] = {0.5, -2, 0.1}, x_t[3], x_prev[3], back[3];
    for (int i = 0; i < 3; i++) {
        double now = alpha_bars[i][0], prev = alpha_bars[i][1];
        for (int k = 0; k < 3; k++) x_t[k] = sqrt(now) * x_0[k] + sqrt(1 - now) * epsilon[k];
        sampler_ddim(x_prev, x_0, epsilon, NULL, now, prev, 0, 3);
        invert_solve(back, x_prev, epsilon, now, prev, 3);
        for (int k = 0; k < 3; k++) assert_close(back[k], x_t[k], 1e-14);
    }
}

static void many_steps_follow_the_closed_form(void **state)
{
    (void)state;
    float x_0[ALL], *x_T = test_floats(ALL);
    Chain full = chain_linear();
    SamplerConfig config = {.kind = SAMPLER_DDIM, .steps = 1000};
    double a = full.schedule.alpha_bar[999];
    make_images(x_0);
    encode(x_T, &config, &full.schedule, x_0, 1);
    for (int k = 0; k < ALL; k++)
        assert_close((double)x_T[k],
                     sqrt(a) * data_mean +
                         deviation_at(a) * ((double)x_0[k] - data_mean) / data_deviation,
                     0.03);
    free(x_T), chain_release(&full);
}

/* One iteration leaves an error that falls with the number of steps; more take it away. Clipped,
 * images that touch the range's ends come back too. */
static void the_way_down_leads_back(void **state)
{
    (void)state;
    Chain full = chain_linear();
    for (int clip = 0; clip <= 1; clip++)
        for (int start = 0; start <= 1; start++) {
            SamplerConfig config = {.kind = SAMPLER_DDIM, .steps = 100, .clip = clip == 1};
            config.start = start * 40;
            double hundred = round_trip(&config, &full.schedule, 1);
            config.steps = 20, config.start = start * 8;
            double twenty = round_trip(&config, &full.schedule, 1);
            double solved = round_trip(&config, &full.schedule, 4);
            double better = round_trip(&config, &full.schedule, 12);
            assert_true(hundred > twenty + 6);
            assert_true(solved > twenty + 20);
            assert_true(better > 80);
        }
    chain_release(&full);
}

static void images_do_not_depend_on_each_other(void **state)
{
    (void)state;
    float x_0[ALL], *one = test_floats(ALL), *two = test_floats(ALL);
    Chain full = chain_linear();
    SamplerConfig config = {.kind = SAMPLER_DDIM, .steps = 10};
    make_images(x_0);
    parallel_setup(2);
    encode(one, &config, &full.schedule, x_0, 2);
    for (int k = 0; k < SIZE; k++) x_0[k] = 0;
    parallel_setup(1);
    encode(two, &config, &full.schedule, x_0, 2);
    assert_memory_equal(one + SIZE, two + SIZE, (ALL - SIZE) * sizeof *one);
    assert_true(memcmp(one, two, SIZE * sizeof *one) != 0);
    free(one), free(two), chain_release(&full);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(solve_undoes_the_step_down),
        cmocka_unit_test(many_steps_follow_the_closed_form),
        cmocka_unit_test(the_way_down_leads_back),
        cmocka_unit_test(images_do_not_depend_on_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
