/*
 * What the tests of this layer share: a tiny network with random weights, and images for it.
 */
#ifndef DDPM_TESTS_EVAL_EVALUATED_H
#define DDPM_TESTS_EVAL_EVALUATED_H

#include "eval/network.h"

typedef struct {
    EvalModel model;
    DiffusionConfig diffusion;
    float *weights;
    Dataset set;
} Evaluated;

/* 8 x 8 pixels of 3 channels, nine classes and none, a learned variance or a fixed one, T steps;
 * `images` random images, whose classes are 0 .. 8. It is to be kept where it is. */
void evaluated_open(Evaluated *e, Variance variance, int T, int images, int rows);
void evaluated_close(Evaluated *e);

#endif
