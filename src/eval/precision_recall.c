/*
 * All distances come from products, |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, in double, since in float
 * what is left of the difference for near neighbours is rounding. The first feature of the
 * reference is subtracted from all, which changes no distance and keeps the squares small. Only a
 * block of distances is there at a time.
 */
#include "eval/precision_recall.h"

#include "base/gemm.h"
#include "base/memory.h"
#include "base/moments.h"
#include "base/whole.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { K = PRECISION_NEIGHBOURS, ROWS = 512, COLUMNS = 1024 };

typedef struct {
    int dim;
    const float *origin;           /* [dim] */
    double *a, *b;                 /* [ROWS,dim], [COLUMNS,dim] */
    double *squares_a, *squares_b; /* [ROWS], [COLUMNS] */
    double *distances;             /* [ROWS,COLUMNS] */
    double *radii[2];              /* of samples and reference: squared distances */
    double (*nearest)[K];          /* [ROWS] */
    bool *inside;                  /* [ROWS] */
    bool (*progress)(void *context, long done);
    void *context;
    long done;
    Arena arena;
} Work;

static void *take(Arena *arena, size_t count, size_t size)
{
    return arena_take(arena, memory_round(count * size));
}

static bool work_init(Work *w, const Features *samples, const Features *reference, Err *err)
{
    size_t dim = (size_t)samples->dim, d = sizeof(double);
    size_t n = (size_t)samples->count, m = (size_t)reference->count;
    size_t bytes = memory_round(ROWS * dim * d) + memory_round(COLUMNS * dim * d) +
                   memory_round(ROWS * d) + memory_round(COLUMNS * d) +
                   memory_round((size_t)ROWS * COLUMNS * d) + memory_round(n * d) +
                   memory_round(m * d) + memory_round(ROWS * sizeof *w->nearest) +
                   memory_round(ROWS * sizeof *w->inside);
    *w = (Work){.dim = samples->dim, .origin = reference->rows};
    if (!arena_init(&w->arena, bytes, "distances of features", err)) return false;
    w->a = take(&w->arena, ROWS * dim, d);
    w->b = take(&w->arena, COLUMNS * dim, d);
    w->squares_a = take(&w->arena, ROWS, d);
    w->squares_b = take(&w->arena, COLUMNS, d);
    w->distances = take(&w->arena, (size_t)ROWS * COLUMNS, d);
    w->radii[0] = take(&w->arena, n, d);
    w->radii[1] = take(&w->arena, m, d);
    w->nearest = take(&w->arena, ROWS, sizeof *w->nearest);
    w->inside = take(&w->arena, ROWS, sizeof *w->inside);
    return true;
}

/* Rows first .. first + n - 1 in double, less the origin, and their squares. */
static void load(const Work *w, double *out, double *squares, const Features *f, int first, int n)
{
    size_t dim = (size_t)w->dim;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        const float *row = f->rows + (size_t)(first + i) * dim;
        double *x = out + (size_t)i * dim, square = 0;
        for (size_t j = 0; j < dim; j++) {
            x[j] = (double)row[j] - (double)w->origin[j];
            square += x[j] * x[j];
        }
        squares[i] = square;
    }
}

/* distances [n,m] of the rows that are loaded. */
static void measure(const Work *w, int n, int m)
{
    gemm_parallel_double(w->distances, w->a, w->b, gemm_dims(n, m, w->dim, false, true, 0));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        double *row = w->distances + (size_t)i * (size_t)m;
        for (int j = 0; j < m; j++)
            row[j] = fmax(w->squares_a[i] + w->squares_b[j] - 2 * row[j], 0);
    }
}

/* Keep `distance` if it is among the K smallest, which are ascending. */
static void keep(double nearest[K], double distance)
{
    for (int i = 0; i < K; i++)
        if (distance < nearest[i]) {
            double larger = nearest[i];
            nearest[i] = distance;
            distance = larger;
        }
}

static bool tell(Work *w, int rows)
{
    w->done += rows;
    return !w->progress || w->progress(w->context, w->done);
}

/* radii [count] = the squared distance of each row to its K-th nearest other one. */
static bool find_radii(Work *w, double *radii, const Features *f)
{
    for (int first = 0; first < f->count; first += ROWS) {
        int n = whole_min(ROWS, f->count - first);
        load(w, w->a, w->squares_a, f, first, n);
        for (int i = 0; i < n; i++)
            for (int k = 0; k < K; k++) w->nearest[i][k] = INFINITY;
        for (int other = 0; other < f->count; other += COLUMNS) {
            int m = whole_min(COLUMNS, f->count - other);
            load(w, w->b, w->squares_b, f, other, m);
            measure(w, n, m);
#pragma omp parallel for schedule(static)
            for (int i = 0; i < n; i++)
                for (int j = 0; j < m; j++)
                    if (first + i != other + j)
                        keep(w->nearest[i], w->distances[(size_t)i * (size_t)m + (size_t)j]);
        }
        for (int i = 0; i < n; i++) radii[first + i] = w->nearest[i][K - 1];
        if (!tell(w, n)) return false;
    }
    return true;
}

/* How many rows of `f` are within a radius of a row of `set`. */
static bool count_inside(Work *w, int *count, const Features *f, const Features *set,
                         const double *radii)
{
    *count = 0;
    for (int first = 0; first < f->count; first += ROWS) {
        int n = whole_min(ROWS, f->count - first);
        load(w, w->a, w->squares_a, f, first, n);
        memset(w->inside, 0, ROWS * sizeof *w->inside);
        for (int other = 0; other < set->count; other += COLUMNS) {
            int m = whole_min(COLUMNS, set->count - other);
            load(w, w->b, w->squares_b, set, other, m);
            measure(w, n, m);
#pragma omp parallel for schedule(static)
            for (int i = 0; i < n; i++)
                for (int j = 0; j < m; j++)
                    if (w->distances[(size_t)i * (size_t)m + (size_t)j] <= radii[other + j])
                        w->inside[i] = true;
        }
        for (int i = 0; i < n; i++) *count += w->inside[i];
        if (!tell(w, n)) return false;
    }
    return true;
}

bool precision_recall(PrecisionRecall *out, bool *stopped, const Features *samples,
                      const Features *reference, bool (*progress)(void *context, long done),
                      void *context, Err *err)
{
    Work w;
    int precise, recalled;
    int fewest = whole_min(samples->count, reference->count);
    assert(samples->dim == reference->dim);
    if (fewest <= K)
        return err_set(err, ERR_DATA,
                       "precision and recall need the features of %d images at least, not %d",
                       K + 1, fewest);
    if (!work_init(&w, samples, reference, err)) return false;
    w.progress = progress, w.context = context;
    *stopped = !find_radii(&w, w.radii[1], reference) ||
               !count_inside(&w, &precise, samples, reference, w.radii[1]) ||
               !find_radii(&w, w.radii[0], samples) ||
               !count_inside(&w, &recalled, reference, samples, w.radii[0]);
    arena_release(&w.arena);
    if (*stopped) return true;
    *out = (PrecisionRecall){.precision = (double)precise / samples->count,
                             .recall = (double)recalled / reference->count};
    out->precision_error = moments_share_error(out->precision, samples->count);
    out->recall_error = moments_share_error(out->recall, reference->count);
    return true;
}
