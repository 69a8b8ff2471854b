/*
 * Images that are held out of training.
 */
#ifndef DDPM_DATA_SPLIT_H
#define DDPM_DATA_SPLIT_H

#include "data/dataset.h"

/*
 * Move `fraction` of the images of `set` (rounded, at least one of them, and not all) into `held`.
 * Which ones is the beginning of the permutation of `seed` that the stream RNG_SPLIT draws (Knuth,
 * The Art of Computer Programming, 3.4.2, algorithm P), and that is their order in `held`: its
 * first images are as good a sample as any. Those that stay keep their order.
 *
 * The caller releases `held`; on false it is empty and `set` as it was. Errors: ERR_DATA (a single
 * image), ERR_FAILED (memory).
 */
bool dataset_split(Dataset *set, Dataset *held, double fraction, uint64_t seed, Err *err);

#endif
