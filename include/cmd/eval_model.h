/*
 * The figures of a model alone: --nll and --loss.
 */
#ifndef DDPM_CMD_EVAL_MODEL_H
#define DDPM_CMD_EVAL_MODEL_H

#include "cmd/eval_run.h"

/* Fill the section "nll" of the report, and write --csv. */
bool eval_nll(EvalRun *run, Err *err);

/* Fill the section "loss". */
bool eval_loss(EvalRun *run, Err *err);

#endif
