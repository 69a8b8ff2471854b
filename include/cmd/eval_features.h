/*
 * Figures of samples' features against those of the data: the Frechet and kernel distances,
 * precision and recall, each beside its floor, the same figure of other images of the data in the
 * samples' place.
 */
#ifndef DDPM_CMD_EVAL_FEATURES_H
#define DDPM_CMD_EVAL_FEATURES_H

#include "cmd/eval_run.h"
#include "eval/features.h"

/* Of as many rows each (EvalHalves of cmd/eval_images.h). */
typedef struct {
    Features samples, reference, other;
} EvalThree;

void eval_three_release(EvalThree *three);

/* Their figures, into `section`. */
bool eval_features_compare(EvalRun *run, Json *section, const EvalThree *three, Err *err);

/* --features, --reference-features: the section "features". ERR_DATA where the rows of one are
 * longer than those of the other, or there are too few. */
bool eval_features(EvalRun *run, Err *err);

#endif
