/*
 * Eigenvalues and eigenvectors of symmetric matrices, by LAPACK.
 */
#ifndef DDPM_BASE_EIGEN_H
#define DDPM_BASE_EIGEN_H

#include "base/err.h"

/*
 * values [n] = the eigenvalues of the symmetric `matrix` [n,n], of which one triangle is read,
 * ascending. `matrix` is overwritten: with `vectors` by the eigenvectors of length 1, one a row, in
 * the order of the values; without, by nothing of use. n > 0; the numbers are finite (an assert).
 * One thread. ERR_FAILED: no memory, or no convergence.
 */
bool eigen_symmetric(double *values, double *matrix, int n, bool vectors, Err *err);

#endif
