/*
 * Whether samples are copies of training images (eval/nearest.h).
 *
 * Two measures of a sample are reported, each beside that of images that were never trained on:
 * the distance to the nearest training image, and its ratio to the distance to the next nearest. A
 * copy is much nearer to one training image than to all others; Yoon et al. 2023 (Diffusion
 * probabilistic models generalize when they fail to memorize) count a sample as memorised where
 * the ratio is below 1/3. The other threshold comes from the data: a ratio that only one in a
 * hundred of the held-out images is below, if there are a hundred. So one in a hundred is what new
 * images give, and more is what was learned by heart. A training image that the data holds twice
 * has a ratio near 1 however well it is copied; its distance tells.
 */
#ifndef DDPM_CMD_EVAL_MEMORISED_H
#define DDPM_CMD_EVAL_MEMORISED_H

#include "cmd/eval_run.h"

/* Fill the section "memorised", and write --pairs. */
bool eval_memorised(EvalRun *run, Err *err);

#endif
