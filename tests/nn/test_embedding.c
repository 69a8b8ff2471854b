#include "nn/embedding.h"

#include "gradient.h"
#include "support.h"

#include <math.h>

static void fixtures(void **state)
{
    (void)state;
    static const int dims[] = {32, 128};
    Safetensors file = test_fixture("layers");
    for (int i = 0; i < 2; i++) {
        size_t n, size;
        int *steps = test_fixture_whole(&file, &n, "timestep_embedding_%d.t", dims[i]);
        float *expected = test_fixture_floats(&file, &size, "timestep_embedding_%d.y", dims[i]);
        float *y = test_floats(size), *t = test_floats(n);
        for (size_t k = 0; k < n; k++) t[k] = (float)steps[k];
        assert_int_equal(size, n * (size_t)dims[i]);
        timestep_embedding(y, t, (int)n, dims[i], 1, false);
        assert_arrays_close(y, expected, size, 5e-5, 0);
        free(steps), free(t), free(expected), free(y);
    }
    safetensors_release(&file);
}

static void halves_and_frequencies(void **state)
{
    (void)state;
    enum { N = 4, DIM = 10 };
    static const float t[N] = {0, 1, 37, 999};
    static const double shifts[] = {0, 1};
    for (int k = 0; k < 4; k++) {
        double shift = shifts[k % 2];
        int flip = k / 2;
        float *y = test_floats(N * DIM);
        timestep_embedding(y, t, N, DIM, shift, flip);
        for (int i = 0; i < N * DIM; i++) {
            int half = DIM / 2, place = i % DIM;
            double angle = (double)t[i / DIM] * pow(10000, -(place % half) / (half - shift));
            bool sine = (place < half) != flip;
            assert_close((double)y[i], sine ? sin(angle) : cos(angle), 1e-7);
        }
        free(y);
    }
}

/* One frequency: half - freq_shift is 0, and so is what it divides. */
static void two_numbers(void **state)
{
    (void)state;
    float t = 2, y[2] = {NAN, NAN};
    timestep_embedding(y, &t, 1, 2, 1, false);
    assert_close((double)y[0], sin(2), 1e-7);
    assert_close((double)y[1], cos(2), 1e-7);
}

enum { N = 5, DIM = 7, CLASSES = 4 };
static const int32_t labels[N] = {2, 0, 2, 3, 0}; /* some twice, one never */

static void class_reference(double *y, double *const *input, const void *dims)
{
    (void)dims;
    for (size_t i = 0; i < N * DIM; i++)
        y[i] = input[1][i] + input[0][(size_t)labels[i / DIM] * DIM + i % DIM];
}

static void classes(void **state)
{
    (void)state;
    float *table = test_normals(CLASSES * DIM, 1), *dy = test_normals(N * DIM, 2);
    float *y = test_normals(N * DIM, 3), *dtable = test_normals(CLASSES * DIM, 4);
    float *before = test_normals(CLASSES * DIM, 4);
    GradientCase c = {.forward = class_reference, .dy = dy, .outputs = N * DIM};
    gradient_input(&c, 0, table, CLASSES * DIM), gradient_input(&c, 1, y, N * DIM);
    class_embedding_forward(y, table, labels, N, DIM);
    class_embedding_backward(dtable, dy, labels, N, DIM);
    for (size_t i = 0; i < CLASSES * DIM; i++) dtable[i] -= before[i];
    float *expected = gradient_reference(&c);
    assert_arrays_close(y, expected, N * DIM, 1e-6, 0);
    assert_gradient(&c, 0, dtable);
    free(table), free(dy), free(y), free(dtable), free(before), free(expected);
    gradient_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures),
        cmocka_unit_test(halves_and_frequencies),
        cmocka_unit_test(two_numbers),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
