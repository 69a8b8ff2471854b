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

/* How the learning rate falls once it has risen. */
typedef enum { RATE_CONSTANT, RATE_COSINE, RATE_LINEAR } RateDecay;

/* By value, ended by NULL: "constant", "cosine", "linear". */
extern const char *const rate_decay_names[];

typedef struct {
    double peak;
    int warmup_steps;
    RateDecay decay;
    int steps; /* at which the decay arrives at 0 */
} LearningRate;

/* The learning rate of step `step` (0-based): peak * min(1, (step + 1) / warmup_steps) * f(p), with
 * p = (step - warmup_steps) / (steps - warmup_steps), at least 0, and f(p) = 1 (constant), (1 + cos
 * pi p) / 2 (cosine: Loshchilov & Hutter 2017, eq. 5, without restarts) or 1 - p (linear). 0 from
 * `steps` on, but for `constant`. */
double learning_rate_at(const LearningRate *rate, uint64_t step);

typedef struct {
    double scale;        /* of the gradient */
    double rate;         /* the learning rate */
    double weight_decay; /* of all parameters alike, biases and norms included */
    uint64_t updates;    /* made before */
} AdamStep;

/* The decay of the average's update number `updates` (0-based): `decay`, or with `warmup` at most
 * (1 + updates) / (10 + updates), so that early averages are not mostly the initial noise. */
double ema_decay_at(double decay, bool warmup, uint64_t updates);

enum { TRAIN_MAX_EMAS = 4 };

/* The arrays of all parameters, [n] each. */
typedef struct {
    float *w, *adam_m, *adam_v, *gradients;
    int emas; /* averages, none to TRAIN_MAX_EMAS */
    float *ema[TRAIN_MAX_EMAS];
} Optimised;

/* One update of Adam (Kingma & Ba 2015, algorithm 1; beta_1 0.9, beta_2 0.999, epsilon 1e-8) with
 * the gradient scale * g; before it w is multiplied by 1 - rate * weight_decay (AdamW, Loshchilov &
 * Hutter 2019, algorithm 2, in the form of PyTorch's). After it the gradients are zeroed, and each
 * average is updated as by ema_update, with its decay of ema_decay [emas]. */
void optimiser_update(Optimised o, size_t n, AdamStep step, const double *ema_decay);

/* ema += (1 - decay) (w - ema). */
void ema_update(float *ema, const float *w, size_t n, double decay);

#endif
