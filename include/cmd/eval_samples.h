/*
 * Samples against the data: how far their patches and their features are from those of as many
 * training images, beside the floor, the same figure of other training images in the samples'
 * place.
 */
#ifndef DDPM_CMD_EVAL_SAMPLES_H
#define DDPM_CMD_EVAL_SAMPLES_H

#include "cmd/eval_run.h"

/* --samples, --count: the sliced Wasserstein distance in the section "samples" and, where there is
 * a classifier of the data (cmd/eval_classifier.h), the figures of its features in "features". */
bool eval_samples(EvalRun *run, Err *err);

#endif
