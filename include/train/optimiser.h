/*
 * What turns gradients into new weights: the norm they are clipped by, Adam, and the exponential
 * moving average that samples are drawn from. All are loops over flat arrays in fixed chunks, so
 * that the bits do not depend on the number of threads.
 */
#ifndef DDPM_TRAIN_OPTIMISER_H
#define DDPM_TRAIN_OPTIMISER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The Euclidean norm of g [n], summed in double. Not finite if any element is not. */
double gradient_norm(const float *g, size_t n);

/* What gradients of this norm are multiplied by so that it is at most `limit` (0: no limit):
 * min(1, limit / (norm + 1e-6)), PyTorch's clip_grad_norm_. */
double clip_factor(double norm, double limit);

/* The learning rate of step `step` (0-based): rate * min(1, (step + 1) / warmup_steps). */
double learning_rate_at(double rate, int warmup_steps, uint64_t step);

/* One update of Adam (Kingma & Ba 2015, algorithm 1; beta_1 0.9, beta_2 0.999, epsilon 1e-8) with
 * the gradient scale * g. `updates` is how many were made before. w, m, v [n] are updated. */
void adam_update(float *w, float *m, float *v, const float *g, size_t n, double scale, double rate,
                 uint64_t updates);

/* The decay of the average's update number `updates` (0-based): `decay`, or with `warmup` at most
 * (1 + updates) / (10 + updates), so that early averages are not mostly the initial noise. */
double ema_decay_at(double decay, bool warmup, uint64_t updates);

/* ema += (1 - decay) (w - ema). */
void ema_update(float *ema, const float *w, size_t n, double decay);

#endif
