/*
 * DDIM inversion: the noise x_T, or x_t on the way, that a deterministic walk down (ddim, eta 0)
 * turns into a given image; "encoding" in Song, Meng & Ermon 2021, section 4.3 and 5.4.
 *
 * The step down from x_t to x_prev is, with epsilon what is predicted at x_t,
 *     x_prev = sqrt(a_prev) x_0 + sqrt(1 - a_prev) epsilon,  x_t = sqrt(a) x_0 + sqrt(1 - a)
 * epsilon and so x_t is where x_t = sqrt(a / a_prev) (x_prev - sqrt(1 - a_prev) epsilon(x_t)) +
 * sqrt(1 - a) epsilon(x_t) Song et al. put epsilon(x_prev) there, which is near while steps are
 * many. Here the equation is iterated (Pan et al. 2023, "AIDI"; Meiri et al. 2023), so that the
 * walk down leads back to the image whatever their number, as far as a float holds what is needed
 * for it.
 */
#ifndef DDPM_DIFFUSION_INVERT_H
#define DDPM_DIFFUSION_INVERT_H

#include "diffusion/sampler.h"

/* One evaluation of the right side: x_t [size] from x_prev and epsilon; x_t may alias x_prev.
 * alpha_bar_prev in (0, 1]. */
void invert_solve(double *x_t, const double *x_prev, const double *epsilon, double alpha_bar,
                  double alpha_bar_prev, size_t size);

/* Let a sampler that was initialised with images x_0 for x_T, and has not stepped, stand at the
 * foot of its chain instead. */
void invert_init(Sampler *sampler);

/* Go one entry up, by `iterations` (1 or more) calls of the network: 1 is Song et al.'s. Whether
 * there is more to climb, up to config.start or the whole of the chain; sampler->left is how far it
 * is, sampler_result the x_t there. */
bool invert_step(Sampler *sampler, int iterations, Denoiser denoise, void *context);

#endif
