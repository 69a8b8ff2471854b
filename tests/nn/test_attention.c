#include "nn/attention.h"

#include "base/parallel.h"
#include "gradient.h"
#include "nn/group_norm.h"
#include "nn/linear.h"
#include "nn/pointwise.h"
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

/* The whole module, x + to_out(attention(to_q, to_k, to_v of norm(x))), as a fixture holds it. */
enum { TO_Q, TO_K, TO_V, TO_OUT, LINEARS };
static const char *const linear_names[] = {"to_q", "to_k", "to_v", "to_out.0"};

typedef struct {
    AttentionDims d;
    GroupNormDims norm;
    LinearDims linear;
    size_t size, c;
    float *x, *dy, *gamma, *beta, *w[LINEARS], *bias[LINEARS];
    float *stats, *normed, *q, *k, *v, *o, *y;
    float *d_o, *dq, *dk, *dv, *dnormed, *dx, *dgamma, *dbeta, *dw[LINEARS], *dbias[LINEARS];
    float *scratch;
} Module;

/* A tensor of shape [n,c,pixels] as [n,pixels,c]; a weight [out,in] as [in,out]. */
static float *turned(const Safetensors *file, const char *name, const char *tensor, int n, int c,
                     int pixels)
{
    float *stored = test_fixture_floats(file, NULL, "%s.%s", name, tensor);
    float *x = test_nchw_to_nhwc(stored, n, c, 1, pixels);
    free(stored);
    return x;
}

static float *zeros(size_t n)
{
    float *x = test_floats(n);
    memset(x, 0, n * sizeof *x);
    return x;
}

static void module_inputs(Module *m, const Safetensors *file, const char *name)
{
    AttentionDims d = m->d;
    m->x = turned(file, name, "x", d.n, d.c, d.tokens);
    m->dy = turned(file, name, "dy", d.n, d.c, d.tokens);
    m->gamma = test_fixture_floats(file, NULL, "%s.group_norm.weight", name);
    m->beta = test_fixture_floats(file, NULL, "%s.group_norm.bias", name);
    for (int i = 0; i < LINEARS; i++) {
        char weight[32];
        snprintf(weight, sizeof weight, "%s.weight", linear_names[i]);
        m->w[i] = turned(file, name, weight, 1, d.c, d.c);
        m->bias[i] = test_fixture_floats(file, NULL, "%s.%s.bias", name, linear_names[i]);
    }
}

static Module module_new(AttentionDims d, int groups)
{
    Module m = {.d = d, .c = (size_t)d.c, .size = (size_t)(d.n * d.tokens * d.c)};
    m.norm = (GroupNormDims){d.n, d.tokens, d.c, 0, groups, 1e-6f, false};
    m.linear = (LinearDims){d.n * d.tokens, d.c, d.c};
    float **activations[] = {&m.normed, &m.q,  &m.k,  &m.v,       &m.o,  &m.y,
                             &m.d_o,    &m.dq, &m.dk, &m.dnormed, &m.dx, &m.dv};
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        *activations[i] = test_floats(m.size);
    m.stats = test_floats((size_t)(d.n * groups * 2));
    m.dgamma = zeros(m.c), m.dbeta = zeros(m.c);
    for (int i = 0; i < LINEARS; i++) m.dw[i] = zeros(m.c * m.c), m.dbias[i] = zeros(m.c);
    m.scratch = test_floats(attention_scratch(&d) + group_norm_scratch(&m.norm));
    return m;
}

static void module_free(Module *m)
{
    for (int i = 0; i < LINEARS; i++)
        free(m->w[i]), free(m->bias[i]), free(m->dw[i]), free(m->dbias[i]);
    free(m->x), free(m->dy), free(m->gamma), free(m->beta), free(m->stats), free(m->normed);
    free(m->q), free(m->k), free(m->v), free(m->o), free(m->y), free(m->d_o), free(m->dq);
    free(m->dk), free(m->dv), free(m->dnormed), free(m->dx), free(m->dgamma), free(m->dbeta);
    free(m->scratch);
}

static void module_forward(Module *m)
{
    GroupNormInput x = {m->x, NULL};
    float *out[] = {m->q, m->k, m->v};
    GroupNormParams params = {.gamma = m->gamma, .beta = m->beta};
    group_norm_forward(m->normed, m->stats, x, params, &m->norm, m->scratch);
    for (int i = 0; i < 3; i++)
        linear_forward(out[i], m->normed, m->w[i], m->bias[i], false, &m->linear);
    attention_forward(m->o, m->q, m->k, m->v, &m->d, m->scratch);
    linear_forward(m->y, m->o, m->w[TO_OUT], m->bias[TO_OUT], false, &m->linear);
    add_forward(m->y, m->x, m->size);
}

static void module_backward(Module *m)
{
    float *back[] = {m->dq, m->dk, m->dv};
    linear_backward_input(m->d_o, m->dy, m->w[TO_OUT], false, &m->linear);
    linear_backward_weight(m->dw[TO_OUT], m->dbias[TO_OUT], m->dy, m->o, &m->linear);
    attention_backward(m->dq, m->dk, m->dv, m->d_o, m->q, m->k, m->v, &m->d, m->scratch);
    for (int i = 0; i < 3; i++) {
        linear_backward_input(m->dnormed, back[i], m->w[i], i > 0, &m->linear);
        linear_backward_weight(m->dw[i], m->dbias[i], back[i], m->normed, &m->linear);
    }
    GroupNormParams params = {.gamma = m->gamma, .beta = m->beta};
    GroupNormGrads out = {.da = m->dx, .add_a = m->dy, .dgamma = m->dgamma, .dbeta = m->dbeta};
    group_norm_backward(out, NULL, m->dnormed, (GroupNormInput){m->x, NULL}, m->stats, params,
                        &m->norm, m->scratch);
}

/* 2e-4 of the tensor's largest, or a millionth of the largest gradient of the case. */
static void compare(const float *actual, float *expected, size_t n, double largest)
{
    assert_arrays_close(actual, expected, n, 2e-4, 1e-6 * largest);
    free(expected);
}

static double largest_gradient(const Module *m)
{
    double most = 0;
    for (size_t i = 0; i < m->c * m->c; i++)
        for (int k = 0; k < LINEARS; k++) most = fmax(most, fabs((double)m->dw[k][i]));
    return most;
}

static void compare_module(const Module *m, const Safetensors *file, const char *name)
{
    AttentionDims d = m->d;
    double most = largest_gradient(m);
    float *y = turned(file, name, "y", d.n, d.c, d.tokens);
    assert_arrays_close(m->y, y, m->size, 5e-5, 0);
    free(y);
    compare(m->dx, turned(file, name, "grad.x", d.n, d.c, d.tokens), m->size, most);
    compare(m->dgamma, test_fixture_floats(file, NULL, "%s.grad.group_norm.weight", name), m->c,
            most);
    compare(m->dbeta, test_fixture_floats(file, NULL, "%s.grad.group_norm.bias", name), m->c, most);
    for (int i = 0; i < LINEARS; i++) {
        const char *linear = linear_names[i];
        char weight[32];
        snprintf(weight, sizeof weight, "grad.%s.weight", linear);
        compare(m->dw[i], turned(file, name, weight, 1, d.c, d.c), m->c * m->c, most);
        compare(m->dbias[i], test_fixture_floats(file, NULL, "%s.grad.%s.bias", name, linear), m->c,
                most);
    }
}

static void check_fixture(const char *name, AttentionDims d, int groups)
{
    Safetensors file = test_fixture("layers");
    Module m = module_new(d, groups);
    module_inputs(&m, &file, name);
    module_forward(&m);
    module_backward(&m);
    compare_module(&m, &file, name);
    module_free(&m), safetensors_release(&file);
}

static void fixtures(void **state)
{
    (void)state;
    check_fixture("attention", (AttentionDims){2, 64, 32, 1}, 32);
    check_fixture("attention_heads", (AttentionDims){2, 24, 64, 4}, 8);
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
        cmocka_unit_test(fixtures),
        cmocka_unit_test(values_and_gradients_at_odd_shapes),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(one_token),
        cmocka_unit_test(threads_do_not_change_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
