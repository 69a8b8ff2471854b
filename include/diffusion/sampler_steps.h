/*
 * One step down the reverse chain, as functions of the `size` elements of an image with the noise
 * given outright. x_prev may alias x_t; `noise` is standard normal, NULL for none.
 */
#ifndef DDPM_DIFFUSION_SAMPLER_STEPS_H
#define DDPM_DIFFUSION_SAMPLER_STEPS_H

#include "diffusion/config.h"
#include "diffusion/schedule.h"

#include <stddef.h>

/* Ancestral sampling, Ho et al. 2020, algorithm 2 in the form of eq. 6 and 7: with i an entry of
 * the chain that is walked (respaced or not),
 *     x_{i-1} = coef_x0 x_0 + coef_xt x_t + sigma noise,
 * sigma^2 = beta (fixed_large) or posterior_variance (fixed_small), section 3.2. */
void sampler_ddpm(double *x_prev, const double *x_0, const double *x_t, const double *noise,
                  const Schedule *chain, int i, Variance variance, size_t size);

/* The same with learned_range: sigma^2 of each element follows from the network's `v`
 * (schedule_learned_log_variance). */
void sampler_ddpm_learned(double *x_prev, const double *x_0, const double *x_t, const double *noise,
                          const double *v, const Schedule *chain, int i, size_t size);

/* Song, Meng & Ermon 2021 (DDIM), eq. 12, from alpha_bar to alpha_bar_prev >= alpha_bar:
 *     x_prev = sqrt(alpha_bar_prev) x_0 + sqrt(1 - alpha_bar_prev - sigma^2) epsilon + sigma noise
 *     sigma = eta sqrt((1 - alpha_bar_prev) / (1 - alpha_bar)) sqrt(1 - alpha_bar/alpha_bar_prev)
 * (eq. 16; eta 1 has the variance of DDPM's fixed_small, eta 0 is deterministic). `epsilon` is the
 * network's own or, after x_0 was clipped, predict_epsilon's: the caller's choice. */
void sampler_ddim(double *x_prev, const double *x_0, const double *epsilon, const double *noise,
                  double alpha_bar, double alpha_bar_prev, double eta, size_t size);

/* DPM-Solver++(2M), Lu et al. 2022, algorithm 2, and at eta 1 its form for the SDE
 * (SDE-DPM-Solver++(2M) in the same paper). alpha_bar is that of the step before, of this step and
 * of where it leads. With lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), h = lambda_next -
 * lambda, r = h_before / h: D = x_0 + (x_0 - x_0_before) / (2r) x_prev = sqrt((1 - alpha_bar_next)
 * / (1 - alpha_bar)) e^(-eta h) x_t
 *              - sqrt(alpha_bar_next) (e^(-(1 + eta) h) - 1) D
 *              + sqrt(1 - alpha_bar_next) sqrt(1 - e^(-2 eta h)) noise
 * which solves, for a D that does not change, the reverse SDE whose squared noise is eta times that
 * of the forward chain and whose marginals are the data's for each eta >= 0: 0 is the probability
 * flow, 1 the reverse of the chain (at first order the step of sampler_ddim with eta 1).
 * x_0_before NULL: first order, D = x_0, alpha_bar[0] unused; so must be a step to alpha-bar 1,
 * where h is infinite and x_prev = x_0. alpha_bar[1] is in (0, 1). */
void sampler_dpmpp(double *x_prev, const double *x_0, const double *x_0_before, const double *x_t,
                   const double *noise, const double alpha_bar[3], double eta, size_t size);

/* Heun's correction of an Euler step, Karras et al. 2022, algorithm 1: of the probability flow
 * dx/dsigma = epsilon in x = x_t / sqrt(alpha_bar), sigma = sqrt((1 - alpha_bar) / alpha_bar). With
 * `epsilon` at x_t and `epsilon_prev` at where it leads, sampler_ddim with eta 0, which is the
 * Euler step: x_prev = sqrt(alpha_bar_prev) (x_t / sqrt(alpha_bar)
 *                                    + (sigma_prev - sigma) (epsilon + epsilon_prev) / 2)
 * alpha_bar is in (0, 1), alpha_bar_prev below 1: at sigma 0 there is nothing to correct. */
void sampler_heun(double *x_prev, const double *epsilon, const double *epsilon_prev,
                  const double *x_t, double alpha_bar, double alpha_bar_prev, size_t size);

#endif
