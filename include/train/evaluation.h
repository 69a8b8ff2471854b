/*
 * Figures of quality while training (train.evaluate_every), of the weights of the first EMA:
 *
 *  - sliced Wasserstein: of as many samples, drawn as the config's own (sample.sampler, classes in
 *    turn), to held-out images (eval/sliced_wasserstein.h); beside it, where there are images
 *    enough, that of held-out images to others of them, which samples as good as the data would
 *    have;
 *  - bits per dimension: the bound on -log p of held-out images, from EVALUATION_BUDGET network
 *    calls an image (eval/likelihood.h).
 *
 * Each time of the same images with the same noise, patches and directions, whatever the run's seed
 * (but for the noise of samples), so that what changes is the network. Nothing that training
 * depends on is touched.
 */
#ifndef DDPM_TRAIN_EVALUATION_H
#define DDPM_TRAIN_EVALUATION_H

#include "base/moments.h"
#include "eval/network.h"
#include "eval/sliced_wasserstein.h"
#include "train/generate.h"
#include "train/trainer.h"

enum { EVALUATION_BUDGET = 20 };

typedef struct {
    Trainer *trainer;
    const Config *config;
    const Dataset *set;
    Generator generator;
    float *batch;    /* [micro-batch,h,w,c] */
    Dataset samples; /* as many as train.evaluate_images, or as `set` has */
    bool floor_known;
    double floor, floor_error;
} Evaluation;

typedef struct {
    int images; /* samples, and held-out images */
    SlicedWasserstein wasserstein;
    double floor, floor_error;    /* of held-out images to others; NaN: there are too few */
    Moments bits, prior, decoder; /* the bound, its L_T and its L_0 */
    double seconds;
} EvaluationResult;

/* What is evaluated: the network of `config` with these weights, at most `rows` rows at once. */
EvalModel evaluation_model(const Config *config, Unet *unet, const float *weights, int rows);

/* For the trainer of `config`, which has passed config_check, and a set that is not empty. All stay
 * where they are. Takes the memory that is needed but for that of the figures. */
bool evaluation_init(Evaluation *e, Trainer *trainer, const Config *config, const Dataset *set,
                     Err *err);
void evaluation_release(Evaluation *e);

/* `stop` is asked often; *stopped where it said so: then there is no result. ERR_FAILED if there is
 * no memory. */
bool evaluation_run(EvaluationResult *out, bool *stopped, Evaluation *e,
                    bool (*stop)(void *context), void *context, Err *err);

/* "256 images: 3.412 +- 0.021 bits/dim, sliced Wasserstein 41.2 +- 3.1 of 256 samples, ..." */
enum { EVALUATION_TEXT = 256 };
void evaluation_text(char out[EVALUATION_TEXT], const EvaluationResult *result);

#endif
