/*
 * The classifier whose features samples are compared by (train/classifier.h), as `ddpm eval` has
 * it: `--train-features` trains and keeps it, figures read it from there.
 */
#ifndef DDPM_CMD_EVAL_CLASSIFIER_H
#define DDPM_CMD_EVAL_CLASSIFIER_H

#include "base/file.h"
#include "cmd/eval_run.h"

/* Its file: --classifier, or classifier.safetensors in the folder of the model's run; of a model
 * that is no run's, in the model's own folder. */
bool eval_classifier_path(char path[FILE_PATH], const EvalRun *run, Err *err);

/* Train one on the labelled data, test it on images that it has not seen, and keep it: the section
 * "classifier" of the report. A signal stops it: then it is tested as it is, and not kept. */
bool eval_train_features(EvalRun *run, Err *err);

#endif
