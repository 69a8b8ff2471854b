/*
 * What the tests of diffusion/bound.h share: a data set, a network of which each output is known, a
 * run, and the terms that do not depend on the network.
 */
#ifndef DDPM_TESTS_DIFFUSION_BOUND_CASE_H
#define DDPM_TESTS_DIFFUSION_BOUND_CASE_H

#include "chain.h"
#include "diffusion/bound.h"

enum { T = 40, PIXELS = 24, CHANNELS = 2, SIZE = PIXELS * CHANNELS };

/* A linear chain of T steps. */
DiffusionConfig bound_case_config(Prediction prediction, Variance variance);

/* `test` with each prediction and variance. */
void bound_case_for_each(void (*test)(const DiffusionConfig *, const Schedule *));

typedef struct {
    float *x_0; /* [count, SIZE] */
    const DiffusionConfig *diffusion;
    const Schedule *schedule;
    double (*x_0_of)(double x_0, double x_t, double alpha_bar); /* what the network says */
    double (*v_of)(const Schedule *s, int i);
} Network;

/* x_0 is new, to be filled in and given to free(). */
Network bound_case_network(const DiffusionConfig *diffusion, const Schedule *schedule, int images);

/* A BoundDenoiser; the context is the Network. */
void bound_case_denoise(void *network, float *out, const float *x_t, const int *t, const int *image,
                        int n);

typedef struct {
    int images, budget, rows;
    bool no_clip;
    uint64_t seed;
    BoundProgress progress;
    void *context;
} Options;

/* The results, in a poisoned `arena`, which is to be released. */
Bound bound_case_run(Arena *arena, Network *network, Options options);

/* The log-variance of p, with `v` where it is learned. */
double bound_case_log_variance(const DiffusionConfig *c, const Schedule *s, int i, double v);

/* L_T of images whose mean square is `square`. */
double bound_case_prior(const Schedule *s, double square);

#endif
