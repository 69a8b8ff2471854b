#include "eval/precision_recall.h"

#include "base/moments.h"
#include "base/parallel.h"
#include "support.h"

#include <math.h>

static PrecisionRecall measure(const Features *samples, const Features *reference)
{
    PrecisionRecall p;
    bool stopped = true;
    Err err;
    memset(&p, 0xFF, sizeof p); /* NaN */
    if (!precision_recall(&p, &stopped, samples, reference, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_false(stopped);
    return p;
}

static double distance(const Features *a, int i, const Features *b, int j)
{
    double sum = 0;
    for (int k = 0; k < a->dim; k++) {
        double d = (double)a->rows[i * a->dim + k] - (double)b->rows[j * b->dim + k];
        sum += d * d;
    }
    return sum;
}

static double radius(const Features *set, int i)
{
    double nearest[3] = {INFINITY, INFINITY, INFINITY};
    for (int j = 0; j < set->count; j++) {
        double d = distance(set, i, set, j);
        if (j == i) continue;
        for (int k = 0; k < 3; k++)
            if (d < nearest[k]) {
                double larger = nearest[k];
                nearest[k] = d, d = larger;
            }
    }
    return nearest[2];
}

static double share(const Features *f, const Features *set)
{
    int inside = 0;
    for (int i = 0; i < f->count; i++) {
        bool found = false;
        for (int j = 0; j < set->count && !found; j++)
            found = distance(f, i, set, j) <= radius(set, j);
        inside += found;
    }
    return (double)inside / f->count;
}

/* Points of a grid of whole numbers: ties everywhere, and a point on the edge is inside. */
static Features points(int count, int dim, int sides, int offset, uint32_t seed)
{
    Features f;
    assert_true(features_new(&f, count, dim, &(Err){0}));
    for (int i = 0; i < count * dim; i++) {
        seed = seed * 1664525u + 1013904223u;
        f.rows[i] = (float)((int)(seed >> 16) % sides + offset);
    }
    return f;
}

static void shares_are_those_of_brute_force(void **state)
{
    (void)state;
    static const int cases[][5] = {/* samples, reference, dim, sides, offset */
                                   {60, 80, 2, 30, 10},
                                   {100, 40, 5, 4, 1},
                                   {700, 300, 3, 20, 4},
                                   {200, 1200, 4, 12, 3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const int *c = cases[k];
        Features samples = points(c[0], c[2], c[3], c[4], 1);
        Features reference = points(c[1], c[2], c[3], 0, 2);
        PrecisionRecall p = measure(&samples, &reference);
        assert_close(p.precision, share(&samples, &reference), 1e-12);
        assert_close(p.recall, share(&reference, &samples), 1e-12);
        assert_close(p.precision_error, moments_share_error(p.precision, c[0]), 1e-12);
        assert_close(p.recall_error, moments_share_error(p.recall, c[1]), 1e-12);
        features_release(&samples), features_release(&reference);
    }
}

/* Samples that are one of two clusters of the reference: all good, half covered. Samples around
 * everything: none is good, all is covered. */
static void closed_cases(void **state)
{
    (void)state;
    enum { N = 40 };
    float both[2 * N], one[N], around[2 * N] = {0};
    for (int i = 0; i < N; i++) {
        one[i] = (float)i;
        both[i] = (float)i, both[N + i] = 1e6f + (float)i;
    }
    Features reference = {both, 2 * N, 1}, cluster = {one, N, 1};
    PrecisionRecall p = measure(&cluster, &reference);
    assert_close(p.precision, 1, 0);
    assert_close(p.recall, 0.5, 0);
    p = measure(&reference, &reference);
    assert_close(p.precision, 1, 0);
    assert_close(p.recall, 1, 0);
    for (int i = 0; i < N; i++) around[i] = -1e8f, around[N + i] = 1e8f;
    around[0] = -1e4f, around[N] = 1e4f;
    p = measure(&(Features){around, 2 * N, 1}, &cluster);
    assert_close(p.precision, 0, 0);
    assert_close(p.recall, 1, 0);
}

/* What is left of a large common offset must not be lost in its square. */
static void a_common_offset_does_not_matter(void **state)
{
    (void)state;
    enum { N = 100, DIM = 3 };
    float *a = test_normals(N * DIM, 1), *b = test_normals(N * DIM, 2);
    for (int i = 0; i < N * DIM; i++) a[i] = ldexpf(roundf(ldexpf(a[i], 8)), -8);
    for (int i = 0; i < N * DIM; i++) b[i] = ldexpf(roundf(ldexpf(b[i], 8)), -8) + 0.5f;
    PrecisionRecall near = measure(&(Features){a, N, DIM}, &(Features){b, N, DIM});
    for (int i = 0; i < N * DIM; i++) a[i] += 16384, b[i] += 16384;
    PrecisionRecall far = measure(&(Features){a, N, DIM}, &(Features){b, N, DIM});
    assert_true(near.precision > 0.3 && near.precision < 1);
    assert_close(far.precision, near.precision, 0);
    assert_close(far.recall, near.recall, 0);
    free(a), free(b);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    float *a = test_normals(600 * 10, 1), *b = test_normals(1100 * 10, 2);
    Features samples = {a, 600, 10}, reference = {b, 1100, 10};
    parallel_setup(1);
    PrecisionRecall one = measure(&samples, &reference);
    parallel_setup(3);
    PrecisionRecall three = measure(&samples, &reference);
    assert_memory_equal(&one, &three, sizeof one);
    free(a), free(b);
}

static bool stop_at(void *context, long done)
{
    long *limit = context;
    return done < *limit;
}

static void it_stops_and_it_refuses(void **state)
{
    (void)state;
    Features a = points(50, 2, 9, 0, 1), few = points(3, 2, 9, 0, 1);
    PrecisionRecall p;
    for (long limit = 1; limit <= 201; limit += 50) {
        bool stopped = limit > 200;
        assert_true(precision_recall(&p, &stopped, &a, &a, stop_at, &limit, &(Err){0}));
        assert_int_equal(stopped, limit < 201);
    }
    Err err;
    bool stopped;
    assert_false(precision_recall(&p, &stopped, &few, &a, NULL, NULL, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "4 images at least, not 3"));
    features_release(&a), features_release(&few);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_those_of_brute_force), cmocka_unit_test(closed_cases),
        cmocka_unit_test(a_common_offset_does_not_matter), cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(it_stops_and_it_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
