/*
 * Samples against the data: how far their patches are from those of as many training images, beside
 * the floor, the same distance of other training images in the samples' place.
 */
#ifndef DDPM_CMD_EVAL_SAMPLES_H
#define DDPM_CMD_EVAL_SAMPLES_H

#include "cmd/eval_run.h"

/* --samples, --count: the section "samples". */
bool eval_samples(EvalRun *run, Err *err);

#endif
