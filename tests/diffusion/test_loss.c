/*
 * Losses and their gradients: by differences in random directions, by the papers' weights of the
 * squared error, and on Gaussian data, whose optimal network's expected loss is known.
 */
#include "chain.h"
#include "diffusion/likelihood.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"

enum { PIXELS = 35, CHANNELS = 3, SIZE = PIXELS * CHANNELS, MOST = 2 * SIZE };

static const double ln_2 = 0.69314718055994530942;

static DiffusionConfig config_of(Prediction prediction, Variance variance, Loss loss)
{
    DiffusionConfig c = chain_config(SCHEDULE_LINEAR, 1000);
    c.prediction = prediction, c.variance = variance, c.loss = loss;
    c.min_snr_gamma = 5, c.p2_gamma = 0.5, c.p2_k = 1;
    return c;
}

/* Calls `test` with every prediction x variance x loss that loss_check lets through; returns how
 * many those are. */
static int for_each_config(void (*test)(const DiffusionConfig *))
{
    int count = 0;
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++)
        for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_LEARNED_RANGE; v++)
            for (Loss l = LOSS_SIMPLE; l <= LOSS_P2; l++) {
                DiffusionConfig c = config_of(p, v, l);
                Err err;
                if (!loss_check(&c, &err)) continue;
                test(&c);
                count++;
            }
    return count;
}

/* What d mean / d output is, by the papers' definitions of the predictions. */
static double mean_by_output(Prediction p, const Schedule *s, int i)
{
    double noise = sqrt(1 - s->alpha_bar[i]), signal = sqrt(s->alpha_bar[i]);
    double of_x_0[] = {-noise / signal, 1, 1 / s->coef_x0[i], -noise};
    return s->coef_x0[i] * of_x_0[p];
}

/* ---- an image, what it was diffused to, and what a network might say ---- */

typedef struct {
    LossImage image;
    float *x_0, *epsilon, *x_t, *target, *output, *gradient;
    size_t outputs;
    double unit; /* of the prediction: moves the mean by a standard deviation, at most 1 */
} Case;

/* 8-bit values, some of them -1 and 1. */
static float *an_image(uint32_t seed)
{
    float *x = test_normals(SIZE, seed);
    for (int k = 0; k < SIZE; k++) {
        double level = round(127.5 + 100 * (double)x[k]);
        x[k] = (float)(fmin(fmax(level, 0), 255) / 127.5 - 1);
    }
    x[0] = x[CHANNELS] = -1, x[1] = x[SIZE - 1] = 1;
    return x;
}

/* The prediction is off by about 0.7 units, v anywhere in and out of [-1, 1]. */
static void say_something(Case *c, int output_channels)
{
    float *errors = test_normals(SIZE, 3), *v = test_normals(SIZE, 4);
    for (int k = 0; k < SIZE; k++) {
        float *output = c->output + k / CHANNELS * output_channels + k % CHANNELS;
        output[0] = (float)((double)c->target[k] + 0.7 * c->unit * (double)errors[k]);
        if (output_channels > CHANNELS) output[CHANNELS] = 0.8f * v[k];
    }
    free(errors), free(v);
}

static Case case_new(const DiffusionConfig *config, const Schedule *s, int i)
{
    int output_channels = loss_output_channels(config, CHANNELS);
    Case c = {.x_0 = an_image(1), .epsilon = test_normals(SIZE, 2)};
    c.outputs = (size_t)(PIXELS * output_channels);
    c.x_t = test_floats(SIZE), c.target = test_floats(SIZE);
    c.output = test_floats(c.outputs), c.gradient = test_floats(c.outputs);
    diffuse(c.x_t, c.x_0, c.epsilon, s->alpha_bar[i], SIZE);
    predict_target(c.target, c.x_0, c.epsilon, c.x_t, config->prediction, s, i, SIZE);
    double deviation = exp(0.5 * schedule_log_variance(s, VARIANCE_FIXED_SMALL, i));
    c.unit = fmin(1, deviation / fabs(mean_by_output(config->prediction, s, i)));
    say_something(&c, output_channels);
    c.image = (LossImage){PIXELS, CHANNELS, c.x_0, c.x_t, c.target, c.output};
    return c;
}

static void case_free(Case *c)
{
    free(c->x_0), free(c->epsilon), free(c->x_t), free(c->target);
    free(c->output), free(c->gradient);
}

/* ---- gradients ---- */

/* The outputs moved, those of the prediction by units, of the variance by ones; `which` has bit 1
 * for the former and bit 2 for the latter. What is between two such outputs is known exactly,
 * whatever they were rounded to. */
static void move(float output[MOST], double by, const Case *c, int stride, int which)
{
    float *direction = test_normals(c->outputs, 5);
    for (size_t k = 0; k < c->outputs; k++) {
        bool of_v = (int)k % stride >= CHANNELS;
        double unit = which & (of_v ? 2 : 1) ? (of_v ? 1 : c->unit) : 0;
        output[k] = (float)((double)c->output[k] + by * unit * (double)direction[k]);
    }
    free(direction);
}

static double loss_at(const float *output, const Case *c, const DiffusionConfig *config,
                      const Schedule *s, int i)
{
    LossImage image = c->image;
    image.output = output;
    return loss_image(NULL, &image, config, s, i, 1);
}

static double squares_at(const float *output, const Case *c, int stride)
{
    double sum = 0;
    for (int k = 0; k < SIZE; k++) {
        size_t at = (size_t)(k / CHANNELS * stride + k % CHANNELS);
        sum += pow((double)output[at] - (double)c->target[k], 2);
    }
    return sum / SIZE;
}

/* The gradient along `up` - `down` is `difference`. */
static void assert_along(const Case *c, const float *up, const float *down, double difference)
{
    double sum = 0, size = 0;
    for (size_t k = 0; k < c->outputs; k++) {
        double term = (double)c->gradient[k] * ((double)up[k] - (double)down[k]);
        sum += term, size += fabs(term);
    }
    assert_true(size > 0);
    /* the losses themselves are rounded */
    assert_close(sum, difference, 3e-5 * size + 1e-15);
}

/* In hybrid the mean is trained by the squared error alone, the variance by the whole. */
static void assert_gradient(const DiffusionConfig *config, const Schedule *s, int i)
{
    const double h = 1e-3, divisor = 7;
    int stride = loss_output_channels(config, CHANNELS);
    Case c = case_new(config, s, i);
    float up[MOST], down[MOST];
    loss_image(c.gradient, &c.image, config, s, i, divisor);
    int most = config->loss == LOSS_HYBRID ? 2 : 3;
    for (int which = most == 2 ? 1 : 3; which <= most; which++) {
        move(up, h, &c, stride, which), move(down, -h, &c, stride, which);
        double difference = loss_at(up, &c, config, s, i) - loss_at(down, &c, config, s, i);
        if (which == 1) difference = squares_at(up, &c, stride) - squares_at(down, &c, stride);
        assert_along(&c, up, down, difference / divisor);
    }
    case_free(&c);
}

static void gradients_of_one(const DiffusionConfig *config)
{
    static const int timesteps[] = {1, 2, 500, 1000};
    Chain chain = chain_new(*config);
    for (int k = 0; k < 4; k++) assert_gradient(config, &chain.schedule, timesteps[k] - 1);
    chain_release(&chain);
}

static void gradients_are_differences(void **state)
{
    (void)state;
    /* simple and vlb with either fixed variance; vlb and hybrid with a learned one; min_snr and p2
     * with all but mean */
    assert_int_equal(for_each_config(gradients_of_one), 4 * (2 * 2 + 2) + 3 * 2 * 2);
}

/* ---- the squared error's weights ---- */

/* Bit for bit what `simple` has always been. */
static void simple_is_the_mean_squared_error(void **state)
{
    (void)state;
    DiffusionConfig config = config_of(PREDICT_V, VARIANCE_FIXED_LARGE, LOSS_SIMPLE);
    Chain chain = chain_new(config);
    Case c = case_new(&config, &chain.schedule, 300);
    double sum = 0;
    float scale = (float)(2.0 / (5.0 * SIZE));
    double loss = loss_image(c.gradient, &c.image, &config, &chain.schedule, 300, 5);
    for (int k = 0; k < SIZE; k++) {
        float error = c.output[k] - c.target[k], gradient = scale * error;
        sum += (double)error * (double)error;
        assert_memory_equal(&c.gradient[k], &gradient, sizeof gradient);
    }
    assert_close(loss, sum / SIZE, 0);
    case_free(&c), chain_release(&chain);
}

/* The formulas as Hang et al. and Choi et al. have them. */
static void weights_are_the_papers(void **state)
{
    (void)state;
    Chain chain = chain_linear();
    for (int i = 0; i < 1000; i += 37) {
        double snr = chain.schedule.snr[i], least = fmin(snr, 5);
        double min_snr[] = {least / snr, least, 0, least / (snr + 1)}, p = 1 / sqrt(1 + snr);
        double p2[] = {p, p * snr, 0, p * snr / (snr + 1)};
        for (Prediction q = PREDICT_EPSILON; q <= PREDICT_V; q++) {
            if (q == PREDICT_MEAN) continue;
            DiffusionConfig config = config_of(q, VARIANCE_FIXED_LARGE, LOSS_MIN_SNR);
            assert_close(loss_weight(&config, &chain.schedule, i), min_snr[q], 1e-12 * min_snr[q]);
            config.loss = LOSS_P2;
            assert_close(loss_weight(&config, &chain.schedule, i), p2[q], 1e-12 * p2[q]);
            config.loss = LOSS_SIMPLE;
            assert_close(loss_weight(&config, &chain.schedule, i), 1, 0);
        }
    }
    chain_release(&chain);
}

/* T times the divergence: what the variances alone make of it, and a weight times the squared
 * error, which is that of Ho et al. 2020, eq. 12, for epsilon, and half the fall of SNR for x_0 at
 * the posterior's variance (Kingma et al. 2021, eq. 14). */
static void bound_of_fixed_variance(const DiffusionConfig *config)
{
    if (config->loss != LOSS_VLB || config->variance == VARIANCE_LEARNED_RANGE) return;
    static const int entries[] = {1, 2, 10, 499, 999};
    Chain chain = chain_new(*config);
    const Schedule *s = &chain.schedule;
    for (int e = 0; e < 5; e++) {
        int i = entries[e];
        Case c = case_new(config, s, i);
        double small = s->posterior_variance[i], beta = s->beta[i], noise = 1 - s->alpha_bar[i];
        double sigma2 = config->variance == VARIANCE_FIXED_LARGE ? beta : small;
        double epsilon = beta * beta / (2 * sigma2 * (1 - beta) * noise);
        double x_0 = 0.5 * (s->snr[i - 1] - s->snr[i]) * small / sigma2;
        double weights[] = {epsilon, x_0, 1 / (2 * sigma2), x_0 * noise};
        double constant = 0.5 * (log(sigma2 / small) - 1 + small / sigma2);
        double squares = squares_at(c.output, &c, CHANNELS);
        double expected = 1000 / ln_2 * (constant + weights[config->prediction] * squares);
        assert_close(loss_at(c.output, &c, config, s, i), expected, 2e-5 * expected);
        case_free(&c);
    }
    chain_release(&chain);
}

static void vlb_is_a_known_weight_times_the_squared_error(void **state)
{
    (void)state;
    assert_true(for_each_config(bound_of_fixed_variance) > 0);
}

/* The term is likelihood_vlb_term's, unclipped; at t = 1 the decoder's. */
static void vlb_is_the_likelihoods_term(void **state)
{
    (void)state;
    static const int entries[] = {0, 1, 700};
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_FIXED_LARGE; v++)
        for (int e = 0; e < 3; e++) {
            DiffusionConfig config = config_of(PREDICT_EPSILON, v, LOSS_VLB);
            Chain chain = chain_new(config);
            Case c = case_new(&config, &chain.schedule, entries[e]);
            double x_0[SIZE], x_t[SIZE], guess[SIZE];
            for (int k = 0; k < SIZE; k++)
                x_0[k] = (double)c.x_0[k], x_t[k] = (double)c.x_t[k],
                guess[k] = (double)c.output[k];
            predict_x0(guess, guess, x_t, PREDICT_EPSILON, &chain.schedule, entries[e], SIZE);
            double term = likelihood_vlb_term(&chain.schedule, entries[e], x_0, x_t, guess,
                                              schedule_log_variance(&chain.schedule, v, entries[e]),
                                              false, SIZE);
            double loss = loss_at(c.output, &c, &config, &chain.schedule, entries[e]);
            assert_close(loss, 1000 * term, 1e-9 * loss);
            case_free(&c), chain_release(&chain);
        }
}

/* simple + T/1000 times the term; v = -1 and 1 are the fixed variances' terms. */
static void hybrid_is_simple_and_the_term(void **state)
{
    (void)state;
    DiffusionConfig hybrid = config_of(PREDICT_EPSILON, VARIANCE_LEARNED_RANGE, LOSS_HYBRID);
    hybrid.timesteps = 400;
    Chain chain = chain_new(hybrid);
    const Schedule *s = &chain.schedule;
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_FIXED_LARGE; v++) {
        Case c = case_new(&hybrid, s, 123);
        float alone[SIZE];
        for (int k = 0; k < SIZE; k++) {
            float *output = c.output + k / CHANNELS * 2 * CHANNELS + k % CHANNELS;
            alone[k] = output[0];
            output[CHANNELS] = v == VARIANCE_FIXED_LARGE ? 1 : -1;
        }
        DiffusionConfig simple = hybrid, vlb = hybrid;
        simple.loss = LOSS_SIMPLE, vlb.loss = LOSS_VLB;
        simple.variance = vlb.variance = v;
        double expected = loss_at(alone, &c, &simple, s, 123);
        expected += loss_at(alone, &c, &vlb, s, 123) / 1000;
        assert_close(loss_at(c.output, &c, &hybrid, s, 123), expected, 1e-7 * expected);
        case_free(&c);
    }
    chain_release(&chain);
}

/* ---- Gaussian data ---- */

/* Data N(m, s^2) and noise at their two-point quadrature, m +- s and +- 1: the mean over the four
 * of anything quadratic in both is its expectation. */
static const double data_mean = 0.2, data_deviation = 0.6;

typedef struct {
    float x_0[4], epsilon[4], x_t[4], target[4], output[8];
    double variance; /* of x_0 given x_t: s^2 (1 - a) / (a s^2 + 1 - a), a = alpha-bar_t */
} Gaussian;

/* E[x_0 | x_t] put as the prediction, and with learned_range the best v: p's variance is that of
 * q(x_{t-1} | x_t), the posterior's and what not knowing x_0 adds to it. */
static Gaussian gaussian_new(const DiffusionConfig *config, const Schedule *s, int i)
{
    Gaussian g;
    double a = s->alpha_bar[i], s2 = data_deviation * data_deviation, total = a * s2 + 1 - a;
    g.variance = s2 * (1 - a) / total;
    bool learned = config->variance == VARIANCE_LEARNED_RANGE;
    double best = s->posterior_variance[i] + s->coef_x0[i] * s->coef_x0[i] * g.variance;
    double low = schedule_learned_log_variance(s, i, -1);
    double v = 2 * (log(best) - low) / (schedule_learned_log_variance(s, i, 1) - low) - 1;
    float predicted[4];
    for (int k = 0; k < 4; k++) {
        g.x_0[k] = (float)(data_mean + (k & 1 ? data_deviation : -data_deviation));
        g.epsilon[k] = k & 2 ? 1 : -1;
        double x_t = sqrt(a) * (double)g.x_0[k] + sqrt(1 - a) * (double)g.epsilon[k];
        double x_0 = data_mean + sqrt(a) * s2 / total * (x_t - sqrt(a) * data_mean);
        double epsilon = (x_t - sqrt(a) * x_0) / sqrt(1 - a);
        double mean = s->coef_x0[i] * x_0 + s->coef_xt[i] * x_t;
        double as[] = {epsilon, x_0, mean, sqrt(a) * epsilon - sqrt(1 - a) * x_0};
        predicted[k] = (float)as[config->prediction];
        g.x_t[k] = (float)x_t;
    }
    for (int k = 0; k < 4; k++) {
        g.output[learned ? 2 * k : k] = predicted[k];
        if (learned) g.output[2 * k + 1] = (float)v;
    }
    predict_target(g.target, g.x_0, g.epsilon, g.x_t, config->prediction, s, i, 4);
    return g;
}

/* What is left of the squared error by x_0's variance given x_t. */
static double expected_squares(const DiffusionConfig *c, const Schedule *s, int i, double variance)
{
    double snr = s->snr[i];
    double factors[] = {snr, 1, s->coef_x0[i] * s->coef_x0[i], snr + 1};
    return factors[c->prediction] * variance;
}

/* And of each loss. */
static double expected_loss(const DiffusionConfig *c, const Schedule *s, int i, double variance)
{
    double snr = s->snr[i], small = s->posterior_variance[i];
    double error = s->coef_x0[i] * s->coef_x0[i] * variance;
    double sigma2 = c->variance == VARIANCE_FIXED_SMALL   ? small
                    : c->variance == VARIANCE_FIXED_LARGE ? s->beta[i]
                                                          : small + error;
    double bits = 0.5 * (log(sigma2 / small) - 1 + (small + error) / sigma2) / ln_2;
    switch (c->loss) {
    case LOSS_SIMPLE:
        return expected_squares(c, s, i, variance);
    case LOSS_VLB:
        return s->T * bits;
    case LOSS_HYBRID:
        return expected_squares(c, s, i, variance) + s->T * bits / 1000;
    case LOSS_MIN_SNR: /* the same for all predictions: they are one loss */
        return fmin(snr, c->min_snr_gamma) * variance;
    case LOSS_P2:
        return snr * variance / pow(c->p2_k + snr, c->p2_gamma);
    }
    return (double)NAN;
}

static void gaussian_of_one(const DiffusionConfig *config)
{
    static const int entries[] = {1, 2, 30, 300, 700, 999};
    Chain chain = chain_new(*config);
    for (int e = 0; e < 6; e++) {
        int i = entries[e];
        Gaussian g = gaussian_new(config, &chain.schedule, i);
        LossImage image = {4, 1, g.x_0, g.x_t, g.target, g.output};
        float gradient[8];
        double loss = loss_image(gradient, &image, config, &chain.schedule, i, 1);
        double expected = expected_loss(config, &chain.schedule, i, g.variance);
        /* target and output are floats of about 1, and may be next to each other */
        double left = expected_squares(config, &chain.schedule, i, g.variance);
        double bound = 1e-4 + 4e-7 / sqrt(left);
        assert_close(loss, expected, bound * expected);
        /* nothing is left to learn: what the four images ask for cancels */
        int stride = loss_output_channels(config, 1);
        for (int part = 0; part < stride; part++) {
            double sum = 0, size = 0;
            for (int k = 0; k < 4; k++) {
                double of = (double)gradient[k * stride + part];
                sum += of, size += fabs(of);
            }
            assert_close(sum, 0, 10 * bound * size + 1e-12);
        }
    }
    chain_release(&chain);
}

static void the_optimal_network_has_the_expected_loss(void **state)
{
    (void)state;
    assert_true(for_each_config(gaussian_of_one) > 0);
}

static void x_0_follows_from_the_output(const DiffusionConfig *config)
{
    Chain chain = chain_new(*config);
    for (int i = 0, clip = 0; i < 1000; i += 333, clip = !clip) {
        Case c = case_new(config, &chain.schedule, i);
        int stride = loss_output_channels(config, CHANNELS);
        double weights[2], sum = 0;
        predict_weights(weights, config->prediction, &chain.schedule, i);
        for (int k = 0; k < SIZE; k++) {
            double output = (double)c.output[k / CHANNELS * stride + k % CHANNELS];
            double x_0 = weights[0] * output + weights[1] * (double)c.x_t[k];
            sum += pow((clip ? predict_clip(x_0) : x_0) - (double)c.x_0[k], 2) / SIZE;
        }
        assert_close(loss_x_0_error(&c.image, config, &chain.schedule, i, clip), sum, 1e-12 * sum);
        case_free(&c);
    }
    chain_release(&chain);
}

static void the_error_of_x_0(void **state)
{
    (void)state;
    assert_true(for_each_config(x_0_follows_from_the_output) > 0);
}

/* ---- bad numbers, refusals ---- */

static void nan_shows(const DiffusionConfig *config)
{
    Chain chain = chain_new(*config);
    for (int i = 0; i < 2; i++) {
        Case c = case_new(config, &chain.schedule, i);
        c.output[c.outputs - 1] = NAN;
        assert_true(isnan(loss_image(c.gradient, &c.image, config, &chain.schedule, i, 1)));
        assert_true(isnan((double)c.gradient[c.outputs - 1]));
        case_free(&c);
    }
    chain_release(&chain);
}

static void nan_stays_nan(void **state)
{
    (void)state;
    assert_true(for_each_config(nan_shows) > 0);
}

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    Err err;
    const Loss weighted[] = {LOSS_MIN_SNR, LOSS_P2};
    DiffusionConfig c = config_of(PREDICT_EPSILON, VARIANCE_LEARNED_RANGE, LOSS_SIMPLE);
    assert_refused(loss_check(&c, &err), &err, "diffusion.loss = simple never trains");
    c.variance = VARIANCE_FIXED_SMALL, c.loss = LOSS_HYBRID;
    assert_refused(loss_check(&c, &err), &err, "diffusion.variance = fixed_small is fixed");
    for (int k = 0; k < 2; k++) {
        c = config_of(PREDICT_EPSILON, VARIANCE_LEARNED_RANGE, weighted[k]);
        assert_refused(loss_check(&c, &err), &err, "never trains the variance");
        c = config_of(PREDICT_MEAN, VARIANCE_FIXED_LARGE, weighted[k]);
        assert_refused(loss_check(&c, &err), &err, "diffusion.prediction = mean");
        c = config_of(PREDICT_V, VARIANCE_FIXED_LARGE, weighted[k]);
        assert_true(loss_check(&c, &err));
        c.schedule = SCHEDULE_JSD;
        assert_refused(loss_check(&c, &err), &err, "alpha-bar ends at 0");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(simple_is_the_mean_squared_error),
        cmocka_unit_test(weights_are_the_papers),
        cmocka_unit_test(vlb_is_a_known_weight_times_the_squared_error),
        cmocka_unit_test(vlb_is_the_likelihoods_term),
        cmocka_unit_test(hybrid_is_simple_and_the_term),
        cmocka_unit_test(the_optimal_network_has_the_expected_loss),
        cmocka_unit_test(the_error_of_x_0),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(what_cannot_work_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
