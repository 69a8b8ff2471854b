/*
 * The kernel distance between two sets of features (Binkowski et al. 2018, Demystifying MMD GANs):
 * the squared maximum mean discrepancy for the kernel k(x, y) = (x.y / dim + 1)^3, by its unbiased
 * estimator (Gretton et al. 2012, equation 3) of m rows of either set,
 *
 *     sum_{i != j} (k(a_i, a_j) + k(b_i, b_j)) / (m (m-1)) - 2 sum_{i,j} k(a_i, b_j) / m^2.
 *
 * They call it KID if the features are those of the Inception network. It is 0 on average for sets
 * of one kind, whatever the number of images, and may be below.
 */
#ifndef DDPM_EVAL_KERNEL_DISTANCE_H
#define DDPM_EVAL_KERNEL_DISTANCE_H

#include "eval/features.h"

typedef struct {
    double distance, error; /* the mean over the blocks, and its standard error */
    int blocks, rows;       /* of each set in a block */
} KernelDistance;

/*
 * Both sets are put into an order drawn from (seed), RNG_SUBSET, and cut into blocks that share no
 * row: ten of them, or as many of 1,000 rows as there are if that is more, of n rows in all, n that
 * of the smaller set. The dimensions are the same (an assert). Threads do not matter to the bits.
 * Errors: ERR_DATA (fewer than two rows), ERR_FAILED (memory). With fewer than four rows there is
 * one block, and the error is NaN.
 */
bool kernel_distance(KernelDistance *out, const Features *a, const Features *b, uint64_t seed,
                     Err *err);

#endif
