#include "nn/cross_entropy.h"

#include "gradient.h"
#include "support.h"

#include <math.h>

enum { N = 5, CLASSES = 7 };
static const int32_t labels[N] = {6, 0, 3, 3, 1};

/* The definition, term by term. */
static void reference(double *loss, double *const *input, const void *dims)
{
    (void)dims;
    for (int i = 0; i < N; i++) {
        const double *y = input[0] + i * CLASSES;
        double sum = 0;
        for (int k = 0; k < CLASSES; k++) sum += exp(y[k]);
        loss[i] = -log(exp(y[labels[i]]) / sum);
    }
}

static void values_and_gradients(void **state)
{
    (void)state;
    float *y = test_normals(N * CLASSES, 1), *dy = test_floats(N * CLASSES), dloss[N];
    double loss[N], expected[N];
    for (int i = 0; i < N; i++) loss[i] = (double)NAN, dloss[i] = 0.25f;
    GradientCase c = {.forward = reference, .dy = dloss, .outputs = N};
    gradient_input(&c, 0, y, N * CLASSES);
    reference(expected, c.input, NULL);
    cross_entropy(loss, dy, y, labels, 0.25, N, CLASSES);
    for (int i = 0; i < N; i++) assert_close(loss[i], expected[i], 1e-12);
    assert_gradient(&c, 0, dy);
    cross_entropy(loss, NULL, y, labels, 0.25, N, CLASSES);
    for (int i = 0; i < N; i++) assert_close(loss[i], expected[i], 1e-12);
    cross_entropy(loss, y, y, labels, 0.25, N, CLASSES);
    assert_memory_equal(y, dy, N * CLASSES * sizeof *y);
    gradient_release(&c);
    free(y), free(dy);
}

static void large_outputs_do_not_overflow(void **state)
{
    (void)state;
    static const float y[] = {3e38f, -3e38f, 1000, 999, -1000, -1000};
    static const int32_t own[] = {1, 0, 1};
    float dy[6];
    double loss[3];
    cross_entropy(loss, dy, y, own, 1, 3, 2);
    assert_close(loss[0], 6e38, 1e32);
    assert_close(loss[1], log(1 + exp(-1)), 1e-12);
    assert_close(loss[2], log(2), 1e-12);
    assert_close((double)dy[0], 1, 0);
    assert_close((double)dy[1], -1, 0);
    assert_close((double)dy[4], 0.5, 1e-7);
}

static void what_is_not_a_number_stays_so(void **state)
{
    (void)state;
    for (int at = 0; at < 2; at++) {
        float y[2] = {0, 0}, dy[2];
        int32_t label = 0;
        double loss;
        y[at] = NAN;
        cross_entropy(&loss, dy, y, &label, 1, 1, 2);
        assert_true(isnan(loss));
        assert_true(isnan(dy[0]) && isnan(dy[1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients),
        cmocka_unit_test(large_outputs_do_not_overflow),
        cmocka_unit_test(what_is_not_a_number_stays_so),
    };
    return cmocka_run_group_tests_name("cross_entropy", tests, NULL, NULL);
}
