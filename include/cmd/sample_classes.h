/*
 * Which classes `ddpm sample` draws, and how strongly it is guided by them: --class, --guidance,
 * --guidance-interval.
 */
#ifndef DDPM_CMD_SAMPLE_CLASSES_H
#define DDPM_CMD_SAMPLE_CLASSES_H

#include "cmd/sample_options.h"
#include "train/config.h"
#include "train/generate.h"

/* What the options mean for a model of `config`; the list is malloc'd: sample_classes_release.
 * ERR_USAGE for a class that the model does not have, and for classes or guidance that it cannot
 * have: the message says what it lacks. */
bool sample_classes_choose(Conditioning *conditioning, const SampleOptions *options,
                           const Config *config, Err *err);
void sample_classes_release(Conditioning *conditioning);

#endif
