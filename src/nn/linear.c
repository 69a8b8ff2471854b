/*
 * All of it is matrix products; the bias is what their sums start from.
 */
#include "nn/linear.h"

#include "base/whole.h"
#include "nn/product.h"
#include "nn/vector_math.h"

enum { SUM_CHUNKS = 8 };

void linear_forward(float *y, const float *x, const float *w, const float *bias, bool accumulate,
                    const LinearDims *d)
{
    float beta = accumulate ? 1.0f : 0.0f;
    product_parallel(y, x, w, bias, gemm_dims(d->rows, d->out, d->in, false, false, beta));
}

void linear_backward_input(float *dx, const float *dy, const float *w, bool accumulate,
                           const LinearDims *d)
{
    float beta = accumulate ? 1.0f : 0.0f;
    product_parallel(dx, dy, w, NULL, gemm_dims(d->rows, d->in, d->out, false, true, beta));
}

void linear_backward_weight(float *dw, float *dbias, const float *dy, const float *x,
                            const LinearDims *d)
{
    product_parallel(dw, x, dy, NULL, gemm_dims(d->in, d->out, d->rows, true, false, 1.0f));
    if (dbias) linear_column_sums(dbias, dy, d->rows, d->out);
}

/* sums[j] += the column sums of the `columns` (at most VECTOR_SUM_COLUMNS) first columns of x,
 * whose rows are c floats apart. */
static void strip_sums(float *sums, const float *x, size_t rows, size_t c, size_t columns)
{
    double part[SUM_CHUNKS][VECTOR_SUM_COLUMNS] = {{0}};
    size_t chunk = (rows + SUM_CHUNKS - 1) / SUM_CHUNKS;
#pragma omp parallel for schedule(static) if (rows * columns >= VECTOR_PARALLEL_MIN)
    for (size_t k = 0; k < SUM_CHUNKS; k++) {
        size_t first = k * chunk, last = first + chunk < rows ? first + chunk : rows;
        if (first < last) vector_row_sums(part[k], x + first * c, last - first, c, columns);
    }
    for (size_t j = 0; j < columns; j++) {
        double sum = 0;
        for (size_t k = 0; k < SUM_CHUNKS; k++) sum += part[k][j];
        sums[j] += (float)sum;
    }
}

void linear_column_sums(float *sums, const float *x, int rows, int c)
{
    for (int j = 0; j < c; j += VECTOR_SUM_COLUMNS)
        strip_sums(sums + j, x + j, (size_t)rows, (size_t)c,
                   (size_t)whole_min(VECTOR_SUM_COLUMNS, c - j));
}
