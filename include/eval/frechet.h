/*
 * The Frechet distance between two Gaussians (Dowson & Landau 1982):
 *
 *     |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)),
 *
 * of the means and covariances of two sets of features. It is what Heusel et al. 2017 call FID if
 * the features are those of their Inception network, and only then. It falls as the number of
 * images grows, even for sets of one kind: compare at one number of images, and with the distance
 * between two halves of the data.
 */
#ifndef DDPM_EVAL_FRECHET_H
#define DDPM_EVAL_FRECHET_H

#include "eval/features.h"

typedef struct {
    int dim;
    double *mean;       /* [dim] */
    double *covariance; /* [dim,dim], divided by count - 1 */
} Gaussian;

/* The mean and covariance of at least two rows; ERR_DATA if there are fewer, ERR_FAILED if there is
 * no memory. The caller releases it; on false it is empty. Threads do not matter to the bits. */
bool gaussian_of(Gaussian *gaussian, const Features *features, Err *err);
void gaussian_release(Gaussian *gaussian);

/*
 * The trace of the root is the sum of the roots of the eigenvalues of R C_b R, R R = C_a, which is
 * symmetric. Covariances may be singular, as those of fewer rows than dimensions are: eigenvalues
 * below what rounding leaves of zero count as zero. The dimensions are the same (an assert).
 * ERR_FAILED: memory, or no convergence.
 */
bool frechet_distance(double *distance, const Gaussian *a, const Gaussian *b, Err *err);

#endif
