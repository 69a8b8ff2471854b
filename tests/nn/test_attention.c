#include "nn/attention.h"

#include "base/parallel.h"
#include "gradient.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

/* One query of one head: o = softmax(q k^T / sqrt(c / heads)) v, `c` the stride of a token. */
static void reference_query(double *o, const double *q, const double *k, const double *v,
                            size_t width, const AttentionDims *d)
{
    size_t tokens = (size_t)d->tokens, c = (size_t)d->c;
    double *p = calloc(tokens, sizeof *p), most = -HUGE_VAL, sum = 0;
    for (size_t t = 0; t < tokens; t++) {
        for (size_t j = 0; j < width; j++) p[t] += q[j] * k[t * c + j] / sqrt((double)width);
        most = fmax(most, p[t]);
    }
    for (size_t t = 0; t < tokens; t++) sum += p[t] = exp(p[t] - most);
    for (size_t j = 0; j < width; j++) {
        o[j] = 0;
        for (size_t t = 0; t < tokens; t++) o[j] += p[t] / sum * v[t * c + j];
    }
    free(p);
}

/* Inputs: q, k, v. */
static void reference(double *o, double *const *input, const void *dims)
{
    const AttentionDims *d = dims;
    size_t c = (size_t)d->c, heads = (size_t)d->heads, width = c / heads;
    size_t size = (size_t)d->tokens * c;
    for (size_t i = 0; i < (size_t)d->n; i++)
        for (size_t h = 0; h < heads; h++)
            for (size_t at = h * width; at < size; at += c) {
                size_t query = i * size + at, head = i * size + h * width;
                reference_query(o + query, input[0] + query, input[1] + head, input[2] + head,
                                width, d);
            }
}

typedef struct {
    AttentionDims d;
    size_t size;
    float *in[4]; /* q, k, v, d_o */
    float *o, *out[3];
} Run;

static Run run_new(AttentionDims d, float scale)
{
    Run r = {.d = d, .size = (size_t)d.n * (size_t)d.tokens * (size_t)d.c};
    for (uint32_t i = 0; i < 4; i++) r.in[i] = test_normals(r.size, i);
    for (size_t i = 0; i < r.size; i++) r.in[0][i] *= scale;
    for (int i = 0; i < 3; i++) r.out[i] = test_floats(r.size);
    r.o = test_floats(r.size);
    return r;
}

static void run(Run *r)
{
    float *scratch = test_floats(attention_scratch(&r->d));
    attention_forward(r->o, r->in[0], r->in[1], r->in[2], &r->d, scratch);
    attention_backward(r->out[0], r->out[1], r->out[2], r->in[3], r->in[0], r->in[1], r->in[2],
                       &r->d, scratch);
    free(scratch);
}

static void run_free(Run *r)
{
    for (int i = 0; i < 4; i++) free(r->in[i]);
    for (int i = 0; i < 3; i++) free(r->out[i]);
    free(r->o);
}

static void check(AttentionDims d, float scale)
{
    Run r = run_new(d, scale);
    GradientCase c = {.forward = reference, .dims = &r.d, .dy = r.in[3], .outputs = r.size};
    run(&r);
    for (int i = 0; i < 3; i++) gradient_input(&c, i, r.in[i], r.size);
    float *expected = gradient_reference(&c);
    assert_arrays_close(r.o, expected, r.size, 1e-5, 0);
    assert_gradient(&c, 0, r.out[0]);
    assert_gradient(&c, 1, r.out[1]);
    assert_gradient(&c, 2, r.out[2]);
    free(expected), gradient_release(&c), run_free(&r);
}

static void values_and_gradients_at_odd_shapes(void **state)
{
    (void)state;
    check((AttentionDims){1, 2, 3, 1}, 1.0f);
    check((AttentionDims){2, 9, 6, 2}, 1.0f);
    check((AttentionDims){3, 35, 7, 7}, 1.0f);
    check((AttentionDims){1, 65, 24, 3}, 1.0f);
    check((AttentionDims){1, 131, 5, 1}, 1.0f);
}

/* Scores of some hundreds: exp would overflow without the subtraction of the largest. */
static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    Run r = run_new((AttentionDims){1, 70, 16, 1}, 200.0f);
    GradientCase c = {.forward = reference, .dims = &r.d, .outputs = r.size};
    run(&r);
    for (int i = 0; i < 3; i++) gradient_input(&c, i, r.in[i], r.size);
    float *expected = gradient_reference(&c);
    assert_arrays_close(r.o, expected, r.size, 1e-3, 0);
    for (int i = 0; i < 3; i++)
        for (size_t j = 0; j < r.size; j++) assert_true(isfinite(r.out[i][j]));
    free(expected), gradient_release(&c), run_free(&r);
}

/* A single token attends to itself alone: o = v, and nothing reaches q and k. */
static void one_token(void **state)
{
    (void)state;
    Run r = run_new((AttentionDims){3, 1, 10, 2}, 1.0f);
    run(&r);
    assert_arrays_close(r.o, r.in[2], r.size, 1e-6, 0);
    assert_arrays_close(r.out[2], r.in[3], r.size, 1e-6, 0);
    for (size_t i = 0; i < r.size; i++) assert_true(r.out[0][i] == 0 && r.out[1][i] == 0);
    run_free(&r);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    AttentionDims d = {3, 150, 24, 2};
    Run first = run_new(d, 1.0f);
    parallel_setup(1);
    run(&first);
    for (int threads = 2; threads <= 4; threads++) {
        Run other = run_new(d, 1.0f);
        parallel_setup(threads);
        run(&other);
        assert_memory_equal(other.o, first.o, first.size * sizeof(float));
        for (int i = 0; i < 3; i++)
            assert_memory_equal(other.out[i], first.out[i], first.size * sizeof(float));
        run_free(&other);
    }
    run_free(&first);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_at_odd_shapes),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(one_token),
        cmocka_unit_test(threads_do_not_change_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
