/*
 * From what a config says of its data to a data set.
 */
#ifndef DDPM_DATA_DATASET_OPEN_H
#define DDPM_DATA_DATASET_OPEN_H

#include "data/config.h"
#include "data/dataset.h"

/*
 * Read the part `part` of the data that `config` names, as images of height x width x channels.
 *
 * cifar10, idx: their own training and test files. folder: the sub-folders `train` and `test` if
 *     both are there, otherwise all of it for either part. shapes: 10,000 and 1,000 images. npy,
 * and a single .bin of cifar10: the whole file for either part. Images of another size are an error
 * that names both sizes, unless config->fit says how to let them in; of another number of channels
 * always, but in a `folder`, which converts. Labels are kept where config->labels asks for them;
 * that there are none is an error then.
 *
 * The caller releases `set`; on false it is empty. Errors: ERR_DATA (missing or damaged, the file
 * is named; another size), ERR_FAILED (memory, permission).
 */
bool dataset_open(Dataset *set, const DataConfig *config, DatasetPart part, int height, int width,
                  int channels, Err *err);

/* Refuse data that has no test part of its own, so that both parts are the same images: ERR_USAGE.
 */
bool dataset_check_test(const DataConfig *config, Err *err);

/*
 * Where config->path is: as it stands (absolute or from the current folder), else under the folder
 * $DDPM_DATA, else under `share`/data (NULL: not looked at); there a leading `data/` of the path is
 * taken off, for these folders stand for `data`. ERR_DATA names every place that was looked at and
 * what fetches the data.
 */
bool dataset_find(char *out, size_t size, const DataConfig *config, const char *share, Err *err);

#endif
