/*
 * Gaussian data, whose optimal network's expected terms are closed forms: both estimators agree
 * with their sum.
 */
#include "base/parallel.h"
#include "base/rng.h"
#include "bound_case.h"
#include "diffusion/likelihood.h"

static const double ln_2 = 0.69314718055994530942;

static const double data_mean = 0.1, data_deviation = 0.15;

static double optimal_x_0(double x_0, double x_t, double a)
{
    (void)x_0;
    double s2 = data_deviation * data_deviation;
    return data_mean + sqrt(a) * s2 / (a * s2 + 1 - a) * (x_t - sqrt(a) * data_mean);
}

/* Of x_0 given x_t. */
static double variance_left(double a)
{
    double s2 = data_deviation * data_deviation;
    return s2 * (1 - a) / (a * s2 + 1 - a);
}

/* That with which p has the variance of q(x_{t-1} | x_t), where that is defined. */
static double optimal_v(const Schedule *s, int i)
{
    if (i == 0) return 0.5;
    double left = variance_left(s->alpha_bar[i]);
    double best = s->posterior_variance[i] + s->coef_x0[i] * s->coef_x0[i] * left;
    double low = schedule_learned_log_variance(s, i, -1);
    return 2 * (log(best) - low) / (schedule_learned_log_variance(s, i, 1) - low) - 1;
}

/* x_0 - its prediction is normal; Simpson's rule over 10 standard deviations. */
static double expected_decoder(double log_variance, double left)
{
    enum { STEPS = 4000 };
    double sum = 0, h = 20.0 / STEPS;
    for (int k = 0; k <= STEPS; k++) {
        double z = -10 + k * h, weight = k == 0 || k == STEPS ? 1 : k % 2 ? 4 : 2;
        double nats = -likelihood_discretized(0, sqrt(left) * z, 0.5 * log_variance);
        sum += weight * h / 3 * exp(-0.5 * z * z) / sqrt(2 * acos(-1)) * nats;
    }
    return sum / ln_2;
}

static double expected_term(const DiffusionConfig *c, const Schedule *s, int i)
{
    double left = variance_left(s->alpha_bar[i]), small = s->posterior_variance[i];
    double log_variance = bound_case_log_variance(c, s, i, optimal_v(s, i));
    if (i == 0) return expected_decoder(log_variance, left);
    double square = small + s->coef_x0[i] * s->coef_x0[i] * left, sigma2 = exp(log_variance);
    return 0.5 * (log(sigma2 / small) - 1 + square / sigma2) / ln_2;
}

static double expected_bound(const DiffusionConfig *c, const Schedule *s)
{
    double sum = bound_case_prior(s, data_mean * data_mean + data_deviation * data_deviation);
    for (int i = 0; i < T; i++) sum += expected_term(c, s, i);
    return sum;
}

static Network gaussian(const DiffusionConfig *c, const Schedule *s, int images, uint32_t seed)
{
    Network network = bound_case_network(c, s, images);
    network.x_0_of = optimal_x_0, network.v_of = optimal_v;
    rng_normal(network.x_0, (size_t)images * SIZE, (RngKey){.seed = seed, .stream = RNG_X_T});
    for (int k = 0; k < images * SIZE; k++)
        network.x_0[k] = (float)(data_mean + data_deviation * (double)network.x_0[k]);
    return network;
}

static void both_agree_with_the_closed_form(const DiffusionConfig *c, const Schedule *s)
{
    enum { N = 100 };
    static const int budgets[] = {0, 6, 60};
    Network network = gaussian(c, s, N, 3);
    double expected = expected_bound(c, s);
    for (int k = 0; k < 3; k++) {
        Arena arena;
        Bound b = bound_case_run(&arena, &network,
                                 (Options){.images = N, .budget = budgets[k], .seed = 5});
        double error = moments_error(&b.total);
        assert_close(b.total.mean, expected, 4 * error);
        assert_true(error < 0.03 * expected);
        assert_close(b.decoder.mean, expected_term(c, s, 0), 4 * moments_error(&b.decoder));
        for (int i = 0; i < T; i++) {
            assert_true(b.by_t[i].count <= N); /* images, however often each was asked */
            if (b.by_t[i].count > 50)
                assert_close(b.by_t[i].mean, expected_term(c, s, i),
                             4.5 * moments_error(&b.by_t[i]) + 1e-9);
        }
        arena_release(&arena);
    }
    free(network.x_0);
}

static void gaussian_data_have_the_closed_form_bound(void **state)
{
    (void)state;
    bound_case_for_each(both_agree_with_the_closed_form);
}

/* The mean over many runs has no error that can be seen, with a pilot of nearly half the images;
 * and they scatter as each says that they do. */
static void a_budget_has_no_bias_and_the_error_it_states(void **state)
{
    (void)state;
    enum { N = 30, RUNS = 250 };
    static const int budgets[] = {2, 4, 12};
    for (Variance v = VARIANCE_FIXED_LARGE; v <= VARIANCE_LEARNED_RANGE; v++)
        for (int k = 0; k < 3; k++) {
            DiffusionConfig config = bound_case_config(PREDICT_V, v);
            Chain chain = chain_new(config);
            Moments means = {0}, stated = {0};
            for (uint32_t seed = 0; seed < RUNS; seed++) {
                Arena arena;
                Network network = gaussian(&config, &chain.schedule, N, seed);
                Options options = {.images = N, .budget = budgets[k], .seed = seed};
                Bound b = bound_case_run(&arena, &network, options);
                moments_add(&means, b.total.mean);
                moments_add(&stated, pow(moments_error(&b.total), 2));
                arena_release(&arena), free(network.x_0);
            }
            double error = moments_error(&means),
                   expected = expected_bound(&config, &chain.schedule);
            assert_true(error < 0.01 * expected);
            assert_close(means.mean, expected, 3.5 * error);
            /* of a variance from 250: 5 % */
            assert_close(sqrt(moments_variance(&means) / stated.mean), 1, 0.15);
            chain_release(&chain);
        }
}

/* The same image again and again, so that what is left is how t and x_t are drawn: a fraction of
 * the error that as many t would have that are drawn evenly. */
static void what_is_important_is_asked_more_often(void **state)
{
    (void)state;
    enum { N = 200, K = 6 };
    Arena arena;
    DiffusionConfig config = bound_case_config(PREDICT_EPSILON, VARIANCE_FIXED_LARGE);
    Chain chain = chain_new(config);
    Network network = gaussian(&config, &chain.schedule, N, 1);
    for (int j = 1; j < N; j++) memcpy(network.x_0 + j * SIZE, network.x_0, SIZE * sizeof(float));
    Bound b = bound_case_run(&arena, &network, (Options){.images = N, .budget = K});
    Moments terms = {0};
    for (int i = 1; i < T; i++) moments_add(&terms, expected_term(&config, &chain.schedule, i));
    double evenly = (T - 1) * sqrt(moments_variance(&terms) / (K - 1));
    assert_true(sqrt(moments_variance(&b.total)) < 0.3 * evenly);
    arena_release(&arena), chain_release(&chain), free(network.x_0);
}

/* Off by the same everywhere, unlike Gaussian data: once the pilot has shown it, images say nearly
 * the same, whatever t they draw. */
static double off_by_a_tenth(double x_0, double x_t, double a)
{
    (void)x_t, (void)a;
    return x_0 + 0.1;
}

static void what_is_important_is_learned(void **state)
{
    (void)state;
    DiffusionConfig config = bound_case_config(PREDICT_X0, VARIANCE_FIXED_SMALL);
    Chain chain = chain_new(config);
    double deviation[2];
    for (int after = 0; after < 2; after++) {
        int images = after ? 1000 : BOUND_PILOT;
        Arena arena;
        Network network = gaussian(&config, &chain.schedule, images, 1);
        network.x_0_of = off_by_a_tenth;
        for (int j = 1; j < images; j++)
            memcpy(network.x_0 + j * SIZE, network.x_0, SIZE * sizeof(float));
        Bound b = bound_case_run(&arena, &network, (Options){.images = images, .budget = 20});
        deviation[after] = sqrt(moments_variance(&b.total));
        arena_release(&arena), free(network.x_0);
    }
    assert_true(deviation[1] < 0.6 * deviation[0]);
    chain_release(&chain);
}

/* Alpha-bar_T 0: nothing of x_0 is left to tell, and nothing divides by it. */
static void a_chain_may_end_at_zero(void **state)
{
    (void)state;
    DiffusionConfig config = bound_case_config(PREDICT_V, VARIANCE_FIXED_LARGE);
    config.schedule = SCHEDULE_JSD;
    Chain chain = chain_new(config);
    Network network = gaussian(&config, &chain.schedule, 100, 2);
    for (int budget = 0; budget < 10; budget += 9) {
        Arena arena;
        Bound b = bound_case_run(&arena, &network, (Options){.images = 100, .budget = budget});
        double expected = expected_bound(&config, &chain.schedule);
        assert_close(b.prior.mean, 0, 0);
        assert_close(b.total.mean, expected, 4 * moments_error(&b.total));
        arena_release(&arena);
    }
    chain_release(&chain), free(network.x_0);
}

int main(void)
{
    parallel_setup(1); /* threads would do next to nothing but start, a million times */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaussian_data_have_the_closed_form_bound),
        cmocka_unit_test(a_budget_has_no_bias_and_the_error_it_states),
        cmocka_unit_test(what_is_important_is_asked_more_often),
        cmocka_unit_test(what_is_important_is_learned),
        cmocka_unit_test(a_chain_may_end_at_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
