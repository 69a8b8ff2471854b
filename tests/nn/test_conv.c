#include "nn/conv.h"

#include "base/parallel.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

/* Everything a convolution reads and writes, at one shape. */
typedef struct {
    ConvDims d;
    size_t x_size, y_size, w_size;
    float *x, *w, *dy, *bias, *image, *residual;
    float *y, *dx, *dw, *dbias, *scratch;
} Case;

static Case case_new(ConvDims d)
{
    Case c = {.d = d};
    c.x_size = (size_t)(d.n * d.h * d.w * d.c_in);
    c.y_size = (size_t)(d.n * conv_out_height(&d) * conv_out_width(&d) * d.c_out);
    c.w_size = (size_t)(9 * d.c_in * d.c_out);
    c.x = test_normals(c.x_size, 1), c.w = test_normals(c.w_size, 2);
    c.dy = test_normals(c.y_size, 3), c.bias = test_normals((size_t)d.c_out, 4);
    c.image = test_normals((size_t)(d.n * d.c_out), 5), c.residual = test_normals(c.y_size, 6);
    c.y = test_floats(c.y_size), c.dx = test_floats(c.x_size);
    c.dw = test_normals(c.w_size, 7), c.dbias = test_normals((size_t)d.c_out, 8);
    c.scratch = test_floats(conv_scratch(&d));
    return c;
}

static void case_free(Case *c)
{
    free(c->x), free(c->w), free(c->dy), free(c->bias), free(c->image), free(c->residual);
    free(c->y), free(c->dx), free(c->dw), free(c->dbias), free(c->scratch);
}

static void run(Case *c, ConvAdd add)
{
    conv_forward(c->y, c->x, c->w, NULL, add, &c->d, c->scratch);
    conv_backward_input(c->dx, c->dy, c->w, &c->d, c->scratch);
    conv_backward_weight(c->dw, c->dbias, c->dy, c->x, &c->d, c->scratch);
}

/* The sums of the definition, in double: y, or the gradients where `dy` is what goes in. */
typedef struct {
    double *y, *dx, *dw;
} Sums;

static void tap_sums(Sums s, const Case *c, size_t out, size_t in, size_t tap)
{
    size_t c_in = (size_t)c->d.c_in, c_out = (size_t)c->d.c_out;
    for (size_t i = 0; i < c_in; i++)
        for (size_t o = 0; o < c_out; o++) {
            size_t w = (tap * c_in + i) * c_out + o;
            s.y[out * c_out + o] += (double)c->x[in * c_in + i] * (double)c->w[w];
            s.dx[in * c_in + i] += (double)c->dy[out * c_out + o] * (double)c->w[w];
            s.dw[w] += (double)c->x[in * c_in + i] * (double)c->dy[out * c_out + o];
        }
}

static void all_sums(Sums s, const Case *c)
{
    ConvDims d = c->d;
    int h = conv_out_height(&d), w = conv_out_width(&d);
    for (int p = 0; p < d.n * h * w; p++)
        for (int tap = 0; tap < 9; tap++) {
            int i = p % (h * w) / w * d.stride + tap / 3 - d.pad;
            int j = p % w * d.stride + tap % 3 - d.pad;
            if (i < 0 || i >= d.h || j < 0 || j >= d.w) continue;
            tap_sums(s, c, (size_t)p, (size_t)((p / (h * w) * d.h + i) * d.w + j), (size_t)tap);
        }
}

static void assert_equals_sums(const float *actual, const double *sums, const float *before,
                               size_t n, double bound)
{
    float *expected = test_floats(n);
    for (size_t i = 0; i < n; i++)
        expected[i] = (float)(sums[i] + (before ? (double)before[i] : 0.0));
    assert_arrays_close(actual, expected, n, bound, 0);
    free(expected);
}

static void assert_bias_gradient(const Case *c)
{
    float *expected = test_normals((size_t)c->d.c_out, 8);
    for (size_t i = 0; i < c->y_size; i++) expected[i % (size_t)c->d.c_out] += c->dy[i];
    assert_arrays_close(c->dbias, expected, (size_t)c->d.c_out, 2e-5, 1e-5);
    free(expected);
}

static void compare_with_definition(ConvDims d)
{
    Case c = case_new(d);
    Sums s = {calloc(c.y_size, sizeof(double)), calloc(c.x_size, sizeof(double)),
              calloc(c.w_size, sizeof(double))};
    assert_true(s.y && s.dx && s.dw);
    float *dw_before = test_normals(c.w_size, 7);
    run(&c, (ConvAdd){0});
    all_sums(s, &c);
    assert_equals_sums(c.y, s.y, NULL, c.y_size, 2e-5);
    assert_equals_sums(c.dx, s.dx, NULL, c.x_size, 2e-5);
    assert_equals_sums(c.dw, s.dw, dw_before, c.w_size, 2e-5);
    assert_bias_gradient(&c);
    free(s.y), free(s.dx), free(s.dw), free(dw_before);
    case_free(&c);
}

/* |<a1,b1> - <a2,b2>| against the sum of |a1 b1|: what rounding may make of it. NaN stays NaN. */
static double mismatch(const float *a1, const float *b1, size_t n1, const float *a2,
                       const float *b2, size_t n2)
{
    double size = 0;
    for (size_t i = 0; i < n1; i++) size += fabs((double)a1[i] * (double)b1[i]);
    return fabs(test_dot(a1, b1, n1) - test_dot(a2, b2, n2)) / size;
}

/* <conv(x), dy> = <x, dx>. */
static double input_mismatch(const Case *c)
{
    return mismatch(c->y, c->dy, c->y_size, c->x, c->dx, c->x_size);
}

/* <conv(x), dy> = <w, dw>, where dw started at 0. */
static double weight_mismatch(const Case *c)
{
    return mismatch(c->y, c->dy, c->y_size, c->w, c->dw, c->w_size);
}

static const double ADJOINT = 1e-5;

static Case adjoint_case(ConvDims d)
{
    Case c = case_new(d);
    memset(c.dw, 0, c.w_size * sizeof *c.dw);
    run(&c, (ConvAdd){0});
    return c;
}

static void check_shape(ConvDims d)
{
    compare_with_definition(d);
    Case c = adjoint_case(d);
    assert_close(input_mismatch(&c), 0, ADJOINT);
    assert_close(weight_mismatch(&c), 0, ADJOINT);
    case_free(&c);
}

/* With few images and with many: the choice of the algorithm depends on the pixels in all. */
static void odd_shapes_equal_the_definition(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 5}, {5, 3}, {7, 9}};
    static const int channels[][2] = {{1, 1},  {1, 33},  {3, 5},   {5, 3},   {17, 1}, {8, 12},
                                      {33, 5}, {17, 17}, {33, 17}, {17, 33}, {33, 33}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof channels / sizeof *channels; j++)
            for (int pixels = 1; pixels <= 64; pixels += 63)
                check_shape((ConvDims){pixels / (sizes[i][0] * sizes[i][1]) + 2, sizes[i][0],
                                       sizes[i][1], channels[j][0], channels[j][1], 1, 1});
}

static void stride_two_equals_the_definition(void **state)
{
    (void)state;
    static const int sizes[][2] = {{2, 2}, {2, 5}, {6, 8}, {7, 9}, {8, 7}};
    static const int channels[][2] = {{1, 3}, {5, 17}, {33, 1}, {70, 65}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof channels / sizeof *channels; j++)
            for (int pad = 0; pad < 2; pad++)
                check_shape((ConvDims){2, sizes[i][0], sizes[i][1], channels[j][0], channels[j][1],
                                       2, pad});
    check_shape((ConvDims){2, 1, 1, 3, 5, 2, 1});
}

/* Large enough for several tasks, and for blocks that end inside an image. */
static void larger_shapes_equal_the_definition(void **state)
{
    (void)state;
    static const ConvDims shapes[] = {
        {3, 32, 32, 3, 32, 1, 1},  {3, 32, 32, 32, 3, 1, 1},  {5, 28, 28, 1, 32, 1, 1},
        {2, 28, 28, 32, 1, 1, 1},  {3, 14, 14, 64, 96, 1, 1}, {2, 15, 13, 96, 64, 1, 1},
        {5, 8, 8, 130, 70, 1, 1},  {9, 4, 4, 128, 128, 1, 1}, {2, 16, 16, 128, 64, 2, 0},
        {1, 4, 4, 200, 36, 1, 1},  {64, 7, 7, 36, 40, 1, 1},  {9, 30, 30, 20, 24, 1, 1},
        {3, 27, 25, 17, 33, 1, 1}, {1, 64, 48, 16, 16, 2, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_shape(shapes[i]);
}

static void wrong_gradients_are_caught(void **state)
{
    (void)state;
    Case c = adjoint_case((ConvDims){2, 7, 9, 17, 33, 1, 1});
    size_t at = 0;
    for (size_t i = 0; i < c.w_size; i++)
        if (fabsf(c.w[i]) > fabsf(c.w[at])) at = i;
    c.dw[at] *= 1.1f;
    assert_true(weight_mismatch(&c) > ADJOINT);
    c.dx[5] = NAN;
    assert_false(input_mismatch(&c) <= ADJOINT);
    case_free(&c);

    c = adjoint_case((ConvDims){2, 7, 9, 17, 33, 1, 1});
    float *turned = test_floats(c.w_size), *right = c.dw;
    size_t tap = c.w_size / 9;
    for (size_t i = 0; i < 9; i++)
        memcpy(turned + i * tap, right + (8 - i) * tap, tap * sizeof *turned);
    c.dw = turned;
    assert_true(weight_mismatch(&c) > ADJOINT);
    free(right);
    case_free(&c);
}

/* [c_out,c_in,3,3] of files as [3,3,c_in,c_out]. */
static float *filter_of_file(const float *stored, const ConvDims *d)
{
    size_t c_in = (size_t)d->c_in, c_out = (size_t)d->c_out;
    float *w = test_floats(9 * c_in * c_out);
    for (size_t o = 0; o < c_out; o++)
        for (size_t c = 0; c < c_in; c++)
            for (size_t tap = 0; tap < 9; tap++)
                w[(tap * c_in + c) * c_out + o] = stored[(o * c_in + c) * 9 + tap];
    return w;
}

typedef struct {
    const char *name, *layer; /* what stands before "weight" and "bias" */
    ConvDims d;
} Fixture;

static float *fixture_image(const Safetensors *file, const Fixture *f, const char *tensor, int c,
                            int h, int w)
{
    float *stored = test_fixture_floats(file, NULL, "%s.%s", f->name, tensor);
    float *x = test_nchw_to_nhwc(stored, f->d.n, c, h, w);
    free(stored);
    return x;
}

static float *fixture_filter(const Safetensors *file, const Fixture *f, const char *kind)
{
    float *stored = test_fixture_floats(file, NULL, "%s.%s%sweight", f->name, kind, f->layer);
    float *w = filter_of_file(stored, &f->d);
    free(stored);
    return w;
}

static Case fixture_case(const Safetensors *file, const Fixture *f)
{
    Case c = case_new(f->d);
    ConvDims d = f->d;
    free(c.x), free(c.w), free(c.dy), free(c.bias);
    c.x = fixture_image(file, f, "x", d.c_in, d.h, d.w), c.w = fixture_filter(file, f, "");
    c.dy = fixture_image(file, f, "dy", d.c_out, conv_out_height(&d), conv_out_width(&d));
    c.bias = test_fixture_floats(file, NULL, "%s.%sbias", f->name, f->layer);
    memset(c.dw, 0, c.w_size * sizeof *c.dw);
    memset(c.dbias, 0, (size_t)d.c_out * sizeof *c.dbias);
    return c;
}

static void compare_with_fixture(const Safetensors *file, const Fixture *f)
{
    Case c = fixture_case(file, f);
    ConvDims d = f->d;
    float *y = fixture_image(file, f, "y", d.c_out, conv_out_height(&d), conv_out_width(&d));
    float *dx = fixture_image(file, f, "grad.x", d.c_in, d.h, d.w);
    float *dw = fixture_filter(file, f, "grad.");
    float *dbias = test_fixture_floats(file, NULL, "%s.grad.%sbias", f->name, f->layer);
    run(&c, (ConvAdd){.bias = c.bias});
    assert_arrays_close(c.y, y, c.y_size, 5e-5, 0);
    assert_arrays_close(c.dx, dx, c.x_size, 2e-4, 0);
    assert_arrays_close(c.dw, dw, c.w_size, 2e-4, 0);
    assert_arrays_close(c.dbias, dbias, (size_t)d.c_out, 2e-4, 0);
    free(y), free(dx), free(dw), free(dbias);
    case_free(&c);
}

static void fixtures(void **state)
{
    (void)state;
    static const Fixture all[] = {
        {"conv3x3_odd", "", {2, 6, 9, 5, 7, 1, 1}},
        {"conv3x3_rgb", "", {2, 32, 32, 3, 32, 1, 1}},
        {"conv3x3_wide", "", {3, 14, 14, 64, 96, 1, 1}},
        {"conv3x3_7", "", {2, 7, 7, 32, 48, 1, 1}},
        {"conv3x3_1", "", {2, 1, 1, 16, 16, 1, 1}},
        {"downsample", "conv.", {2, 12, 12, 16, 16, 2, 0}},
        {"downsample_14", "conv.", {1, 14, 14, 32, 32, 2, 0}},
    };
    Safetensors file = test_fixture("layers");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) compare_with_fixture(&file, &all[i]);
    safetensors_release(&file);
}

static const ConvDims COMMON[] = {
    {2, 7, 9, 17, 33, 1, 1},    {3, 8, 8, 64, 64, 1, 1},   {2, 13, 14, 96, 70, 1, 1},
    {2, 28, 28, 32, 1, 1, 1},   {2, 28, 28, 1, 32, 1, 1},  {3, 16, 16, 64, 96, 2, 0},
    {9, 16, 16, 128, 48, 1, 1}, {9, 30, 30, 20, 24, 1, 1},
};
enum { COMMON_COUNT = sizeof COMMON / sizeof *COMMON };

/* Each part of what is added, alone and together; the residual apart from y and y itself. */
static void additions(ConvDims d)
{
    Case c = case_new(d);
    float *plain = test_floats(c.y_size), *expected = test_floats(c.y_size);
    conv_forward(plain, c.x, c.w, NULL, (ConvAdd){0}, &d, c.scratch);
    size_t c_out = (size_t)d.c_out, image_size = c.y_size / (size_t)d.n;
    for (int which = 0; which < 12; which++) {
        ConvAdd add = {which & 1 ? c.bias : NULL, which & 2 ? c.image : NULL,
                       which / 4 == 0   ? NULL
                       : which / 4 == 1 ? c.residual
                                        : c.y};
        memcpy(c.y, c.residual, c.y_size * sizeof *c.y);
        for (size_t i = 0; i < c.y_size; i++)
            expected[i] = plain[i] + (add.bias ? c.bias[i % c_out] : 0) +
                          (add.image ? c.image[i / image_size * c_out + i % c_out] : 0) +
                          (add.residual ? c.residual[i] : 0);
        conv_forward(c.y, c.x, c.w, NULL, add, &d, c.scratch);
        assert_arrays_close(c.y, expected, c.y_size, 1e-6, 0);
    }
    free(plain), free(expected);
    case_free(&c);
}

static void additions_are_added(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMON_COUNT; i++) additions(COMMON[i]);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMON_COUNT; i++) {
        Case first = {0};
        for (int threads = 1; threads <= 4; threads++) {
            parallel_setup(threads);
            Case c = case_new(COMMON[i]);
            run(&c, (ConvAdd){c.bias, c.image, c.residual});
            if (threads == 1) {
                first = c;
                continue;
            }
            assert_memory_equal(c.y, first.y, c.y_size * sizeof *c.y);
            assert_memory_equal(c.dx, first.dx, c.x_size * sizeof *c.dx);
            assert_memory_equal(c.dw, first.dw, c.w_size * sizeof *c.dw);
            assert_memory_equal(c.dbias, first.dbias, (size_t)c.d.c_out * sizeof *c.dbias);
            case_free(&c);
        }
        case_free(&first);
    }
    parallel_setup(0);
}

static void prepared_filters_give_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMON_COUNT; i++) {
        Case c = case_new(COMMON[i]);
        float *prepared = test_floats(conv_prepared_size(&c.d)), *y = test_floats(c.y_size);
        conv_forward(y, c.x, c.w, NULL, (ConvAdd){.bias = c.bias}, &c.d, c.scratch);
        conv_prepare(prepared, c.w, &c.d);
        conv_forward(c.y, c.x, c.w, prepared, (ConvAdd){.bias = c.bias}, &c.d, c.scratch);
        assert_memory_equal(c.y, y, c.y_size * sizeof *y);
        free(prepared), free(y);
        case_free(&c);
    }
}

/* What is planned for a batch must do for the last one, which may be smaller and take another
 * algorithm: at 4x4 pixels and 8 -> 16 channels, im2col for three images, Winograd for four. */
static void scratch_for_a_batch_does_for_smaller_ones(void **state)
{
    (void)state;
    for (int channels = 8; channels <= 64; channels *= 2) {
        ConvDims d = {.h = 4, .w = 4, .c_in = 8, .c_out = channels, .stride = 1, .pad = 1};
        size_t most = 0;
        for (d.n = 1; d.n <= 32; d.n++) {
            assert_true(conv_scratch(&d) >= most);
            most = conv_scratch(&d);
        }
    }
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures),
        cmocka_unit_test(odd_shapes_equal_the_definition),
        cmocka_unit_test(stride_two_equals_the_definition),
        cmocka_unit_test(larger_shapes_equal_the_definition),
        cmocka_unit_test(wrong_gradients_are_caught),
        cmocka_unit_test(additions_are_added),
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(prepared_filters_give_the_same_bits),
        cmocka_unit_test(scratch_for_a_batch_does_for_smaller_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
