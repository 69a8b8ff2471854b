/*
 * The sliced Wasserstein distance between two sets of images (Karras et al. 2018, Progressive
 * growing of GANs, section 5; Rabin et al. 2011): how much their patches differ at each scale.
 *
 * At each level of the Laplacian pyramid down to 16 pixels (eval/pyramid.h) 128 patches of 7 x 7
 * pixels of each image, normalised by channel (eval/patches.h), are projected onto 512 random
 * directions u, |u| = 1; in one dimension the Wasserstein-1 distance is the mean of |a_(i) - b_(i)|
 * over the sorted projections, and its mean over the directions is the level's distance. In the
 * paper's unit: times 1,000. Finest level: details; last level: shapes.
 *
 * It is above 0 for two sets of the same kind, too, by what their finite numbers make of it; the
 * distance between two halves of the data, at the same number of images, says how much.
 */
#ifndef DDPM_EVAL_SLICED_WASSERSTEIN_H
#define DDPM_EVAL_SLICED_WASSERSTEIN_H

#include "data/dataset.h"
#include "eval/pyramid.h"

/* Patches of a set are at most SWD_DESCRIPTORS: of more than 1,024 images each gives fewer of them,
 * and of more images than that, evenly chosen ones give one each. So memory has a bound: 85 MB for
 * grey images and 190 MB for colours, and 5 MB for each thread. */
enum { SWD_PATCHES = 128, SWD_DIRECTIONS = 512, SWD_DESCRIPTORS = 1 << 17 };

typedef struct {
    int height, width; /* of the level */
    int directions;    /* SWD_DIRECTIONS, or as many as there were time for */
    double distance, error;
} SlicedWassersteinLevel;

/* Errors are standard errors by the jackknife over eight groups of the images (Efron & Stein 1981):
 * what another choice of images would change. They err on the side of caution: near the floor they
 * are about twice the scatter. NaN of one image. */
typedef struct {
    int images;  /* of each set: the smaller number of the two, evenly chosen from the larger */
    int patches; /* of each image */
    int levels;
    SlicedWassersteinLevel level[PYRAMID_MAX_LEVELS]; /* the finest first */
    double distance, error;                           /* the mean of the levels */
    bool partial;                                     /* it was stopped */
} SlicedWasserstein;

/* Steps of 32 directions that it takes in all, for `progress`. */
long sliced_wasserstein_steps(const Dataset *set);

/*
 * Patches and directions are drawn from `seed`. Sets of one height, width and number of channels
 * (an assert). Threads do not matter to the bits.
 *
 * `progress` (NULL: none) is told how many steps are done; false stops, and the result is of what
 * there is so far. Errors: ERR_USAGE (images of less than 7 pixels of height or width), ERR_FAILED
 * (memory).
 */
bool sliced_wasserstein(SlicedWasserstein *out, const Dataset *a, const Dataset *b, uint64_t seed,
                        bool (*progress)(void *context, long done), void *context, Err *err);

#endif
