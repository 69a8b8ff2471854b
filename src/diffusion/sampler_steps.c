/*
 * Each step is linear in what goes in: the weights are found once, in double, then one loop runs
 * over the elements.
 */
#include "diffusion/sampler_steps.h"

#include <assert.h>
#include <math.h>

void sampler_ddpm(double *x_prev, const double *x_0, const double *x_t, const double *noise,
                  const Schedule *chain, int i, Variance variance, size_t size)
{
    double a = chain->coef_x0[i], b = chain->coef_xt[i];
    assert(variance != VARIANCE_LEARNED_RANGE);
    double sigma =
        sqrt(variance == VARIANCE_FIXED_LARGE ? chain->beta[i] : chain->posterior_variance[i]);
    for (size_t k = 0; k < size; k++)
        x_prev[k] = a * x_0[k] + b * x_t[k] + (noise ? sigma * noise[k] : 0.0);
}

/* The log-variance is linear in v: two of its values give all. */
void sampler_ddpm_learned(double *x_prev, const double *x_0, const double *x_t, const double *noise,
                          const double *v, const Schedule *chain, int i, size_t size)
{
    double a = chain->coef_x0[i], b = chain->coef_xt[i];
    double middle = 0.5 * schedule_learned_log_variance(chain, i, 0.0);
    double slope = 0.5 * schedule_learned_log_variance(chain, i, 1.0) - middle;
    for (size_t k = 0; k < size; k++)
        x_prev[k] = a * x_0[k] + b * x_t[k] + (noise ? exp(middle + slope * v[k]) * noise[k] : 0.0);
}

void sampler_ddim(double *x_prev, const double *x_0, const double *epsilon, const double *noise,
                  double alpha_bar, double alpha_bar_prev, double eta, size_t size)
{
    double sigma = eta * sqrt((1.0 - alpha_bar_prev) / (1.0 - alpha_bar)) *
                   sqrt(1.0 - alpha_bar / alpha_bar_prev);
    double a = sqrt(alpha_bar_prev), b = sqrt(fmax(1.0 - alpha_bar_prev - sigma * sigma, 0.0));
    for (size_t k = 0; k < size; k++)
        x_prev[k] = a * x_0[k] + b * epsilon[k] + (noise ? sigma * noise[k] : 0.0);
}

/* Half the log of the signal-to-noise ratio: infinite at alpha-bar 1. */
static double lambda_of(double alpha_bar)
{
    return 0.5 * log(alpha_bar / (1.0 - alpha_bar));
}

void sampler_dpmpp(double *x_prev, const double *x_0, const double *x_0_before, const double *x_t,
                   const double *noise, const double alpha_bar[3], double eta, size_t size)
{
    double now = alpha_bar[1], next = alpha_bar[2];
    assert(now > 0.0 && (next < 1.0 || !x_0_before));
    double h = lambda_of(next) - lambda_of(now), half_of_inverse_r = 0;
    if (x_0_before) half_of_inverse_r = 0.5 * h / (lambda_of(now) - lambda_of(alpha_bar[0]));
    double eta_h = eta > 0.0 ? eta * h : 0.0; /* h may be infinite */
    double a = sqrt((1.0 - next) / (1.0 - now)) * exp(-eta_h);
    double b = -sqrt(next) * expm1(-h - eta_h);
    double sigma = sqrt(1.0 - next) * sqrt(-expm1(-2.0 * eta_h));
    for (size_t k = 0; k < size; k++) {
        double d = x_0[k];
        if (x_0_before) d += half_of_inverse_r * (x_0[k] - x_0_before[k]);
        x_prev[k] = a * x_t[k] + b * d + (noise ? sigma * noise[k] : 0.0);
    }
}

static double sigma_of(double alpha_bar)
{
    return sqrt((1.0 - alpha_bar) / alpha_bar);
}

void sampler_heun(double *x_prev, const double *epsilon, const double *epsilon_prev,
                  const double *x_t, double alpha_bar, double alpha_bar_prev, size_t size)
{
    assert(alpha_bar > 0.0 && alpha_bar_prev < 1.0);
    double a = sqrt(alpha_bar_prev / alpha_bar);
    double b = 0.5 * sqrt(alpha_bar_prev) * (sigma_of(alpha_bar_prev) - sigma_of(alpha_bar));
    for (size_t k = 0; k < size; k++) x_prev[k] = a * x_t[k] + b * (epsilon[k] + epsilon_prev[k]);
}
