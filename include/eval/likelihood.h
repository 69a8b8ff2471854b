/*
 * The variational bound on -log p of images of a set under a network, in bits per dimension:
 * diffusion/bound.h, over a Dataset.
 */
#ifndef DDPM_EVAL_LIKELIHOOD_H
#define DDPM_EVAL_LIKELIHOOD_H

#include "base/memory.h"
#include "base/moments.h"
#include "eval/network.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int images; /* spread evenly over the set, 1 .. its count */
    int budget; /* network calls an image, 2 or more; 0: one for each t */
    bool clip;  /* x_0 to [-1, 1] in each term, as in published figures */
    uint64_t seed;
} LikelihoodOptions;

typedef struct {
    Moments total, prior, decoder; /* of the images: the bound, its L_T and its L_0 */
    int T;
    const Moments *by_t; /* [T]: L_{t-1} at entry t - 1, of the images that were asked there */
    bool partial;        /* it was stopped: total.count images */
    long rows;           /* asked of the network; K or T for an image */
    double seconds, network_seconds;
    Arena arena;
} Likelihood;

/* Rows that are asked in all, which progress is told how many are done of. */
long likelihood_rows(const LikelihoodOptions *options, const DiffusionConfig *diffusion);

/* Measure. `set` has the images' size of the model (an assert) and, where the model needs classes,
 * has labels. Memory: that of the model's rows, and none for images. `progress` may be NULL; false
 * stops. ERR_FAILED if there is no memory, and then nothing to release. */
bool likelihood_measure(Likelihood *out, const EvalModel *model, const Dataset *set,
                        const LikelihoodOptions *options,
                        bool (*progress)(void *context, long done), void *context, Err *err);
void likelihood_release(Likelihood *likelihood);

#endif
