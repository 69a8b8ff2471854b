/*
 * How well a network predicts on images of a set: two squared errors, each a mean over an image's
 * values, by t,
 *
 *  - epsilon, of the noise that follows from what is predicted: the simple loss of Ho et al. 2020,
 *    eq. 14, whatever the network predicts and was trained on, so that runs compare;
 *  - x_0, of the image that follows, clipped to [-1, 1] if so configured, as the sampler has it;
 *
 * and beside them those of the oracle (diffusion/oracle.h) of another set, usually the images the
 * network was trained on, at the same x_t. On these images themselves nothing has a lower expected
 * error than their oracle, and a network that comes near it has memorised them. On held-out images
 * the oracle is what memorising alone is worth: a network that is better there has learned
 * more than its images. Where the network is told the class, the oracle is that of the images of
 * the class.
 *
 * Each image is asked at EVAL_TENTHS t, one in each tenth of the chain: t = floor(T (k + u) / 10) +
 * 1 with u uniform, so that the mean over them is the mean over all t. t and the noise are drawn
 * from RNG_EVAL_TIMESTEP and RNG_EVAL_NOISE at (seed, image), part k of EVAL_LOSS_PART on.
 */
#ifndef DDPM_EVAL_LOSS_H
#define DDPM_EVAL_LOSS_H

#include "base/moments.h"
#include "eval/network.h"

#include <stdbool.h>
#include <stdint.h>

enum { EVAL_TENTHS = 10, EVAL_LOSS_PART = 1 << 20 };

typedef struct {
    int images; /* spread evenly over the set, 1 .. its count */
    bool clip;  /* x_0 */
    uint64_t seed;
    const Dataset *known; /* the oracle's images; NULL: no oracle */
    bool mirrored;        /* and their mirror images */
} LossOptions;

/* Of the images: their means over all t, and by tenth of t. */
typedef struct {
    Moments all, tenths[EVAL_TENTHS];
} LossByT;

typedef struct {
    LossByT epsilon, x_0;
} LossErrors;

typedef struct {
    LossErrors network;
    LossErrors oracle; /* none counted where there is no oracle, and so in: */
    LossErrors beyond; /* each image's network - oracle, whose own error is smaller than theirs */
    bool partial;      /* it was stopped: network.epsilon.all.count images */
    long rows;         /* asked of the network; EVAL_TENTHS for an image */
    double seconds, network_seconds, oracle_seconds;
} LossMeasured;

/* Measure; see likelihood_measure. */
bool loss_measure(LossMeasured *out, const EvalModel *model, const Dataset *set,
                  const LossOptions *options, bool (*progress)(void *context, long done),
                  void *context, Err *err);

#endif
