#include "model/convnet.h"

#include "base/parallel.h"
#include "gradient.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

/* ---- the same network, from its definition, in double ---- */

typedef struct {
    int n, h, w, c;
    double *x;
} Images;

static Images new_images(int n, int h, int w, int c)
{
    Images images = {n, h, w, c, calloc((size_t)(n * h * w * c), sizeof(double))};
    assert_non_null(images.x);
    return images;
}

/* 3x3, padded by one on all sides; takes the input over. */
static Images convolved(Images in, const double *filter, int c_out, int stride)
{
    Images out =
        new_images(in.n, (in.h + stride - 1) / stride, (in.w + stride - 1) / stride, c_out);
    int pixels = out.h * out.w;
    for (int p = 0; p < in.n * pixels; p++)
        for (int tap = 0; tap < 9; tap++) {
            int i = p % pixels / out.w * stride + tap / 3 - 1;
            int j = p % out.w * stride + tap % 3 - 1;
            if (i < 0 || i >= in.h || j < 0 || j >= in.w) continue;
            const double *from = in.x + ((p / pixels * in.h + i) * in.w + j) * in.c;
            for (int k = 0; k < in.c * c_out; k++)
                out.x[p * c_out + k % c_out] += from[k / c_out] * filter[tap * in.c * c_out + k];
        }
    free(in.x);
    return out;
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

/* Group norm of 8 groups, and SiLU, in place. */
static void normalise(Images in, const double *gamma, const double *beta)
{
    int pixels = in.h * in.w, width = in.c / 8;
    for (int task = 0; task < in.n * 8; task++) {
        double *x = in.x + task / 8 * pixels * in.c + task % 8 * width, sum = 0, squares = 0;
        for (int i = 0; i < pixels * width; i++) sum += x[i / width * in.c + i % width];
        double mean = sum / (pixels * width);
        for (int i = 0; i < pixels * width; i++)
            squares += pow(x[i / width * in.c + i % width] - mean, 2);
        double inverse = 1 / sqrt(squares / (pixels * width) + 1e-5);
        for (int i = 0; i < pixels * width; i++) {
            double *at = x + i / width * in.c + i % width;
            int k = task % 8 * width + i % width;
            *at = silu(gamma[k] * (*at - mean) * inverse + beta[k]);
        }
    }
}

static void linear(double *y, const double *x, const double *w, const double *b, int n, int in,
                   int out)
{
    for (int i = 0; i < n * out; i++) {
        y[i] = b[i % out];
        for (int k = 0; k < in; k++) y[i] += x[i / out * in + k] * w[k * out + i % out];
    }
}

typedef struct {
    const Convnet *net;
    int n;
} Dims;

static const double *tensor(const Convnet *net, const double *weights, const char *format, int i)
{
    char name[64];
    snprintf(name, sizeof name, format, i);
    const Param *param = params_find(convnet_params(net), name);
    return param ? weights + param->offset : NULL;
}

static void head(double *y, Images in, const Convnet *net, const double *w)
{
    int pixels = in.h * in.w, classes = convnet_shape(net)->classes;
    double mean[128], feature[CONVNET_FEATURES];
    for (int i = 0; i < in.n; i++) {
        memset(mean, 0, sizeof mean);
        for (int k = 0; k < pixels * in.c; k++)
            mean[k % in.c] += in.x[i * pixels * in.c + k] / pixels;
        linear(feature, mean, tensor(net, w, "feature.weight", 0),
               tensor(net, w, "feature.bias", 0), 1, in.c, CONVNET_FEATURES);
        for (int k = 0; k < CONVNET_FEATURES; k++) feature[k] = silu(feature[k]);
        linear(y + i * classes, feature, tensor(net, w, "class.weight", 0),
               tensor(net, w, "class.bias", 0), 1, CONVNET_FEATURES, classes);
    }
}

/* input[0] is x, input[1] the weights. */
static void reference(double *y, double *const *input, const void *dims)
{
    const Dims *d = dims;
    const ConvnetShape *s = convnet_shape(d->net);
    const double *w = input[1], *filter;
    Images a = new_images(d->n, s->height, s->width, s->channels);
    memcpy(a.x, input[0], (size_t)(a.n * a.h * a.w * a.c) * sizeof *a.x);
    for (int i = 0; (filter = tensor(d->net, w, "conv.%d.weight", i)) != NULL; i++) {
        int c_out = i == 0 ? 32 : i % 2 == 0 ? a.c : a.c < 128 ? 2 * a.c : 128;
        a = convolved(a, filter, c_out, i % 2 == 0 ? 1 : 2);
        normalise(a, tensor(d->net, w, "norm.%d.weight", i), tensor(d->net, w, "norm.%d.bias", i));
    }
    head(y, a, d->net, w);
    free(a.x);
}

/* ---- cases ---- */

typedef struct {
    Dims d;
    Convnet *net;
    float *x, *weights, *dy, *y, *dx, *dweights;
    size_t in, out, floats;
} Case;

/* Weights at which norms matter too, and no padding but zeros. */
static void draw_weights(float *weights, const ParamTable *table)
{
    float *noise = test_normals(table->floats, 5);
    params_draw(weights, table, 3);
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        for (size_t k = 0; k < p->count && p->kind == PARAM_VECTOR; k++)
            weights[p->offset + k] += 0.3f * noise[p->offset + k];
    }
    free(noise);
}

static Case new_case(ConvnetShape shape, int n)
{
    Err err;
    Convnet *net = convnet_check(&shape, &err) ? convnet_new(&shape, &err) : NULL;
    if (!net || !convnet_reserve(net, n, &err)) fail_msg("%s", err.text);
    Case c = {.d = {net, n}, .net = net, .floats = convnet_params(net)->floats};
    c.in = (size_t)(n * shape.height * shape.width * shape.channels);
    c.out = (size_t)(n * shape.classes);
    c.x = test_normals(c.in, 1), c.dy = test_normals(c.out, 2);
    c.weights = test_floats(c.floats);
    draw_weights(c.weights, convnet_params(net));
    c.y = test_floats(c.out), c.dx = test_floats(c.in), c.dweights = test_floats(c.floats);
    memset(c.dweights, 0, c.floats * sizeof *c.dweights);
    return c;
}

static void free_case(Case *c)
{
    convnet_free(c->net);
    free(c->x), free(c->weights), free(c->dy), free(c->y), free(c->dx), free(c->dweights);
}

static void run(Case *c)
{
    convnet_forward(c->net, c->y, c->x, c->d.n, c->weights);
    convnet_backward(c->net, c->dweights, c->dx, c->dy);
}

/* The norm of the gradient is mostly that of a few tensors: each is looked at by itself too. */
static void check_tensors(const Case *c, const GradientCase *g)
{
    const ParamTable *table = convnet_params(c->net);
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        float *direction = test_normals(c->floats, 50 + (uint32_t)i);
        for (size_t k = 0; k < c->floats; k++)
            if (k < p->offset || k >= p->offset + p->count) direction[k] = 0;
        double *moved = malloc(c->floats * sizeof *moved), *y = malloc(c->out * sizeof *y);
        double slope = 0, step = 1e-5;
        for (int side = -1; side <= 1; side += 2) {
            double *input[2] = {g->input[0], moved};
            for (size_t k = 0; k < c->floats; k++)
                moved[k] = g->input[1][k] + side * step * (double)direction[k];
            reference(y, input, &c->d);
            for (size_t k = 0; k < c->out; k++) slope += side * (double)c->dy[k] * y[k] / 2 / step;
        }
        double norm = sqrt(test_dot(c->dweights + p->offset, c->dweights + p->offset, p->count));
        test_assert_close(test_dot(c->dweights, direction, c->floats), slope, 2e-4 * norm, p->name,
                          __FILE__, __LINE__);
        assert_true(norm > 0);
        free(direction), free(moved), free(y);
    }
}

static void compare(ConvnetShape shape, int n)
{
    Case c = new_case(shape, n);
    GradientCase g = {.forward = reference, .dims = &c.d, .dy = c.dy, .outputs = c.out};
    gradient_input(&g, 0, c.x, c.in), gradient_input(&g, 1, c.weights, c.floats);
    float *expected = gradient_reference(&g);
    run(&c);
    assert_arrays_close(c.y, expected, c.out, 2e-5, 0);
    assert_gradient(&g, 0, c.dx);
    assert_true(gradient_is_right(&g, 1, c.dweights));
    check_tensors(&c, &g);
    free(expected);
    gradient_release(&g);
    free_case(&c);
}

static void values_and_gradients(void **state)
{
    (void)state;
    compare((ConvnetShape){8, 8, 1, 2}, 3);
    compare((ConvnetShape){9, 13, 3, 5}, 2);
    compare((ConvnetShape){17, 16, 1, 10}, 1);
}

static void wrong_gradients_are_caught(void **state)
{
    (void)state;
    Case c = new_case((ConvnetShape){8, 9, 3, 3}, 2);
    GradientCase g = {.forward = reference, .dims = &c.d, .dy = c.dy, .outputs = c.out};
    gradient_input(&g, 0, c.x, c.in), gradient_input(&g, 1, c.weights, c.floats);
    run(&c);
    assert_gradient(&g, 1, c.dweights);
    gradient_release(&g);
    free_case(&c);
}

static void gradients_are_added_and_dx_is_optional(void **state)
{
    (void)state;
    Case c = new_case((ConvnetShape){10, 8, 1, 4}, 2);
    run(&c);
    float *once = test_floats(c.floats);
    for (size_t i = 0; i < c.floats; i++) once[i] = 2 * c.dweights[i];
    convnet_forward(c.net, c.y, c.x, c.d.n, c.weights);
    convnet_backward(c.net, c.dweights, NULL, c.dy);
    assert_arrays_close(c.dweights, once, c.floats, 1e-6, 0);
    free(once);
    free_case(&c);
}

static void padding_stays_zero(void **state)
{
    (void)state;
    Case c = new_case((ConvnetShape){8, 8, 1, 3}, 2);
    const ParamTable *table = convnet_params(c.net);
    run(&c);
    for (int i = 0; i < table->count; i++) {
        size_t end = i + 1 < table->count ? table->list[i + 1].offset : table->floats;
        for (size_t k = table->list[i].offset + table->list[i].count; k < end; k++)
            assert_true(c.dweights[k] == 0);
    }
    free_case(&c);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    float *y[2], *dweights[2], *feature[2];
    size_t out = 0, floats = 0;
    for (int i = 0; i < 2; i++) {
        parallel_setup(i == 0 ? 1 : 3);
        Case c = new_case((ConvnetShape){28, 28, 1, 10}, 7);
        run(&c);
        out = c.out * sizeof *c.y, floats = c.floats * sizeof *c.dweights;
        y[i] = c.y, dweights[i] = c.dweights;
        feature[i] = test_floats(7 * CONVNET_FEATURES);
        memcpy(feature[i], convnet_features(c.net), 7 * CONVNET_FEATURES * sizeof(float));
        c.y = c.dweights = NULL;
        free_case(&c);
    }
    assert_memory_equal(y[0], y[1], out);
    assert_memory_equal(dweights[0], dweights[1], floats);
    assert_memory_equal(feature[0], feature[1], 7 * CONVNET_FEATURES * sizeof(float));
    for (int i = 0; i < 2; i++) free(y[i]), free(dweights[i]), free(feature[i]);
    parallel_setup(0);
}

static void shapes_are_checked(void **state)
{
    (void)state;
    static const struct {
        ConvnetShape shape;
        const char *says;
    } cases[] = {
        {{7, 8, 1, 2}, "7 x 8 pixels"},       {{8, 4097, 1, 2}, "8 x 4097 pixels"},
        {{8, 8, 2, 2}, "2 channels"},         {{8, 8, 1, 1}, "1 class:"},
        {{8, 8, 1, 65537}, "65537 classes:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err;
        assert_false(convnet_check(&cases[i].shape, &err));
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s", err.text);
    }
    Case largest = new_case((ConvnetShape){4096, 8, 3, 65536}, 1);
    free_case(&largest);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients),
        cmocka_unit_test(wrong_gradients_are_caught),
        cmocka_unit_test(gradients_are_added_and_dx_is_optional),
        cmocka_unit_test(padding_stays_zero),
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(shapes_are_checked),
    };
    return cmocka_run_group_tests_name("convnet", tests, NULL, NULL);
}
