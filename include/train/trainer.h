/*
 * One training step: Ho et al. 2020, algorithm 1, over a batch in micro-batches.
 *
 *     t ~ diffusion/timestep_sampler.h, epsilon ~ N(0, I)
 *     x_t = sqrt(alpha-bar_t) x_0 + sqrt(1-alpha-bar_t) epsilon
 *     loss = mean over the images of weight_t loss_image(network(x_t, t)), weight_t 1 for uniform t
 *
 * followed by clipping, Adam and the EMA. What is drawn follows from (seed, step, position in the
 * batch) alone.
 */
#ifndef DDPM_TRAIN_TRAINER_H
#define DDPM_TRAIN_TRAINER_H

#include "data/dataset.h"
#include "model/unet.h"
#include "train/config.h"
#include "train/state.h"

typedef struct Trainer Trainer;

enum { LOSS_QUARTERS = 4 };

typedef struct {
    uint64_t step; /* the step that was done, 0-based */
    double loss;   /* the batch's (weighted) mean, an estimate of that over all t alike */
    /* The same over the images whose t was in each quarter of 1..T; NaN if there were none. */
    double quarter_loss[LOSS_QUARTERS];
    double grad_norm; /* before clipping */
    double learning_rate;
    bool applied; /* false: loss or gradient was not finite, or so large that its square would not
                   * be, and nothing but the counters moved */
    const char *bad; /* then, the first block to put out such numbers, on the way up or, if the loss
                      * is finite, on the way down */
} StepReport;

/* `config` has passed config_check, and it, `set` and `state`'s table outlive the trainer. Takes
 * all memory that the steps need. NULL and `err` if there is not enough. */
Trainer *trainer_new(const Config *config, const Dataset *set, Err *err);
void trainer_free(Trainer *trainer);

/* Bytes that trainer_new takes in all for `config`, without the data. */
bool trainer_memory(size_t *bytes, const Config *config, Err *err);

/* Images that it works on at once: train.micro_batch, or the whole batch if that is smaller. */
int trainer_micro_batch(const Config *config);

Unet *trainer_unet(Trainer *trainer);
TrainState *trainer_state(Trainer *trainer);

void trainer_step(Trainer *trainer, StepReport *report);

/* Which quarter of 1..T an entry (t - 1) is in. */
int trainer_quarter(int entry, int T);

/* The images of a micro-batch, to be filled in: x_0 and epsilon [size] each, their entries (t - 1)
 * and classes; and what trainer_evaluate makes of them. What is in it is gone after each step. */
typedef struct {
    size_t size;
    float *x_0, *epsilon;
    int *entry;
    int32_t *labels;
    const double *loss, *noise_error;
} TrainerBatch;

TrainerBatch trainer_batch(Trainer *trainer);

/* Put the first `n` images of the trainer's batch to the network with these weights, without
 * dropout: the loss of each, and the mean squared error of the noise that follows from what the
 * network predicts. Changes nothing that steps depend on. */
void trainer_evaluate(Trainer *trainer, const float *weights, int n);

/* The first block whose output is not finite when the network, with its weights as they are now, is
 * put to an image of the last batch again; NULL if all is well, or no step has been made. What is
 * in the trainer's batch is gone then. */
const char *trainer_bad_block(Trainer *trainer);

/* For tests: the batch given outright instead of drawn. x_0 and epsilon [batch,h,w,c], t [batch],
 * 1-based. */
void trainer_step_on(Trainer *trainer, StepReport *report, const float *x_0, const float *epsilon,
                     const int *t);

#endif
