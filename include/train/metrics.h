/*
 * metrics.jsonl: one JSON object a line, the means over the steps since the line before.
 *
 *     step, images          done so far
 *     loss                  of the batches
 *     loss_by_quarter_of_t  [4], of the images whose t was in each quarter of 1..T; null: there
 *                           were none
 *     grad_norm             before clipping
 *     learning_rate         of the last step
 *     ema_early_share       [emas], by train.ema_decay: what each EMA carries of the first tenth of
 *                           the updates (train/ema.h)
 *     bad_steps             that were not applied
 *     images_per_s
 *
 * and of each validation a line of its own (train/validation.h), with the step and images done so
 * far and
 *
 *     validation_loss, validation_loss_standard_error
 *     validation_loss_by_quarter_of_t, validation_loss_standard_error_by_quarter_of_t  [4] each
 *     validation_noise_mse, ...   the same four of the predicted noise, whatever is trained
 *     validation_images     how many they are means of
 *     ema_decay             of the EMA that is looked at
 *
 * and of each evaluation one (train/evaluation.h), with the step and images done so far and
 *
 *     evaluation_bits_per_dim, ..._standard_error, and its parts evaluation_prior_bits_per_dim,
 *     evaluation_decoder_bits_per_dim
 *     evaluation_sliced_wasserstein, ..._standard_error, ..._by_level  [levels], finest first
 *     evaluation_sliced_wasserstein_floor, ..._standard_error  null: too few images
 *     evaluation_images     samples, and held-out images
 *     evaluation_seconds
 *     ema_decay             of the EMA that is looked at
 */
#ifndef DDPM_TRAIN_METRICS_H
#define DDPM_TRAIN_METRICS_H

#include "base/file.h"
#include "train/evaluation.h"
#include "train/validation.h"

typedef struct {
    FileLog log;
    Err damage;     /* what metrics_open found to be damaged; an empty text: nothing */
    int steps, bad; /* since the last line; those that were not applied */
    double loss, grad_norm;
    double quarter_loss[LOSS_QUARTERS];
    int quarter_steps[LOSS_QUARTERS];
    double start; /* seconds of the clock at the last line */
} Metrics;

/* Open <folder>/metrics.jsonl for a run that is at `step`: lines beyond it, and a last line that a
 * crash cut, are dropped, so that the curve does not double back. A line among the others that is
 * no object with a step, as a flipped bit leaves it, stays; metrics->damage then names file and
 * line. Who reads the file skips such lines. */
bool metrics_open(Metrics *metrics, const char *folder, uint64_t step, double now, Err *err);
void metrics_close(Metrics *metrics);

void metrics_add(Metrics *metrics, const StepReport *report);

/* Write the line of the steps that were added; state is after the last of them. */
bool metrics_write(Metrics *metrics, const StepReport *last, const TrainState *state,
                   const TrainConfig *config, double now, Err *err);

/* Write the line of a validation after the step that `state` is at. */
bool metrics_write_validation(Metrics *metrics, const Validation *validation,
                              const TrainState *state, const TrainConfig *config, Err *err);

/* Write the line of an evaluation, likewise. */
bool metrics_write_evaluation(Metrics *metrics, const EvaluationResult *result,
                              const TrainState *state, const TrainConfig *config, Err *err);

#endif
