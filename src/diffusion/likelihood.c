/*
 * The mass of a bin is a difference of two values of the normal's CDF. Above the mean both are near
 * 1 and their difference would lose all its digits, so it is taken on the side of the mean where
 * both are small: erfc is accurate to the last bits far into its tail.
 */
#include "diffusion/likelihood.h"

#include "diffusion/predict.h"

#include <assert.h>
#include <math.h>

static const double ln_2 = 0.69314718055994530942, sqrt_half = 0.70710678118654752440;
static const double one_over_root_pi = 0.56418958354775628695;

double likelihood_bits(double nats, size_t size)
{
    return nats / (double)size / ln_2;
}

double likelihood_normal_kl(double mean1, double log_variance1, double mean2, double log_variance2)
{
    double distance = mean1 - mean2;
    return 0.5 * (log_variance2 - log_variance1 - 1.0 + exp(log_variance1 - log_variance2) +
                  distance * distance * exp(-log_variance2));
}

/* P(N(0, 1) < x) */
static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * sqrt_half);
}

/* x as seen from the mean, in standard deviations: the borders of its bin, infinite at the ends of
 * the data's range. */
typedef struct {
    double lower, upper, inverse_scale;
} Bin;

static Bin bin_around(double x, double mean, double log_scale)
{
    double inverse = exp(-log_scale);
    Bin bin = {(x - mean - 1.0 / 255.0) * inverse, (x - mean + 1.0 / 255.0) * inverse, inverse};
    if (x < -0.999) bin.lower = -HUGE_VAL;
    if (x > 0.999) bin.upper = HUGE_VAL;
    return bin;
}

static double bin_mass(Bin bin)
{
    if (bin.lower + bin.upper > 0.0) return normal_cdf(-bin.lower) - normal_cdf(-bin.upper);
    return normal_cdf(bin.upper) - normal_cdf(bin.lower);
}

static const double least_mass = 1e-12;

double likelihood_discretized(double x, double mean, double log_scale)
{
    double mass = bin_mass(bin_around(x, mean, log_scale));
    return log(mass < least_mass ? least_mass : mass); /* NaN stays NaN */
}

/* The density of N(0, 1) and x times it, which are 0 at infinity. */
static double density(double x)
{
    return exp(-0.5 * x * x) * sqrt_half * one_over_root_pi;
}

static double density_times(double x)
{
    return isinf(x) ? 0.0 : x * density(x);
}

/* Of likelihood_discretized with respect to the mean and the log-scale; 0 where the mass is that
 * of its lower bound. */
static void discretized_gradient(double gradient[2], double x, double mean, double log_scale)
{
    Bin bin = bin_around(x, mean, log_scale);
    double mass = bin_mass(bin);
    gradient[0] = gradient[1] = 0;
    if (mass < least_mass) return;
    gradient[0] = (density(bin.lower) - density(bin.upper)) * bin.inverse_scale / mass;
    gradient[1] = (density_times(bin.lower) - density_times(bin.upper)) / mass;
}

/* Of likelihood_normal_kl with respect to mean2 and log_variance2. */
static void normal_kl_gradient(double gradient[2], double mean1, double log_variance1, double mean2,
                               double log_variance2)
{
    double distance = mean2 - mean1, inverse = exp(-log_variance2);
    gradient[0] = distance * inverse;
    gradient[1] = 0.5 * (1.0 - exp(log_variance1 - log_variance2) - distance * distance * inverse);
}

double likelihood_element(double gradient[2], const Schedule *schedule, int i, double x_0,
                          double x_t, double mean, double log_variance)
{
    if (i == 0) {
        double log_scale = 0.5 * log_variance, of_log_p[2];
        if (gradient) {
            discretized_gradient(of_log_p, x_0, mean, log_scale);
            gradient[0] = -of_log_p[0], gradient[1] = -0.5 * of_log_p[1];
        }
        return -likelihood_discretized(x_0, mean, log_scale);
    }
    double true_mean = schedule->coef_x0[i] * x_0 + schedule->coef_xt[i] * x_t;
    double true_log_variance = schedule->posterior_log_variance[i];
    if (gradient) normal_kl_gradient(gradient, true_mean, true_log_variance, mean, log_variance);
    return likelihood_normal_kl(true_mean, true_log_variance, mean, log_variance);
}

double likelihood_vlb_term(const Schedule *schedule, int i, const double *x_0, const double *x_t,
                           const double *x_0_predicted, double log_variance, bool clip, size_t size)
{
    assert(i >= 0 && i < schedule->T);
    double a = schedule->coef_x0[i], b = schedule->coef_xt[i], sum = 0;
    for (size_t k = 0; k < size; k++) {
        double guess = clip ? predict_clip(x_0_predicted[k]) : x_0_predicted[k];
        double mean = a * guess + b * x_t[k];
        sum += likelihood_element(NULL, schedule, i, x_0[k], x_t[k], mean, log_variance);
    }
    return likelihood_bits(sum, size);
}

double likelihood_prior_bits(const Schedule *schedule, const double *x_0, size_t size)
{
    double alpha_bar = schedule->alpha_bar[schedule->T - 1], sum = 0;
    for (size_t k = 0; k < size; k++)
        sum += likelihood_normal_kl(sqrt(alpha_bar) * x_0[k], log(1.0 - alpha_bar), 0.0, 0.0);
    return likelihood_bits(sum, size);
}
