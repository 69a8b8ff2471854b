/*
 * A data set: all its images in memory, as bytes.
 */
#ifndef DDPM_DATA_DATASET_H
#define DDPM_DATA_DATASET_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef enum { DATASET_TRAIN, DATASET_TEST } DatasetPart;

typedef struct {
    int count, height, width, channels;
    int classes;     /* labels are 0 .. classes-1; 0 if there are none */
    uint8_t *pixels; /* [count,height,width,channels] */
    int32_t *labels; /* [count]; NULL if there are none */
} Dataset;

/* Free the arrays; an empty set may be released again. */
void dataset_release(Dataset *set);

/* Take memory for what `set` says (count, height, width, channels), and for labels if `labels`.
 * For the readers of formats; `path` is named where there is no room. Images of 2^30 bytes and more
 * (data/image.h) are ERR_DATA. On false `set` is empty. */
bool dataset_allocate(Dataset *set, bool labels, const char *path, Err *err);

/* The same with `pixels` that are there, in a block of memory_new, which is the set's from now on;
 * on false it is freed. */
bool dataset_adopt(Dataset *set, uint8_t *pixels, bool labels, const char *path, Err *err);

/* `out` (new) = the images index [count] of `from`, in that order, with their labels. */
bool dataset_choose(Dataset *out, const Dataset *from, const uint32_t *index, int count, Err *err);

/* Of the `n` images of dataset_spread those from `first` on, each `step`-th. */
bool dataset_choose_spread(Dataset *out, const Dataset *from, int first, int step, int n, Err *err);

/* What all images take. */
size_t dataset_bytes(const Dataset *set);

/* Where the images of image `index` begin. */
uint8_t *dataset_image(const Dataset *set, int index);

/* Which of `count` images is the j-th of `n` that are spread over them evenly: floor(j count / n).
 */
int dataset_spread(int j, int n, int count);

#endif
