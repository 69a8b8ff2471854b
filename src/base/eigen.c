/*
 * OpenBLAS holds LAPACK, so its routine is called as it stands; LAPACK's interface for C would be
 * one more package for this one call. A symmetric matrix is the same by rows and by columns, and
 * eigenvectors in LAPACK's columns are rows here.
 */
#include "base/eigen.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* Divide and conquer (Cuppen 1981). Fortran passes the lengths of texts after everything else. */
extern void dsyevd_(const char *job, const char *triangle, const int *n, double *matrix,
                    const int *stride, double *values, double *work, const int *work_size,
                    int *whole_work, const int *whole_size, int *info, size_t job_length,
                    size_t triangle_length);

static int call(double *values, double *matrix, int n, bool vectors, double *work, int size,
                int *whole, int whole_size)
{
    int info = 0;
    dsyevd_(vectors ? "V" : "N", "L", &n, matrix, &n, values, work, &size, whole, &whole_size,
            &info, 1, 1);
    assert(info >= 0);
    return info;
}

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

bool eigen_symmetric(double *values, double *matrix, int n, bool vectors, Err *err)
{
    double size;
    int whole_size, info = -1;
    assert(n > 0 && all_finite(matrix, (size_t)n * (size_t)n));
    call(values, matrix, n, vectors, &size, -1, &whole_size, -1);
    double *work = memory_new((size_t)size, sizeof *work, "eigenvalues", err);
    int *whole = work ? memory_new((size_t)whole_size, sizeof *whole, "eigenvalues", err) : NULL;
    if (whole) info = call(values, matrix, n, vectors, work, (int)size, whole, whole_size);
    free(work);
    free(whole);
    if (info > 0)
        return err_set(err, ERR_FAILED, "the eigenvalues of a matrix of %d rows do not converge",
                       n);
    return info == 0;
}
