#include "chain.h"
#include "diffusion/likelihood.h"
#include "diffusion/predict.h"

/* The bits of one entry as the fixture has them: epsilon of the toy model, x_0 clipped. */
static double bits_of_toy(const Schedule *s, int i, const double *x_0, const double *x_t,
                          size_t size, Variance variance)
{
    double *x_0_predicted = calloc(size, sizeof *x_0_predicted);
    for (size_t k = 0; k < size; k++) x_0_predicted[k] = toy_model(x_t[k], i + 1);
    predict_x0(x_0_predicted, x_0_predicted, x_t, PREDICT_EPSILON, s, i, size);
    double bits = likelihood_vlb_term(s, i, x_0, x_t, x_0_predicted,
                                      schedule_log_variance(s, variance, i), true, size);
    free(x_0_predicted);
    return bits;
}

/* x_t of the fixture is diffuse of x_0 and its noise. */
static void assert_diffused(const double *x_t, const double *x_0, const double *noise,
                            double alpha_bar, size_t size)
{
    float *out = test_floats(size), *x = test_floats(size), *epsilon = test_floats(size);
    for (size_t k = 0; k < size; k++) x[k] = (float)x_0[k], epsilon[k] = (float)noise[k];
    diffuse(out, x, epsilon, alpha_bar, size);
    for (size_t k = 0; k < size; k++) assert_close((double)out[k], x_t[k], 1e-6);
    free(out), free(x), free(epsilon);
}

static void terms_equal_the_fixtures(void **state)
{
    (void)state;
    static const int timesteps[] = {1, 2, 10, 500, 1000};
    Safetensors file = test_fixture("likelihood");
    Chain chain = chain_linear();
    const Schedule *s = &chain.schedule;
    size_t size, checked = 2;
    double *x_0 = test_fixture_doubles(&file, &size, "x0");
    double *prior = test_fixture_doubles(&file, NULL, "prior_bits");
    assert_close(likelihood_prior_bits(s, x_0, size), *prior, 1e-9);
    for (int j = 0; j < 5; j++) {
        int t = timesteps[j];
        double *noise = test_fixture_doubles(&file, NULL, "t%d.noise", t);
        double *x_t = test_fixture_doubles(&file, NULL, "t%d.x_t", t);
        assert_diffused(x_t, x_0, noise, s->alpha_bar[t - 1], size);
        for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_FIXED_LARGE; v++) {
            double *bits = test_fixture_doubles(&file, NULL, "t%d.bits.%s", t, variance_names[v]);
            assert_close(bits_of_toy(s, t - 1, x_0, x_t, size, v), *bits, 1e-6 * fabs(*bits));
            free(bits);
        }
        free(noise), free(x_t);
        checked += 4;
    }
    assert_int_equal(checked, file.count);
    free(x_0), free(prior);
    chain_release(&chain), safetensors_release(&file);
}

static void divergence_of_known_normals(void **state)
{
    (void)state;
    assert_close(likelihood_normal_kl(0.3, -1.2, 0.3, -1.2), 0, 1e-15);
    assert_close(likelihood_normal_kl(1, 0, -1, 0), 2, 1e-15);
    /* N(0, 4) against N(0, 1): (4 - 1 - log 4) / 2 */
    assert_close(likelihood_normal_kl(0, log(4), 0, 0), 1.5 - log(2), 1e-15);
}

/* The 256 bins share out all the mass. */
static void bins_sum_to_one(void **state)
{
    (void)state;
    static const double means[] = {-1.7, -1, -0.3, 0, 0.004, 0.9, 1, 1.2};
    for (size_t m = 0; m < sizeof means / sizeof *means; m++)
        for (double log_scale = -7; log_scale < 2; log_scale += 1) {
            double sum = 0;
            for (int k = 0; k < 256; k++)
                sum += exp(likelihood_discretized(k / 127.5 - 1, means[m], log_scale));
            assert_close(sum, 1, 1e-9);
        }
}

/* Far out on either side, where values of the CDF near 1 have no digits left to subtract; the
 * limit of a narrow bin is its width times the density. */
static void tails_are_symmetric_and_exact(void **state)
{
    (void)state;
    double x = 100 / 127.5 - 1, scale = 0.05;
    for (double z = 0.1; z < 6.5; z += 0.1) {
        double above = likelihood_discretized(x, x - z * scale, log(scale));
        double below = likelihood_discretized(x, x + z * scale, log(scale));
        assert_close(above, below, 1e-10);
    }
    double wide = 40, z = 5, width = 2.0 / 255 / wide;
    double density = log(width) - z * z / 2 - 0.5 * log(2 * acos(-1));
    assert_close(likelihood_discretized(0.1, 0.1 - z * wide, log(wide)), density, 1e-6);
    assert_close(likelihood_discretized(0.1, 0.9, -9), log(1e-12), 1e-12);
    assert_true(isnan(likelihood_discretized(0.1, (double)NAN, -1)));
}

static void true_x_0_costs_nothing_and_nan_shows(void **state)
{
    (void)state;
    Chain chain = chain_linear();
    const Schedule *s = &chain.schedule;
    double x_0[] = {0.2, -1, 1}, x_t[] = {0.5, -2, 0.1}, nan[] = {0.2, (double)NAN, 1};
    double log_variance = schedule_log_variance(s, VARIANCE_FIXED_SMALL, 400);
    assert_close(likelihood_vlb_term(s, 400, x_0, x_t, x_0, log_variance, true, 3), 0, 1e-12);
    assert_true(isnan(likelihood_vlb_term(s, 400, x_0, x_t, nan, log_variance, true, 3)));
    assert_true(isnan(likelihood_vlb_term(s, 0, x_0, x_t, nan, log_variance, true, 3)));
    double far[] = {1.2, -5, 1.5}; /* clipped, it is the truth below */
    x_0[0] = 1;
    assert_close(likelihood_vlb_term(s, 400, x_0, x_t, far, log_variance, true, 3), 0, 1e-12);
    assert_true(likelihood_vlb_term(s, 400, x_0, x_t, far, log_variance, false, 3) > 1e-4);
    chain_release(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_equal_the_fixtures),
        cmocka_unit_test(divergence_of_known_normals),
        cmocka_unit_test(bins_sum_to_one),
        cmocka_unit_test(tails_are_symmetric_and_exact),
        cmocka_unit_test(true_x_0_costs_nothing_and_nan_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
