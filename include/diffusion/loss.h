/*
 * What a network is trained on: the loss of one image at one t, and its gradient with respect to
 * the network's output. With T the number of steps, SNR = alpha-bar_t / (1 - alpha-bar_t), `error`
 * the prediction's difference to predict_target, and means taken over the image's elements:
 *
 *   simple    mean error^2                                    (Ho et al. 2020, eq. 14)
 *   vlb       T L: T times the term of t of the variational bound in bits per dimension
 *             (likelihood_element), so that its mean over t is the bound without L_T
 *                                                             (Ho et al. 2020, eq. 5 and 13)
 *   hybrid    mean error^2 + T/1000 L, where L trains the variance alone
 *                                                             (Nichol & Dhariwal 2021, eq. 16)
 *   min_snr   w mean error^2, w = min(SNR, gamma) / SNR for epsilon, min(SNR, gamma) for x0,
 *             min(SNR, gamma) / (SNR + 1) for v               (Hang et al. 2023, section 3.4)
 *   p2        the same with w = 1 / (k + SNR)^gamma, SNR / (k + SNR)^gamma, and SNR / (SNR + 1) /
 *             (k + SNR)^gamma                                 (Choi et al. 2022, eq. 8)
 *
 * In the bound, x_0 is not clipped, so that the gradient never vanishes by it.
 */
#ifndef DDPM_DIFFUSION_LOSS_H
#define DDPM_DIFFUSION_LOSS_H

#include "base/err.h"
#include "diffusion/config.h"
#include "diffusion/schedule.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether the loss can train what `config` (which has passed schedule_check) predicts, its variance
 * included, at every t. ERR_USAGE otherwise. */
bool loss_check(const DiffusionConfig *config, Err *err);

/* What the network puts out for an image of `channels`: twice as many with learned_range, of each
 * pixel those of the prediction first. */
int loss_output_channels(const DiffusionConfig *config, int channels);

/* What the mean squared error of the prediction at entry `i` is multiplied by: w above; 1 in simple
 * and hybrid, 0 in vlb. */
double loss_weight(const DiffusionConfig *config, const Schedule *schedule, int i);

typedef struct {
    size_t pixels;
    int channels;
    const float *x_0, *x_t; /* [pixels, channels] */
    const float *target;    /* [pixels, channels], of predict_target; not read by vlb */
    const float *output;    /* [pixels, loss_output_channels] */
} LossImage;

/* The loss at entry `i` of the chain that is trained on. Unless it is NULL, `gradient`
 * [pixels, loss_output_channels] gets the gradient of loss / divisor (the images of a batch). */
double loss_image(float *gradient, const LossImage *image, const DiffusionConfig *config,
                  const Schedule *schedule, int i, double divisor);

/* Beside the losses: the mean squared error of the x_0 that follows from the network's output at
 * entry `i`, which is clipped to [-1, 1] before if `clip`. The target is not read. */
double loss_x_0_error(const LossImage *image, const DiffusionConfig *config,
                      const Schedule *schedule, int i, bool clip);

#endif
