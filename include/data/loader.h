/*
 * The order in which training sees the images, and the batches made of them.
 *
 * Image k (k = images seen so far, which a checkpoint records) is entry k mod N of the permutation
 * of (seed, epoch k / N), drawn by Fisher and Yates's method (Knuth, The Art of Computer
 * Programming, 3.4.2, algorithm P) from the stream RNG_SHUFFLE; batches run across epochs. Half of
 * the images are mirrored if asked, by (seed, step, position in the batch), from RNG_FLIP. Nothing
 * depends on what was loaded before or on how a batch is split.
 */
#ifndef DDPM_DATA_LOADER_H
#define DDPM_DATA_LOADER_H

#include "data/dataset.h"

typedef struct {
    const Dataset *set;
    uint64_t seed;
    bool flip;
    uint32_t *orders[2]; /* [set->count]: the permutations of an even and of an odd epoch */
    uint64_t epochs[2];  /* whose they are */
} Loader;

/* `set`, which is not empty, must outlive the loader. ERR_FAILED if there is no memory. */
bool loader_init(Loader *loader, const Dataset *set, uint64_t seed, bool flip, Err *err);
void loader_release(Loader *loader);

/* Which image of the set is image `k`. Allocates nothing. */
uint32_t loader_index(Loader *loader, uint64_t k);

/*
 * `n` images, k = first_image .. first_image + n - 1, which are at first_position and on in the
 * batch of step `step`. Overwrites x [n,height,width,channels], in [-1, 1], and, unless NULL,
 * labels [n], for which the set must have labels. Allocates nothing.
 */
void loader_batch(Loader *loader, float *x, int32_t *labels, uint64_t first_image, uint32_t step,
                  int first_position, int n);

/* Put `none` in the place of a label with the probability `rate`, by (seed, step, position) from
 * RNG_LABEL_DROPOUT: labels [n] are those of first_position and on in the batch of step `step`. */
void loader_drop_labels(const Loader *loader, int32_t *labels, int32_t none, double rate,
                        uint32_t step, int first_position, int n);

#endif
