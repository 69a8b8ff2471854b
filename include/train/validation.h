/*
 * The loss on images that are not trained on, the same ones at the same t with the same noise each
 * time and in each run, so that what differs is the network alone:
 *
 *     images   of a set of N, n = min(N, train.validate_images): those of dataset_spread
 *     t        floor(T u_j) + 1, u_j = frac((j + 1/2) (sqrt(5) - 1) / 2): low-discrepancy, so that
 *              quarters of t have the same number of images to within one or two, and so has any
 *              stretch of the images (a class, where they come class by class)
 *     epsilon  RNG_VALIDATION, image j, of seed 0
 *
 * Images are not mirrored, classes not dropped, and there is no dropout. The weights are those of
 * the first EMA, which samples are drawn from.
 */
#ifndef DDPM_TRAIN_VALIDATION_H
#define DDPM_TRAIN_VALIDATION_H

#include "train/trainer.h"

/* A mean over the images and its standard error. Images are taken to be independent within a
 * quarter: with v_q the variance of n_q of them, the errors are sqrt(v_q / n_q), and that of the
 * mean of all is sqrt(sum n_q v_q) / n. NaN where there are too few images (none for a mean, fewer
 * than two for an error). */
typedef struct {
    double mean, error;
    double quarter_mean[LOSS_QUARTERS], quarter_error[LOSS_QUARTERS];
} ValidationMean;

typedef struct {
    int images;
    ValidationMean loss;  /* what is trained */
    ValidationMean noise; /* the mean squared error of the noise that follows from the prediction,
                           * whatever is predicted and trained: for comparing runs */
    double seconds;
} Validation;

/* The entry (t - 1) of the j-th image in a chain of T. */
int validation_entry(int j, int T);

/* Takes no memory: works in the trainer's, a micro-batch at a time. `stop` (NULL: never) is asked
 * between those; false if it stopped, and then there is no result. */
bool validation_run(Validation *validation, Trainer *trainer, const Config *config,
                    const Dataset *set, bool (*stop)(void *context), void *context);

#endif
