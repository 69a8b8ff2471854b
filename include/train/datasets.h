/*
 * The images of a run: those that it trains on and, where data.validation asks for them, those that
 * it never does.
 */
#ifndef DDPM_TRAIN_DATASETS_H
#define DDPM_TRAIN_DATASETS_H

#include "data/dataset.h"
#include "train/config.h"

typedef struct {
    Dataset train, validation; /* validation.count is 0 where there is none */
} Datasets;

/* `config` has passed config_check. Besides what dataset_open refuses: classes of the images that
 * are not as many as model.num_classes has rows for, and a test part that would be the training
 * images again (ERR_USAGE). A validation set that train.validate_every and train.evaluate_every
 * leave without use is not kept; what is held out of training is the same all the same. */
bool datasets_open(Datasets *sets, const Config *config, Err *err);

/* The data's test part in the place of sets->validation, whatever data.validation is; sets->train
 * stays as it is, so that what was held out of it is in neither. Errors as above. */
bool datasets_open_test(Datasets *sets, const Config *config, Err *err);

void datasets_release(Datasets *sets);

#endif
