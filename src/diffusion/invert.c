#include "diffusion/invert.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void invert_solve(double *x_t, const double *x_prev, const double *epsilon, double alpha_bar,
                  double alpha_bar_prev, size_t size)
{
    double a = sqrt(alpha_bar / alpha_bar_prev);
    double b = sqrt(1.0 - alpha_bar) - a * sqrt(1.0 - alpha_bar_prev);
    for (size_t k = 0; k < size; k++) x_t[k] = a * x_prev[k] + b * epsilon[k];
}

void invert_init(Sampler *sampler)
{
    sampler->left = 0;
}

/* The x_t that is sought is in `noise`, which a walk up has no other use for. */
bool invert_step(Sampler *s, int iterations, Denoiser denoise, void *context)
{
    assert(iterations >= 1 && s->left < s->config.start);
    int i = s->left;
    double alpha_bar = s->chain.alpha_bar[i], alpha_bar_prev = s->chain.alpha_bar_prev[i];
    size_t elements = (size_t)s->n * s->size;
    memcpy(s->noise, s->x_t, elements * sizeof *s->x_t);
    for (int k = 0; k < iterations; k++) {
        sampler_predict(s, s->noise, i, denoise, context);
        invert_solve(s->noise, s->x_t, s->epsilon, alpha_bar, alpha_bar_prev, elements);
    }
    memcpy(s->x_t, s->noise, elements * sizeof *s->x_t);
    return ++s->left < s->config.start;
}
