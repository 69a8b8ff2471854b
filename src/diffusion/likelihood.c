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

double likelihood_discretized(double x, double mean, double log_scale)
{
    double inverse = exp(-log_scale);
    double upper = (x - mean + 1.0 / 255.0) * inverse, lower = (x - mean - 1.0 / 255.0) * inverse;
    double mass;
    if (x < -0.999)
        mass = normal_cdf(upper);
    else if (x > 0.999)
        mass = normal_cdf(-lower);
    else if (x > mean)
        mass = normal_cdf(-lower) - normal_cdf(-upper);
    else
        mass = normal_cdf(upper) - normal_cdf(lower);
    return log(mass < 1e-12 ? 1e-12 : mass); /* NaN stays NaN */
}

double likelihood_vlb_term(const Schedule *schedule, int i, const double *x_0, const double *x_t,
                           const double *x_0_predicted, double log_variance, bool clip, size_t size)
{
    assert(i >= 0 && i < schedule->T);
    double a = schedule->coef_x0[i], b = schedule->coef_xt[i], sum = 0;
    for (size_t k = 0; k < size; k++) {
        double guess = clip ? predict_clip(x_0_predicted[k]) : x_0_predicted[k];
        double mean = a * guess + b * x_t[k];
        if (i == 0)
            sum -= likelihood_discretized(x_0[k], mean, 0.5 * log_variance);
        else
            sum += likelihood_normal_kl(a * x_0[k] + b * x_t[k],
                                        schedule->posterior_log_variance[i], mean, log_variance);
    }
    return sum / (double)size / ln_2;
}

double likelihood_prior_bits(const Schedule *schedule, const double *x_0, size_t size)
{
    double alpha_bar = schedule->alpha_bar[schedule->T - 1], sum = 0;
    for (size_t k = 0; k < size; k++)
        sum += likelihood_normal_kl(sqrt(alpha_bar) * x_0[k], log(1.0 - alpha_bar), 0.0, 0.0);
    return sum / (double)size / ln_2;
}
