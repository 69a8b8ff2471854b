#include "support.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>

void test_assert_close(double actual, double expected, double bound, const char *what,
                       const char *file, int line)
{
    if (fabs(actual - expected) <= bound) return;
    print_error("%s = %.9g, expected %.9g, off by %.3g > %.3g\n", what, actual, expected,
                fabs(actual - expected), bound);
    _fail(file, line);
}

void test_assert_arrays_close(const float *actual, const float *expected, size_t n, double bound,
                              double floor, const char *what, const char *file, int line)
{
    double largest = 0, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)actual[i] - (double)expected[i]);
        if (isnan(error)) error = HUGE_VAL;
        if (error > worst) worst = error, at = i;
        largest = fmax(largest, fabs((double)expected[i]));
    }
    if (worst <= fmax(bound * largest, floor)) return;
    print_error("%s[%zu] = %.9g, expected %.9g; off by %.3g where the largest of %zu is %.3g\n",
                what, at, (double)actual[at], (double)expected[at], worst, n, largest);
    _fail(file, line);
}

static float *new_floats(size_t n)
{
    Err err;
    float *x = memory_new(n, sizeof *x, "test buffer", &err);
    if (!x) fail_msg("%s", err.text);
    return x;
}

float *test_floats(size_t n)
{
    float *x = new_floats(n);
    for (size_t i = 0; i < n; i++) x[i] = NAN;
    return x;
}

float *test_normals(size_t n, uint32_t seed)
{
    float *x = new_floats(n);
    rng_normal(x, n, (RngKey){.seed = seed, .stream = RNG_NOISE, .part = 1});
    return x;
}

double test_dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}
