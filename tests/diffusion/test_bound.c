/*
 * The bound of a network that is off by a known amount, and of one that says anything at all.
 */
#include "base/parallel.h"
#include "base/rng.h"
#include "bound_case.h"
#include "diffusion/likelihood.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"

static const double ln_2 = 0.69314718055994530942;

/* ---- a network that is off by a known amount ---- */

static double a_little_off(double x_0, double x_t, double alpha_bar)
{
    (void)x_t, (void)alpha_bar;
    return x_0 + 0.03125;
}

static double far_off(double x_0, double x_t, double alpha_bar)
{
    (void)x_t, (void)alpha_bar;
    return x_0 + 5;
}

static double a_quarter(const Schedule *s, int i)
{
    (void)s, (void)i;
    return 0.25;
}

/* Where x_0 is off by d. */
static double term_of_error(const DiffusionConfig *c, const Schedule *s, int i, double d)
{
    double log_variance = bound_case_log_variance(c, s, i, 0.25);
    if (i == 0) return -likelihood_discretized(0, d, 0.5 * log_variance) / ln_2;
    double small = s->posterior_variance[i], sigma2 = exp(log_variance);
    double square = small + pow(s->coef_x0[i] * d, 2);
    return 0.5 * (log(sigma2 / small) - 1 + square / sigma2) / ln_2;
}

/* Full: x_0 is within 1e-7 as floats go, and so is all else, but that predictions of noise have it
 * with errors as large as the noise is, against an x_0 that is off by 0.03. */
static void full_is_exact(const DiffusionConfig *c, const Schedule *s)
{
    Arena arena;
    Network network = bound_case_network(c, s, 3);
    network.x_0_of = a_little_off, network.v_of = a_quarter;
    double expected = 0, squares = 0;
    for (int k = 0; k < 3 * SIZE; k++) {
        network.x_0[k] = (float)(k % 57 - 28) / 32;
        if (k < SIZE) squares += pow((double)network.x_0[k], 2) / SIZE;
    }
    for (int i = 0; i < T; i++) expected += term_of_error(c, s, i, 0.03125);
    Bound b = bound_case_run(&arena, &network, (Options){.images = 1});
    assert_close(b.prior.mean, bound_case_prior(s, squares), 1e-12);
    assert_close(b.decoder.mean, term_of_error(c, s, 0, 0.03125), 1e-4);
    double bound = c->prediction == PREDICT_X0 ? 1e-11 : 2e-5;
    assert_close(b.total.mean, expected + bound_case_prior(s, squares), bound * expected);
    for (int i = 1; i < T; i++) {
        double bits = term_of_error(c, s, i, 0.03125);
        assert_int_equal(b.by_t[i].count, 1);
        assert_close(b.by_t[i].mean, bits, bound * bits + 1e-15);
    }
    arena_release(&arena), free(network.x_0);
}

static void full_is_exact_where_the_error_is_known(void **state)
{
    (void)state;
    bound_case_for_each(full_is_exact);
}

/* With x_0 = 0.75 the error is 0.25 once x_0 is clipped, and 5 if not, whatever is predicted; at
 * t = 1 the mass is at its least. */
static void x_0_is_clipped(const DiffusionConfig *c, const Schedule *s)
{
    for (int clip = 0; clip < 2; clip++)
        for (int budget = 0; budget < 60; budget += 30) {
            Arena arena;
            Network network = bound_case_network(c, s, 40);
            network.x_0_of = far_off, network.v_of = a_quarter;
            double d = clip ? 0.25 : 5, expected = bound_case_prior(s, 0.75 * 0.75);
            for (int k = 0; k < 40 * SIZE; k++) network.x_0[k] = 0.75f;
            for (int i = 0; i < T; i++) expected += term_of_error(c, s, i, d);
            Bound b = bound_case_run(&arena, &network,
                                     (Options){.images = 40, .budget = budget, .no_clip = !clip});
            double error = budget > 0 ? 4 * moments_error(&b.total) : 0;
            assert_true(error < 0.03 * expected);
            assert_close(b.total.mean, expected, 2e-5 * expected + error);
            arena_release(&arena), free(network.x_0);
        }
}

static void x_0_is_clipped_if_so_configured(void **state)
{
    (void)state;
    bound_case_for_each(x_0_is_clipped);
}

/* ---- term by term ---- */

static double odd(double x_0, double x_t, double alpha_bar)
{
    return 0.8 * x_0 + 0.3 * tanh(x_t) + 0.2 * alpha_bar;
}

/* Images of all sorts. */
static Network odd_network(const DiffusionConfig *c, const Schedule *s, int images)
{
    Network network = bound_case_network(c, s, images);
    network.x_0_of = odd, network.v_of = a_quarter;
    rng_normal(network.x_0, (size_t)images * SIZE, (RngKey){.seed = 4, .stream = RNG_X_T});
    for (int k = 0; k < images * SIZE; k++) network.x_0[k] *= 0.2f;
    return network;
}

/* The same x_t through likelihood_vlb_term, or through the loss that trains a learned variance. */
static double plain_term(Network *w, int j, int i)
{
    LossImage image = {PIXELS, CHANNELS, w->x_0 + j * SIZE, NULL, NULL, NULL};
    float x_t[SIZE], out[2 * SIZE];
    double x_0[SIZE], guess[SIZE], x[SIZE];
    int t = i + 1;
    RngKey key = {.seed = 9, .image = (uint32_t)j, .step = (uint32_t)t, .stream = RNG_EVAL_NOISE};
    rng_normal(x_t, SIZE, key);
    diffuse(x_t, image.x_0, x_t, w->schedule->alpha_bar[i], SIZE);
    bound_case_denoise(w, out, x_t, &t, &j, 1);
    image.x_t = x_t, image.output = out;
    if (w->diffusion->variance == VARIANCE_LEARNED_RANGE) {
        DiffusionConfig vlb = *w->diffusion;
        vlb.loss = LOSS_VLB;
        return loss_image(NULL, &image, &vlb, w->schedule, i, 1) / T;
    }
    for (int k = 0; k < SIZE; k++)
        x_0[k] = (double)image.x_0[k], x[k] = (double)x_t[k], guess[k] = (double)out[k];
    predict_x0(guess, guess, x, w->diffusion->prediction, w->schedule, i, SIZE);
    double log_variance = schedule_log_variance(w->schedule, w->diffusion->variance, i);
    return likelihood_vlb_term(w->schedule, i, x_0, x, guess, log_variance, false, SIZE);
}

static void terms_equal(const DiffusionConfig *c, const Schedule *s)
{
    enum { N = 3 };
    Arena arena;
    Network network = odd_network(c, s, N);
    Bound b = bound_case_run(&arena, &network, (Options){.images = N, .no_clip = true, .seed = 9});
    for (int i = 0; i < T; i++) {
        double mean = 0;
        for (int j = 0; j < N; j++) mean += plain_term(&network, j, i) / N;
        assert_int_equal(b.by_t[i].count, N);
        assert_close(b.by_t[i].mean, mean, 1e-9 * mean);
    }
    arena_release(&arena), free(network.x_0);
}

static void terms_are_those_of_likelihood_and_loss(void **state)
{
    (void)state;
    bound_case_for_each(terms_equal);
}

/* ---- what must make no difference ---- */

static void assert_same(const Bound *a, const Bound *b)
{
    assert_memory_equal(&a->total, &b->total, sizeof a->total);
    assert_memory_equal(&a->prior, &b->prior, sizeof a->prior);
    assert_memory_equal(&a->decoder, &b->decoder, sizeof a->decoder);
    assert_memory_equal(a->by_t, b->by_t, T * sizeof *a->by_t);
}

static void batches_and_threads_make_no_difference(void **state)
{
    (void)state;
    static const int rows[] = {1, 3, 16, 64, 1000};
    DiffusionConfig config = bound_case_config(PREDICT_V, VARIANCE_LEARNED_RANGE);
    Chain chain = chain_new(config);
    Network network = odd_network(&config, &chain.schedule, 40);
    for (int budget = 0; budget < 8; budget += 7) {
        Arena first, again;
        Bound a = bound_case_run(&first, &network, (Options){.images = 40, .budget = budget});
        for (int k = 0; k < 5; k++) {
            parallel_setup(1 + k % 3);
            Bound b = bound_case_run(&again, &network,
                                     (Options){.images = 40, .budget = budget, .rows = rows[k]});
            assert_same(&b, &a);
            arena_release(&again);
        }
        arena_release(&first);
    }
    parallel_setup(1);
    chain_release(&chain), free(network.x_0);
}

/* ---- ends and edges ---- */

static bool until(void *context, long done)
{
    long *most = context;
    return done < *most;
}

/* What there is then is what fewer images would have given. */
static void it_can_be_stopped(void **state)
{
    (void)state;
    DiffusionConfig config = bound_case_config(PREDICT_V, VARIANCE_FIXED_SMALL);
    Chain chain = chain_new(config);
    Network network = odd_network(&config, &chain.schedule, 40);
    for (int budget = 0; budget < 8; budget += 7) {
        Arena arena, fewer;
        int each = budget ? budget : T;
        long most = 21L * each + 1, all = 40L * each;
        Options options = {.images = 40, .budget = budget, .progress = until, .context = &most};
        Bound b = bound_case_run(&arena, &network, options);
        assert_in_range(b.total.count, 21, 21 + 32 / each + 1);
        Bound less = bound_case_run(&fewer, &network,
                                    (Options){.images = (int)b.total.count, .budget = budget});
        assert_memory_equal(&b.total, &less.total, sizeof b.total);
        arena_release(&arena), arena_release(&fewer);
        options.context = &all; /* too late */
        b = bound_case_run(&arena, &network, options);
        assert_int_equal(b.total.count, 40);
        arena_release(&arena);
    }
    chain_release(&chain), free(network.x_0);
}

static double not_a_number(double x_0, double x_t, double alpha_bar)
{
    (void)x_t, (void)alpha_bar;
    return x_0 > 0.7 ? (double)NAN : x_0;
}

static void nan_shows(const DiffusionConfig *c, const Schedule *s)
{
    for (int budget = 0; budget < 8; budget += 7) {
        Arena arena;
        Network network = odd_network(c, s, 20);
        network.x_0_of = not_a_number, network.x_0[3 * SIZE - 1] = 0.75f;
        Bound b = bound_case_run(&arena, &network, (Options){.images = 20, .budget = budget});
        assert_true(isnan(b.total.mean) && isnan(b.decoder.mean));
        assert_true(isfinite(b.prior.mean));
        arena_release(&arena), free(network.x_0);
    }
}

static void nan_stays_nan(void **state)
{
    (void)state;
    bound_case_for_each(nan_shows);
}

int main(void)
{
    parallel_setup(1); /* threads would do next to nothing but start, a million times */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_is_exact_where_the_error_is_known),
        cmocka_unit_test(x_0_is_clipped_if_so_configured),
        cmocka_unit_test(terms_are_those_of_likelihood_and_loss),
        cmocka_unit_test(batches_and_threads_make_no_difference),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(nan_stays_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
