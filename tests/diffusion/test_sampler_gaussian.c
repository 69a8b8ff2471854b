/*
 * Data N(m, s^2), elementwise, have a closed-form optimal epsilon, linear in x_t. Unclipped chains
 * are then linear too: where each x_T and each draw of noise ends, and the mean and variance of
 * what is sampled, follow exactly by a recursion, written here from the papers' formulas and
 * alpha-bar alone.
 */
#include "base/parallel.h"
#include "base/rng.h"
#include "chain.h"
#include "diffusion/sampler.h"

static const double data_mean = 0.4, data_deviation = 0.5;

/* x_t is N(sqrt(a) m, variance_at(a)), a = alpha-bar_t. */
static double variance_at(double alpha_bar)
{
    return alpha_bar * data_deviation * data_deviation + 1 - alpha_bar;
}

/* E[epsilon | x_t]. */
static double optimal_epsilon(double x_t, double alpha_bar)
{
    return sqrt(1 - alpha_bar) * (x_t - sqrt(alpha_bar) * data_mean) / variance_at(alpha_bar);
}

/* Var[x_b | x_a] for alpha-bars a < b: what a network that learns the variance should say. It is
 * above posterior_variance, for which x_0 is known, and below beta, for which x_b is N(0, 1). */
static double variance_between(double a, double b)
{
    return variance_at(b) * (1 - a / b) / variance_at(a);
}

typedef struct {
    const Schedule *full;
    size_t size;
    const Schedule *chain; /* of whose steps the variance is learned; NULL: none is */
} Optimal;

/* The v whose variance, eq. 15 of Nichol & Dhariwal, is the optimal one of entry i. */
static double optimal_v(const Schedule *chain, int i)
{
    double a = chain->alpha_bar[i], b = chain->alpha_bar[i - 1], beta = 1 - a / b;
    double posterior = beta * (1 - b) / (1 - a);
    double f = log(variance_between(a, b) / posterior) / log(beta / posterior);
    assert_in_range((int)(f * 1e6), 1, 999999);
    return 2 * f - 1;
}

/* One channel: with a learned variance, epsilon and v in turn. */
static void optimal_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    const Optimal *o = context;
    int i = 0, stride = o->chain ? 2 : 1;
    while (o->chain && o->chain->timestep[i] != t) i++;
    for (size_t k = 0; k < (size_t)n * o->size; k++) {
        out[(size_t)stride * k] = (float)optimal_epsilon((double)x_t[k], o->full->alpha_bar[t - 1]);
        if (o->chain) out[2 * k + 1] = i > 0 ? (float)optimal_v(o->chain, i) : NAN;
    }
}

/* With u = x_t - sqrt(a) m and e = x_0 predicted at the step before - m, a step is
 *     u' = p u + q e + sigma z,   e' = s u
 * for on the centre, x_t = sqrt(a) m, the optimal epsilon is 0 and x_0 is m. */
typedef struct {
    double p, q, sigma, s;
} Step;

static double lambda_at(double alpha_bar)
{
    return log(sqrt(alpha_bar / (1 - alpha_bar)));
}

static double sigma_at(double alpha_bar)
{
    return sqrt(1 / alpha_bar - 1);
}

static Step ddpm_step(Variance variance, double a, double b, double x_0)
{
    double beta = 1 - a / b, posterior = beta * (1 - b) / (1 - a);
    double of[] = {posterior, beta, variance_between(a, b)};
    return (Step){.p = (beta * sqrt(b) * x_0 + (1 - b) * sqrt(a / b)) / (1 - a),
                  .sigma = sqrt(of[variance])};
}

static Step ddim_step(double eta, double a, double b, double x_0, double epsilon)
{
    double variance = eta * eta * (1 - b) / (1 - a) * (1 - a / b);
    return (Step){.p = sqrt(b) * x_0 + sqrt(1 - b - variance) * epsilon, .sigma = sqrt(variance)};
}

/* In x_t / sqrt(alpha-bar), where the SDE has no drift of its own: k-diffusion's way of writing it.
 * `before` is the alpha-bar of the step before, 0 for none. */
static Step dpmpp_step(double eta, double before, double a, double b, double x_0)
{
    if (b == 1) return (Step){.p = x_0};
    double h = lambda_at(b) - lambda_at(a), shrink = sigma_at(b) / sigma_at(a) * exp(-eta * h);
    double weight = 1 - exp(-(1 + eta) * h), ratio = 0;
    if (before > 0) ratio = h / (2 * (lambda_at(a) - lambda_at(before)));
    return (Step){.p = sqrt(b) * (shrink / sqrt(a) + weight * (1 + ratio) * x_0),
                  .q = -sqrt(b) * weight * ratio,
                  .sigma = sqrt(b) * sigma_at(b) * sqrt(1 - exp(-2 * eta * h))};
}

/* dx/dsigma = epsilon in x_t / sqrt(alpha-bar). */
static Step heun_step(double a, double b, double epsilon)
{
    double dsigma = (b < 1 ? sigma_at(b) : 0) - sigma_at(a), x = 1 / sqrt(a);
    double euler = x + dsigma * epsilon;
    if (b == 1 || sigma_at(a) > 160) return (Step){.p = sqrt(b) * euler};
    double end = sqrt(b) * (euler), there = sqrt(1 - b) * end / variance_at(b);
    return (Step){.p = sqrt(b) * (x + dsigma * (epsilon + there) / 2)};
}

/* From alpha-bar a to b, before it `before` or 0. The last step, to 1, draws nothing. */
static Step step_of(const SamplerConfig *c, double before, double a, double b)
{
    double epsilon = sqrt(1 - a) / variance_at(a), x_0 = (1 - sqrt(1 - a) * epsilon) / sqrt(a);
    Step step = {0};
    switch (c->kind) {
    case SAMPLER_DDPM:
        step = ddpm_step(c->variance, a, b, x_0);
        break;
    case SAMPLER_DDIM:
        step = ddim_step(c->eta, a, b, x_0, epsilon);
        break;
    case SAMPLER_DPMPP:
        step = dpmpp_step(c->eta, b < 1 ? before : 0, a, b, x_0);
        break;
    case SAMPLER_HEUN:
        step = heun_step(a, b, epsilon);
        break;
    }
    if (b == 1) step.sigma = 0;
    step.s = x_0;
    return step;
}

/* Step from entry i of the chain. */
static Step step_at(const SamplerConfig *c, const Schedule *chain, int i)
{
    double before = i + 1 < chain->T ? chain->alpha_bar[i + 1] : 0;
    return step_of(c, before, chain->alpha_bar[i], i > 0 ? chain->alpha_bar[i - 1] : 1);
}

static Chain chain_of(const SamplerConfig *config, const Schedule *full)
{
    int *timesteps = calloc((size_t)config->steps, sizeof *timesteps);
    int count = sampler_entries(timesteps, config, full->T);
    Chain chain = chain_respaced(full, timesteps, count);
    free(timesteps);
    return chain;
}

typedef struct {
    double mean, variance;
} Moments;

/* Mean and variance of x after the steps down to entry `end`, or to x_0 (-1), from those of x_T. */
static Moments moments(const SamplerConfig *config, const Schedule *chain, Moments start, int end)
{
    double a = chain->alpha_bar[chain->T - 1];
    double u = start.mean - sqrt(a) * data_mean, e = 0; /* means */
    double uu = start.variance, ue = 0, ee = 0;         /* covariances */
    for (int i = chain->T - 1; i > end; i--) {
        Step k = step_at(config, chain, i);
        double u_next = k.p * u + k.q * e;
        double uu_next = k.p * k.p * uu + 2 * k.p * k.q * ue + k.q * k.q * ee + k.sigma * k.sigma;
        e = k.s * u, u = u_next;
        ee = k.s * k.s * uu, ue = k.s * (k.p * uu + k.q * ue), uu = uu_next;
    }
    a = end >= 0 ? chain->alpha_bar[end] : 1;
    return (Moments){sqrt(a) * data_mean + u, uu};
}

/* Those of data with noise: what is to come out of a perfect chain. */
static Moments marginal(double alpha_bar)
{
    return (Moments){sqrt(alpha_bar) * data_mean, variance_at(alpha_bar)};
}

static const SamplerConfig configs[] = {
    {.kind = SAMPLER_DDPM, .variance = VARIANCE_FIXED_SMALL},
    {.kind = SAMPLER_DDPM, .variance = VARIANCE_FIXED_LARGE},
    {.kind = SAMPLER_DDPM,
     .variance = VARIANCE_LEARNED_RANGE,
     .learned_variance = true,
     .channels = 1},
    {.kind = SAMPLER_DDIM, .eta = 0},
    {.kind = SAMPLER_DDIM, .eta = 0.5},
    {.kind = SAMPLER_DDIM, .eta = 1},
    {.kind = SAMPLER_DPMPP, .eta = 0},
    {.kind = SAMPLER_DPMPP, .eta = 0.3},
    {.kind = SAMPLER_DPMPP, .eta = 1},
    {.kind = SAMPLER_HEUN},
};

enum { CONFIGS = sizeof configs / sizeof *configs };

/* ---- the sampler does what the recursion says, to every element ---- */

enum { IMAGES = 3, SIZE = 7, ELEMENTS = IMAGES * SIZE };

static double normal_at(uint64_t seed, int element, int t, RngStream stream)
{
    float z[SIZE];
    rng_normal(z, SIZE,
               (RngKey){.seed = seed,
                        .image = (uint32_t)(element / SIZE),
                        .step = (uint32_t)t,
                        .stream = stream});
    return (double)z[element % SIZE];
}

static double follow(const SamplerConfig *config, const Schedule *chain, int element)
{
    double a = chain->alpha_bar[chain->T - 1];
    double u = normal_at(config->seed, element, 0, RNG_X_T) - sqrt(a) * data_mean, e = 0;
    for (int i = chain->T - 1; i >= 0; i--) {
        Step k = step_at(config, chain, i);
        double z = normal_at(config->seed, element, chain->timestep[i], RNG_SAMPLER_NOISE);
        double next = k.p * u + k.q * e + k.sigma * z;
        e = k.s * u, u = next;
    }
    return data_mean + u;
}

static void every_element_follows_the_recursion(void **state)
{
    (void)state;
    static const int steps[] = {1000, 40, 7, 1};
    Chain full = chain_linear();
    for (int c = 0; c < CONFIGS; c++)
        for (int k = 0; k < 4; k++) {
            SamplerConfig config = configs[c];
            config.steps = steps[k], config.seed = 11;
            config.spacing = k == 1 ? SPACING_QUADRATIC : SPACING_LINSPACE;
            Chain chain = chain_of(&config, &full.schedule);
            Optimal optimal = {&full.schedule, SIZE,
                               config.learned_variance ? &chain.schedule : NULL};
            Sampler sampler;
            Arena arena = chain_arena(sampler_bytes(&config, IMAGES, SIZE));
            sampler_init(&sampler, &arena, &config, &full.schedule, NULL, IMAGES, SIZE);
            while (sampler_step(&sampler, optimal_denoiser, &optimal)) continue;
            float out[ELEMENTS];
            for (int x = 0; x < ELEMENTS; x++) out[x] = NAN;
            sampler_result(out, &sampler);
            for (int x = 0; x < ELEMENTS; x++)
                assert_close((double)out[x], follow(&config, &chain.schedule, x), 3e-5);
            arena_release(&arena), chain_release(&chain);
        }
    chain_release(&full);
}

/* ---- and the recursion tends to the data ---- */

static double variance_error(SamplerConfig config, const Schedule *full, int K)
{
    config.steps = K;
    Chain chain = chain_of(&config, full);
    Moments start = marginal(chain.schedule.alpha_bar[chain.schedule.T - 1]);
    Moments wanted = marginal(full->alpha_bar[0]), m = moments(&config, &chain.schedule, start, 0);
    assert_close(m.mean, wanted.mean, 1e-12);
    chain_release(&chain);
    return m.variance - wanted.variance;
}

/* From x_T of the data's own distribution to t = 1, before the hop to x_0, whose error has nothing
 * to do with the steps: the mean is right, and the error of the variance falls by more than half
 * whenever K grows fivefold. */
static void moments_approach_the_data_s(void **state)
{
    (void)state;
    Chain full = chain_linear();
    for (int c = 0; c < CONFIGS; c++) {
        double error = HUGE_VAL;
        if (configs[c].learned_variance) continue;
        for (int K = 8; K <= 1000; K *= 5) {
            double before = error;
            error = fabs(variance_error(configs[c], &full.schedule, K));
            assert_true(error < 0.5 * before);
        }
        assert_close(error, 0, configs[c].kind == SAMPLER_DPMPP ? 3e-4 : 4e-3);
    }
    chain_release(&full);
}

/* Reverse steps of Gaussian data are Gaussian: with the variance they have, none is too long. */
static void a_learned_variance_is_exact_in_any_number_of_steps(void **state)
{
    (void)state;
    Chain full = chain_linear();
    for (int c = 0; c < CONFIGS; c++)
        for (int K = 2; K <= 1000 && configs[c].learned_variance; K *= 2)
            assert_close(variance_error(configs[c], &full.schedule, K), 0, 1e-12);
    chain_release(&full);
}

/* From N(0, I) down to x_0: the mean is off by at most what starting at 0 instead of
 * sqrt(alpha-bar_T) m leaves of it, the variance also by that of x_0 given x_1, which the last
 * step does not draw. */
static void samples_are_as_the_data(void **state)
{
    (void)state;
    Chain full = chain_linear();
    double start = sqrt(full.schedule.alpha_bar[999]) * data_mean;
    for (int c = 0; c < CONFIGS; c++) {
        SamplerConfig config = configs[c];
        config.steps = 1000;
        Moments m = moments(&config, &full.schedule, (Moments){0, 1}, -1);
        assert_close(m.mean, data_mean, start);
        assert_close(m.variance, data_deviation * data_deviation, 0.004);
    }
    chain_release(&full);
}

/* ---- order of convergence ---- */

/* The probability flow scales x_t - sqrt(a) m as the deviation of x_t: by how much too much the
 * sampler does, from the first of K + 1 timesteps to t = 1. */
static double slope_error(SamplerConfig config, const Schedule *full, int K)
{
    config.steps = K + 1;
    Sampler sampler;
    Optimal optimal = {full, 2, NULL};
    Arena arena = chain_arena(sampler_bytes(&config, 1, 2));
    float x_T[2] = {0, 1};
    sampler_init(&sampler, &arena, &config, full, x_T, 1, 2);
    double a = sampler.chain.alpha_bar[sampler.chain.T - 1];
    while (sampler.left > 1) sampler_step(&sampler, optimal_denoiser, &optimal);
    assert_int_equal(sampler.chain.timestep[0], 1);
    double slope = sampler.x_t[1] - sampler.x_t[0];
    arena_release(&arena);
    return slope / sqrt(variance_at(full->alpha_bar[0]) / variance_at(a)) - 1;
}

/* Twice the steps, half the error of ddim and a quarter of the others'. The chain is long, that
 * rounding the timesteps, and dropping the one or two that repeat, matters little; they are
 * quadratic, so that steps get shorter in log(snr) too near t = 1. */
static void errors_fall_with_the_order_of_the_sampler(void **state)
{
    (void)state;
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 8192);
    diffusion.beta_start /= 8.192, diffusion.beta_end /= 8.192;
    Chain full = chain_new(diffusion);
    static const struct {
        SamplerKind kind;
        double order, most; /* error of 64 steps */
    } cases[] = {{SAMPLER_DDIM, 1, 0.03}, {SAMPLER_DPMPP, 2, 2e-3}, {SAMPLER_HEUN, 2, 1e-3}};
    for (int c = 0; c < 3; c++) {
        SamplerConfig config = {.kind = cases[c].kind, .spacing = SPACING_QUADRATIC};
        double error = slope_error(config, &full.schedule, 64);
        assert_close(error, 0, cases[c].most);
        for (int K = 128; K <= 256; K *= 2) {
            double before = error;
            error = slope_error(config, &full.schedule, K);
            assert_close(log2(before / error), cases[c].order, 0.1);
        }
    }
    chain_release(&full);
}

/* sigma_T is 20,000: the first step, which is Euler's, makes no error that its correction would
 * multiply by that. */
static void heun_copes_with_an_alpha_bar_of_nearly_0(void **state)
{
    (void)state;
    Chain full = chain_new(chain_config(SCHEDULE_COSINE, 1000));
    SamplerConfig config = {.kind = SAMPLER_HEUN};
    assert_true(sigma_at(full.schedule.alpha_bar[999]) > 20000);
    assert_close(slope_error(config, &full.schedule, 9), 0, 0.03);
    assert_close(slope_error(config, &full.schedule, 19), 0, 0.007);
    chain_release(&full);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_follows_the_recursion),
        cmocka_unit_test(moments_approach_the_data_s),
        cmocka_unit_test(a_learned_variance_is_exact_in_any_number_of_steps),
        cmocka_unit_test(samples_are_as_the_data),
        cmocka_unit_test(errors_fall_with_the_order_of_the_sampler),
        cmocka_unit_test(heun_copes_with_an_alpha_bar_of_nearly_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
