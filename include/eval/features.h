/*
 * Features of images: a row of numbers for each, as some network made them. What is said of two
 * sets of them holds for that network alone.
 */
#ifndef DDPM_EVAL_FEATURES_H
#define DDPM_EVAL_FEATURES_H

#include "base/err.h"

#include <stdint.h>

typedef struct {
    float *rows; /* [count,dim] */
    int count, dim;
} Features;

/* Zeros. ERR_FAILED if there is no memory. */
bool features_new(Features *features, int count, int dim, Err *err);
void features_release(Features *features);

/* A .npy, or arr_0 of a .npz, of float32 or float64 [count,dim]. ERR_DATA: another array, or one
 * with a number that is not finite. On false `features` is empty. */
bool features_read(Features *features, const char *path, Err *err);

/* `out` (new) = the rows index [count] of `from`. */
bool features_choose(Features *out, const Features *from, const uint32_t *index, int count,
                     Err *err);

#endif
