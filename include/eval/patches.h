/*
 * Patches of 7 x 7 pixels of a level of the Laplacian pyramids of images: the descriptors of Karras
 * et al. 2018 (Progressive growing of GANs, section 5).
 */
#ifndef DDPM_EVAL_PATCHES_H
#define DDPM_EVAL_PATCHES_H

#include "data/dataset.h"

enum { PATCH_SIDE = 7, PATCH_PIXELS = PATCH_SIDE * PATCH_SIDE };

typedef struct {
    const Dataset *set;
    int images;  /* image j of them is floor(j count / images) of the set */
    int patches; /* of each image */
    int level;   /* of the pyramid (eval/pyramid.h) */
    uint64_t seed;
    uint32_t part; /* tells apart sets that are compared */
} Patches;

/*
 * out [images*patches,7,7,channels] = patches at uniform places, drawn from RNG_PATCH by (seed,
 * part, level, j), less the mean of each channel over all of them and divided by its standard
 * deviation; a channel that does not vary is 0. The level must be at least 7 pixels high and wide
 * (an assert). ERR_FAILED if there is no memory.
 */
bool patches_cut(float *out, const Patches *p, Err *err);

#endif
