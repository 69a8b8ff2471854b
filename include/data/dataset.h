/*
 * A data set: all its images in memory, as bytes.
 */
#ifndef DDPM_DATA_DATASET_H
#define DDPM_DATA_DATASET_H

#include "base/err.h"
#include "data/config.h"

#include <stddef.h>
#include <stdint.h>

typedef enum { DATASET_TRAIN, DATASET_TEST } DatasetPart;

typedef struct {
    int count, height, width, channels;
    int classes;     /* labels are 0 .. classes-1; 0 if there are none */
    uint8_t *pixels; /* [count,height,width,channels] */
    int32_t *labels; /* [count]; NULL if there are none */
} Dataset;

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

/* Free the arrays; an empty set may be released again. */
void dataset_release(Dataset *set);

/* Take memory for what `set` says (count, height, width, channels), and for labels if `labels`.
 * For the readers of formats; `path` is named where there is no room. */
bool dataset_allocate(Dataset *set, bool labels, const char *path, Err *err);

/* Where the images of image `index` begin. */
uint8_t *dataset_image(const Dataset *set, int index);

/*
 * Where config->path is: as it stands (absolute or from the current folder), else under the folder
 * $DDPM_DATA, else under `share`/data (NULL: not looked at); there a leading `data/` of the path is
 * taken off, for these folders stand for `data`. ERR_DATA names every place that was looked at and
 * what fetches the data.
 */
bool dataset_find(char *out, size_t size, const DataConfig *config, const char *share, Err *err);

#endif
