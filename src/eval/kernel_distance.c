/*
 * All of it in double. The sums of cubes differ by far less than what they are, the more so the
 * farther the features are from 0, where a float's rounding of x.y would be larger than what is
 * left of them.
 */
#include "eval/kernel_distance.h"

#include "base/gemm.h"
#include "base/memory.h"
#include "base/moments.h"
#include "base/rng.h"
#include "base/whole.h"

#include <assert.h>
#include <stdlib.h>

enum { BLOCKS = 10, MOST_ROWS = 1000 };

typedef struct {
    int rows, dim;
    uint32_t *order[2]; /* of the rows of a and of b */
    double *block[2];   /* [rows,dim] */
    double *products;   /* [rows,rows] */
    double *sums;       /* [rows] */
} Work;

static void work_release(Work *w)
{
    for (int i = 0; i < 2; i++) free(w->order[i]), free(w->block[i]);
    free(w->products);
    free(w->sums);
}

static bool work_init(Work *w, const Features *a, const Features *b, int rows, uint64_t seed,
                      Err *err)
{
    static const char what[] = "the kernel distance";
    size_t m = (size_t)rows;
    *w = (Work){.rows = rows, .dim = a->dim};
    bool good = true;
    for (uint32_t i = 0; good && i < 2; i++) {
        size_t count = (size_t)(i ? b : a)->count;
        w->order[i] = memory_new(count, sizeof **w->order, what, err);
        w->block[i] =
            w->order[i] ? memory_new(m, (size_t)a->dim * sizeof **w->block, what, err) : NULL;
        good = w->block[i] != NULL;
        if (good)
            rng_order(w->order[i], (uint32_t)count,
                      (RngKey){.seed = seed, .stream = RNG_SUBSET, .part = i});
    }
    if (good) w->products = memory_new(m * m, sizeof *w->products, what, err);
    if (w->products) w->sums = memory_new(m, sizeof *w->sums, what, err);
    if (!w->sums) work_release(w);
    return w->sums != NULL;
}

/* Rows block * rows ... of a set in its order. */
static void gather(Work *w, int which, const Features *from, int block)
{
    size_t dim = (size_t)w->dim, first = (size_t)block * (size_t)w->rows;
    for (size_t i = 0; i < (size_t)w->rows; i++) {
        const float *row = from->rows + w->order[which][first + i] * dim;
        for (size_t j = 0; j < dim; j++) w->block[which][i * dim + j] = row[j];
    }
}

/* The sum of k over all pairs of the rows of x and y; without those of equal number if `other`. */
static double kernel_sum(Work *w, const double *x, const double *y, bool other)
{
    double sum = 0;
    gemm_parallel_double(w->products, x, y, gemm_dims(w->rows, w->rows, w->dim, false, true, 0));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < w->rows; i++) {
        const double *products = w->products + (size_t)i * (size_t)w->rows;
        double row = 0;
        for (int j = 0; j < w->rows; j++) {
            double k = products[j] / w->dim + 1;
            row += other && i == j ? 0 : k * k * k;
        }
        w->sums[i] = row;
    }
    for (int i = 0; i < w->rows; i++) sum += w->sums[i];
    return sum;
}

static double block_distance(Work *w)
{
    double m = w->rows;
    double own = kernel_sum(w, w->block[0], w->block[0], true) +
                 kernel_sum(w, w->block[1], w->block[1], true);
    return own / (m * (m - 1)) - 2 * kernel_sum(w, w->block[0], w->block[1], false) / (m * m);
}

bool kernel_distance(KernelDistance *out, const Features *a, const Features *b, uint64_t seed,
                     Err *err)
{
    Work w;
    Moments moments = {0};
    int n = whole_min(a->count, b->count);
    assert(a->dim == b->dim);
    if (n < 2)
        return err_set(err, ERR_DATA,
                       "the kernel distance needs the features of two images at least");
    int rows = whole_min(n / whole_min(BLOCKS, n / 2), MOST_ROWS);
    *out = (KernelDistance){.rows = rows, .blocks = n / rows};
    if (!work_init(&w, a, b, rows, seed, err)) return false;
    for (int i = 0; i < out->blocks; i++) {
        gather(&w, 0, a, i);
        gather(&w, 1, b, i);
        moments_add(&moments, block_distance(&w));
    }
    work_release(&w);
    out->distance = moments.mean;
    out->error = moments_error(&moments);
    return true;
}
