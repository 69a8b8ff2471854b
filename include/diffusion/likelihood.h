/*
 * The variational bound on -log p(x_0), term by term, in bits per dimension (Ho et al. 2020, eq. 5,
 * with the decoder of section 3.3): L_T + sum over t > 1 of L_{t-1} + L_0. Arrays hold the `size`
 * elements of an image; data are 8-bit values k / 127.5 - 1.
 */
#ifndef DDPM_DIFFUSION_LIKELIHOOD_H
#define DDPM_DIFFUSION_LIKELIHOOD_H

#include "diffusion/schedule.h"

#include <stdbool.h>
#include <stddef.h>

/* Bits per dimension: the mean over `size` elements of what they have in nats together. */
double likelihood_bits(double nats, size_t size);

/* KL(N(mean1, e^log_variance1) || N(mean2, e^log_variance2)) in nats. */
double likelihood_normal_kl(double mean1, double log_variance1, double mean2, double log_variance2);

/* log p(x_0 | x_1) of one element in nats, Ho et al. 2020, eq. 13: the mass that a normal of
 * `mean` and standard deviation e^log_scale gives to the bin of half-width 1/255 around x, whose
 * outer border is infinite at x = -1 and x = 1. At least log(1e-12), as in their code. */
double likelihood_discretized(double x, double mean, double log_scale);

/* One element's term at entry `i`, in nats: L_0 if it is the first, else L_{t-1} = KL(q(x_{t-1} |
 * x_t, x_0) || p(x_{t-1} | x_t)), where p = N(mean, e^log_variance). Unless `gradient` is NULL, it
 * gets the derivatives with respect to the mean and to the log-variance. */
double likelihood_element(double gradient[2], const Schedule *schedule, int i, double x_0,
                          double x_t, double mean, double log_variance);

/* The mean of likelihood_element over an image, in bits per dimension, where p has the posterior's
 * mean at `x_0_predicted` (clipped to [-1, 1] if `clip`) and `log_variance`
 * (schedule_log_variance). */
double likelihood_vlb_term(const Schedule *schedule, int i, const double *x_0, const double *x_t,
                           const double *x_0_predicted, double log_variance, bool clip,
                           size_t size);

/* L_T = KL(q(x_T | x_0) || N(0, I)), bits per dimension. */
double likelihood_prior_bits(const Schedule *schedule, const double *x_0, size_t size);

#endif
