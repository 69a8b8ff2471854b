/*
 * What a network may predict, and how the others follow from it. One image at a time: arrays hold
 * `size` elements, in whatever order the caller keeps them.
 *
 *   epsilon   the noise in x_t                        (Ho et al. 2020, eq. 11)
 *   x0        the image itself
 *   mean      the mean of q(x_{t-1} | x_t, x_0)       (Ho et al. 2020, eq. 7 and 8)
 *   v         sqrt(alpha-bar_t) epsilon - sqrt(1 - alpha-bar_t) x_0
 *                                                     (Salimans & Ho 2022, section 4)
 *
 * `i` is an entry (t - 1) of the chain that the network is or was trained on, not of a respaced
 * one: what `mean` means depends on the length of the steps.
 */
#ifndef DDPM_DIFFUSION_PREDICT_H
#define DDPM_DIFFUSION_PREDICT_H

#include "diffusion/config.h"
#include "diffusion/schedule.h"

#include <stddef.h>

/* x_t ~ q(x_t | x_0) = N(sqrt(alpha-bar_t) x_0, (1 - alpha-bar_t) I), Ho et al. 2020, eq. 4:
 *     x_t = sqrt(alpha-bar_t) x_0 + sqrt(1 - alpha-bar_t) epsilon
 * `x_t` may alias `x_0` or `epsilon`. */
void diffuse(float *x_t, const float *x_0, const float *epsilon, double alpha_bar, size_t size);

/* What the network should have said for x_t = diffuse(x_0, epsilon). `target` may alias any of
 * the three; `x_t` is read for `mean` alone. */
void predict_target(float *target, const float *x_0, const float *epsilon, const float *x_t,
                    Prediction prediction, const Schedule *schedule, int i, size_t size);

/* x_0 is linear in the network's output: x_0 = weights[0] output + weights[1] x_t. */
void predict_weights(double weights[2], Prediction prediction, const Schedule *schedule, int i);

/* x_0 from the network's `output` at x_t, by predict_weights:
 *     epsilon   (x_t - sqrt(1 - alpha-bar_t) output) / sqrt(alpha-bar_t)      (eq. 4 solved)
 *     mean      (output - coef_xt x_t) / coef_x0                              (eq. 7 solved)
 *     v         sqrt(alpha-bar_t) x_t - sqrt(1 - alpha-bar_t) output
 * `x_0` may alias `output` or `x_t`. */
void predict_x0(double *x_0, const double *output, const double *x_t, Prediction prediction,
                const Schedule *schedule, int i, size_t size);

/* The noise that leads from x_0 to x_t: (x_t - sqrt(alpha-bar_t) x_0) / sqrt(1 - alpha-bar_t), eq.
 * 4 solved. `epsilon` may alias the inputs. */
void predict_epsilon(double *epsilon, const double *x_0, const double *x_t, double alpha_bar,
                     size_t size);

/* x_0 held to the range of data, [-1, 1]. NaN stays NaN. */
double predict_clip(double x_0);

#endif
