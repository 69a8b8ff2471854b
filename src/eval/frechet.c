/*
 * With C_a = V^T diag(l) V, the matrix R C_b R has the eigenvalues of diag(l)^(1/2) V C_b V^T
 * diag(l)^(1/2), which spares a product; directions in which C_a is zero are rows of zeros.
 */
#include "eval/frechet.h"

#include "base/eigen.h"
#include "base/gemm.h"
#include "base/memory.h"
#include "base/whole.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 512 };

void gaussian_release(Gaussian *gaussian)
{
    free(gaussian->mean);
    free(gaussian->covariance);
    *gaussian = (Gaussian){0};
}

static void add_mean(double *mean, const Features *f)
{
    size_t dim = (size_t)f->dim;
    for (size_t i = 0; i < (size_t)f->count; i++)
        for (size_t j = 0; j < dim; j++) mean[j] += (double)f->rows[i * dim + j];
    for (size_t j = 0; j < dim; j++) mean[j] /= f->count;
}

/* `centred` [ROWS,dim] is scratch. */
static void add_covariance(const Gaussian *g, const Features *f, double *centred)
{
    size_t dim = (size_t)g->dim;
    for (int first = 0; first < f->count; first += ROWS) {
        int n = whole_min(ROWS, f->count - first);
        const float *rows = f->rows + (size_t)first * dim;
        for (size_t i = 0; i < (size_t)n; i++)
            for (size_t j = 0; j < dim; j++)
                centred[i * dim + j] = (double)rows[i * dim + j] - g->mean[j];
        gemm_parallel_double(g->covariance, centred, centred,
                             gemm_dims(g->dim, g->dim, n, true, false, 1));
    }
    for (size_t i = 0; i < dim * dim; i++) g->covariance[i] /= f->count - 1;
}

bool gaussian_of(Gaussian *gaussian, const Features *features, Err *err)
{
    size_t dim = (size_t)features->dim;
    *gaussian = (Gaussian){.dim = features->dim};
    if (features->count < 2)
        return err_set(err, ERR_DATA, "a covariance needs the features of two images at least");
    gaussian->mean = memory_new(dim, sizeof(double), "means of features", err);
    gaussian->covariance =
        gaussian->mean ? memory_new(dim * dim, sizeof(double), "covariances", err) : NULL;
    double *centred =
        gaussian->covariance ? memory_new(ROWS * dim, sizeof(double), "covariances", err) : NULL;
    if (centred) {
        add_mean(gaussian->mean, features);
        add_covariance(gaussian, features, centred);
    } else
        gaussian_release(gaussian);
    free(centred);
    return centred != NULL;
}

/* Zero below what rounding makes of zeros. */
static double root(double eigenvalue, double largest, int n)
{
    return eigenvalue > n * DBL_EPSILON * largest ? sqrt(eigenvalue) : 0;
}

/* The sum of the roots of the eigenvalues of (C_a C_b); all arrays but `values` [n] are [n,n]. */
static bool trace_of_root(double *trace, double *values, double *vectors, double *product,
                          double *symmetric, const Gaussian *a, const Gaussian *b, Err *err)
{
    size_t n = (size_t)a->dim;
    memcpy(vectors, a->covariance, n * n * sizeof *vectors);
    if (!eigen_symmetric(values, vectors, a->dim, true, err)) return false;
    for (size_t i = 0; i < n; i++) {
        double scale = root(values[i], values[n - 1], a->dim);
        for (size_t j = 0; j < n; j++) vectors[i * n + j] *= scale;
    }
    gemm_parallel_double(product, vectors, b->covariance,
                         gemm_dims(a->dim, a->dim, a->dim, false, false, 0));
    gemm_parallel_double(symmetric, product, vectors,
                         gemm_dims(a->dim, a->dim, a->dim, false, true, 0));
    if (!eigen_symmetric(values, symmetric, a->dim, false, err)) return false;
    *trace = 0;
    for (size_t i = 0; i < n; i++) *trace += root(values[i], values[n - 1], a->dim);
    return true;
}

bool frechet_distance(double *distance, const Gaussian *a, const Gaussian *b, Err *err)
{
    size_t n = (size_t)a->dim;
    double trace = 0, sum = 0;
    assert(a->dim == b->dim);
    double *memory = memory_new(3 * n * n + n, sizeof *memory, "the root of a covariance", err);
    bool done = memory && trace_of_root(&trace, memory + 3 * n * n, memory, memory + n * n,
                                        memory + 2 * n * n, a, b, err);
    free(memory);
    for (size_t i = 0; i < n; i++) {
        double difference = a->mean[i] - b->mean[i];
        sum += difference * difference;
        sum += a->covariance[i * n + i] + b->covariance[i * n + i];
    }
    *distance = fmax(sum - 2 * trace, 0);
    return done;
}
