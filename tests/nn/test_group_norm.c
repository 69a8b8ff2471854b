#include "nn/group_norm.h"

#include "base/parallel.h"
#include "gradient.h"
#include "nn/pointwise.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    size_t n, pixels, c, groups;
} Shape;

static Shape shape_of(const GroupNormDims *d)
{
    return (Shape){(size_t)d->n, (size_t)d->pixels, (size_t)(d->c_a + d->c_b), (size_t)d->groups};
}

/* Mean and variance of one group of one image of x [n,pixels,c]. */
static void reference_moments(double moments[2], const double *x, size_t group, Shape s)
{
    size_t width = s.c / s.groups;
    double count = (double)(width * s.pixels);
    moments[0] = moments[1] = 0;
    for (size_t p = 0; p < s.pixels; p++)
        for (size_t j = group * width; j < (group + 1) * width; j++)
            moments[0] += x[p * s.c + j] / count;
    for (size_t p = 0; p < s.pixels; p++)
        for (size_t j = group * width; j < (group + 1) * width; j++) {
            double difference = x[p * s.c + j] - moments[0];
            moments[1] += difference * difference / count;
        }
}

/* Inputs: x (whole), gamma, beta. */
static void reference(double *y, double *const *input, const void *dims)
{
    const GroupNormDims *d = dims;
    Shape s = shape_of(d);
    for (size_t i = 0; i < s.n; i++)
        for (size_t g = 0; g < s.groups; g++) {
            double moments[2];
            size_t image = i * s.pixels * s.c, width = s.c / s.groups;
            reference_moments(moments, input[0] + image, g, s);
            for (size_t p = 0; p < s.pixels; p++)
                for (size_t j = g * width; j < (g + 1) * width; j++) {
                    size_t at = image + p * s.c + j;
                    double xhat = (input[0][at] - moments[0]) / sqrt(moments[1] + (double)d->eps);
                    double z = input[1][j] * xhat + input[2][j];
                    y[at] = d->silu ? z / (1 + exp(-z)) : z;
                }
        }
}

/* Channels [offset, offset + c) of the rows of `whole`, which have `total`. */
static float *cut(const float *whole, size_t rows, size_t total, size_t offset, size_t c)
{
    float *part = test_floats(rows * c);
    for (size_t r = 0; r < rows; r++)
        memcpy(part + r * c, whole + r * total + offset, c * sizeof *part);
    return part;
}

typedef struct {
    GroupNormDims d;
    size_t size, c;
    float *x, *a, *b, *gamma, *beta, *dy;             /* in */
    float *stats, *y, *da, *db, *dx, *dgamma, *dbeta; /* out; dx is da and db put together */
} Run;

/* The inputs become the run's. */
static Run run_on(GroupNormDims d, float *x, float *gamma, float *beta, float *dy)
{
    Shape s = shape_of(&d);
    size_t rows = s.n * s.pixels, c_a = (size_t)d.c_a, c_b = (size_t)d.c_b;
    Run r = {.d = d, .size = rows * s.c, .c = s.c, .x = x, .gamma = gamma, .beta = beta, .dy = dy};
    r.a = cut(r.x, rows, s.c, 0, c_a), r.b = cut(r.x, rows, s.c, c_a, c_b);
    r.stats = test_floats(s.n * s.groups * 2), r.y = test_floats(r.size);
    r.da = test_floats(rows * c_a), r.db = test_floats(rows * c_b), r.dx = test_floats(r.size);
    r.dgamma = test_normals(s.c, 5), r.dbeta = test_normals(s.c, 6);
    return r;
}

static Run run_new(GroupNormDims d, float mean)
{
    Shape s = shape_of(&d);
    size_t size = s.n * s.pixels * s.c;
    float *x = test_normals(size, 1);
    for (size_t i = 0; i < size; i++) x[i] += mean;
    return run_on(d, x, test_normals(s.c, 3), test_normals(s.c, 4), test_normals(size, 2));
}

static void run_free(Run *r)
{
    free(r->x), free(r->a), free(r->b), free(r->gamma), free(r->beta), free(r->dy);
    free(r->stats), free(r->y), free(r->da), free(r->db), free(r->dx), free(r->dgamma);
    free(r->dbeta);
}

/* The backward pass on a copy of dy, which it overwrites. The y it makes is that of the forward
 * pass, and the gradients are the same whether it makes it or not. */
static void run_backward(Run *r, GroupNormGrads out, GroupNormInput x, float *scratch, bool make_y)
{
    GroupNormParams params = {.gamma = r->gamma, .beta = r->beta};
    float *dy = test_floats(r->size), *y = make_y ? test_floats(r->size) : NULL;
    memcpy(dy, r->dy, r->size * sizeof *dy);
    group_norm_backward(out, y, dy, x, r->stats, params, &r->d, scratch);
    if (y) assert_memory_equal(y, r->y, r->size * sizeof *y);
    free(dy), free(y);
}

/* Bits of `how`: whether da (1) and db (2) hold the input before, which the gradient is added to;
 * whether the input is added to da as a residual's gradient (4); whether y is made again (8). */
static void run(Run *r, int how)
{
    size_t rows = r->size / r->c, c_a = (size_t)r->d.c_a, c_b = (size_t)r->d.c_b;
    GroupNormInput x = {r->a, r->d.c_b ? r->b : NULL};
    GroupNormParams params = {.gamma = r->gamma, .beta = r->beta};
    float *scratch = test_floats(group_norm_scratch(&r->d));
    group_norm_forward(r->y, r->stats, x, params, &r->d, scratch);
    float *again = test_floats(r->size);
    group_norm_apply(again, x, r->stats, params, &r->d, scratch);
    assert_memory_equal(again, r->y, r->size * sizeof *again);
    free(again);
    if (how & 1) memcpy(r->da, r->a, rows * c_a * sizeof(float));
    if (how & 2) memcpy(r->db, r->b, rows * c_b * sizeof(float));
    GroupNormGrads out = {.da = r->da, .dgamma = r->dgamma, .dbeta = r->dbeta};
    out.db = r->d.c_b ? r->db : NULL;
    out.accumulate_a = how & 1, out.accumulate_b = how & 2, out.add_a = how & 4 ? r->a : NULL;
    run_backward(r, out, x, scratch, how & 8);
    for (size_t p = 0; p < rows; p++) {
        memcpy(r->dx + p * r->c, r->da + p * c_a, c_a * sizeof(float));
        memcpy(r->dx + p * r->c + c_a, r->db + p * c_b, c_b * sizeof(float));
    }
    free(scratch);
}

static void subtract(float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] -= y[i];
    free(y);
}

/* A fixture's tensor of images, its pixels moved inside its channels. */
static float *images(const Safetensors *file, const char *name, const char *tensor, int sizes[4])
{
    float *stored = test_fixture_floats(file, NULL, "%s.%s", name, tensor);
    float *x = test_nchw_to_nhwc(stored, sizes[0], sizes[1], sizes[2], sizes[3]);
    free(stored);
    return x;
}

/* Against PyTorch, whole and cut in two at `border`. */
static void check_fixture(const char *name, const char *layer, int sizes[4], int groups, int border)
{
    Safetensors file = test_fixture("layers");
    GroupNormDims d = {sizes[0], sizes[2] * sizes[3], border, sizes[1] - border, groups,
                       1e-6f,    layer[0] != '\0'};
    Run r = run_on(d, images(&file, name, "x", sizes),
                   test_fixture_floats(&file, NULL, "%s.%sweight", name, layer),
                   test_fixture_floats(&file, NULL, "%s.%sbias", name, layer),
                   images(&file, name, "dy", sizes));
    float *y = images(&file, name, "y", sizes), *dx = images(&file, name, "grad.x", sizes);
    float *dgamma = test_fixture_floats(&file, NULL, "%s.grad.%sweight", name, layer);
    float *dbeta = test_fixture_floats(&file, NULL, "%s.grad.%sbias", name, layer);
    run(&r, 0);
    subtract(r.dgamma, test_normals(r.c, 5), r.c);
    subtract(r.dbeta, test_normals(r.c, 6), r.c);
    assert_arrays_close(r.y, y, r.size, 5e-5, 0);
    assert_arrays_close(r.dx, dx, r.size, 2e-4, 0);
    assert_arrays_close(r.dgamma, dgamma, r.c, 2e-4, 0);
    assert_arrays_close(r.dbeta, dbeta, r.c, 2e-4, 0);
    free(y), free(dx), free(dgamma), free(dbeta), run_free(&r), safetensors_release(&file);
}

static void fixtures(void **state)
{
    (void)state;
    static const int borders[] = {96, 50, 1, 33}; /* a group has 3 channels */
    for (size_t i = 0; i < 4; i++)
        check_fixture("group_norm", "", (int[]){2, 96, 5, 5}, 32, borders[i]);
    check_fixture("group_norm_silu", "0.", (int[]){3, 16, 4, 4}, 8, 16);
    check_fixture("group_norm_silu", "0.", (int[]){3, 16, 4, 4}, 8, 9);
}

/* What `run` left in dx beside the gradient. */
static void take_off_input(Run *r, int how)
{
    for (size_t i = 0; i < r->size; i++) {
        bool in_a = i % r->c < (size_t)r->d.c_a;
        if (how & (in_a ? 1 : 2)) r->dx[i] -= r->x[i];
        if (in_a && how & 4) r->dx[i] -= r->x[i];
    }
}

static void check(GroupNormDims d, float mean, int how)
{
    Run r = run_new(d, mean);
    GradientCase c = {.forward = reference, .dims = &r.d, .dy = r.dy, .outputs = r.size};
    run(&r, how);
    take_off_input(&r, how);
    subtract(r.dgamma, test_normals(r.c, 5), r.c);
    subtract(r.dbeta, test_normals(r.c, 6), r.c);
    gradient_input(&c, 0, r.x, r.size);
    gradient_input(&c, 1, r.gamma, r.c), gradient_input(&c, 2, r.beta, r.c);
    float *expected = gradient_reference(&c);
    assert_arrays_close(r.y, expected, r.size, 1e-5, 0);
    assert_gradient(&c, 0, r.dx);
    assert_gradient(&c, 1, r.dgamma);
    assert_gradient(&c, 2, r.dbeta);
    free(expected), gradient_release(&c), run_free(&r);
}

static const GroupNormDims shapes[] = {
    {1, 1, 21, 0, 3, 1e-6f, false},   {2, 1, 10, 0, 1, 1e-6f, true},
    {3, 35, 7, 0, 1, 1e-5f, false},   {2, 9, 18, 0, 9, 1e-6f, true}, /* two channels a group */
    {1, 130, 33, 0, 11, 1e-6f, true}, {2, 63, 20, 10, 6, 1e-6f, true},
    {2, 15, 13, 11, 4, 1e-6f, false}, /* a group on both sides of the border */
    {1, 25, 1, 23, 3, 1e-6f, true},   {1, 70, 96, 48, 8, 1e-6f, true},
    {2, 17, 40, 24, 1, 1e-6f, true},
};

static void values_and_gradients_at_odd_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int how = 0; how < 16; how++) check(shapes[i], 0.5f, how);
}

/* dx over x itself. */
static void in_place(void **state)
{
    (void)state;
    Run r = run_new((GroupNormDims){3, 70, 24, 0, 4, 1e-6f, true}, 0.5f);
    GroupNormParams params = {.gamma = r.gamma, .beta = r.beta};
    float *scratch = test_floats(group_norm_scratch(&r.d)), *y = test_floats(r.size);
    run(&r, 0);
    GroupNormGrads out = {.da = r.a, .dgamma = r.dgamma, .dbeta = r.dbeta};
    group_norm_backward(out, y, r.dy, (GroupNormInput){r.a, NULL}, r.stats, params, &r.d, scratch);
    assert_memory_equal(r.a, r.dx, r.size * sizeof *y);
    assert_memory_equal(y, r.y, r.size * sizeof *y);
    free(y), free(scratch), run_free(&r);
}

/* With a mask, what dropout would have made of y and of dy without one. */
static void check_dropout(GroupNormDims d)
{
    Run plain = run_new(d, 0.5f), r = run_new(d, 0.5f);
    GroupNormInput x = {r.a, d.c_b ? r.b : NULL};
    size_t image = (size_t)d.pixels * r.c, words = dropout_words(image);
    uint32_t *mask = (uint32_t *)test_floats((size_t)d.n * words);
    dropout_draw(mask, d.n, image, 0.4f, (RngKey){.stream = RNG_DROPOUT});
    for (size_t i = 0; i < (size_t)d.n; i++)
        dropout_apply(plain.dy + i * image, mask + i * words, 0, image, 2.0f);
    run(&plain, 8);
    for (size_t i = 0; i < (size_t)d.n; i++)
        dropout_apply(plain.y + i * image, mask + i * words, 0, image, 2.0f);
    GroupNormParams params = {r.gamma, r.beta, mask, 2.0f};
    GroupNormGrads out = {.da = r.da, .db = d.c_b ? r.db : NULL, .dgamma = r.dgamma};
    out.dbeta = r.dbeta;
    float *scratch = test_floats(group_norm_scratch(&d)), *again = test_floats(r.size);
    group_norm_forward(r.y, r.stats, x, params, &d, scratch);
    group_norm_backward(out, again, r.dy, x, r.stats, params, &d, scratch);
    assert_memory_equal(r.y, plain.y, r.size * sizeof *again);
    assert_memory_equal(again, plain.y, r.size * sizeof *again);
    assert_memory_equal(r.da, plain.da, r.size / r.c * (size_t)d.c_a * sizeof *again);
    assert_memory_equal(r.db, plain.db, r.size / r.c * (size_t)d.c_b * sizeof *again);
    assert_memory_equal(r.dgamma, plain.dgamma, r.c * sizeof *again);
    free(mask), free(scratch), free(again), run_free(&plain), run_free(&r);
}

static void dropout(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_dropout(shapes[i]);
}

static void check_statistics(float mean)
{
    Run r = run_new((GroupNormDims){2, 500, 24, 8, 4, 1e-6f, false}, mean);
    Shape s = shape_of(&r.d);
    GradientCase c = {0};
    run(&r, 0);
    gradient_input(&c, 0, r.x, r.size);
    for (size_t i = 0; i < s.n * s.groups; i++) {
        double moments[2];
        reference_moments(moments, c.input[0] + i / s.groups * s.pixels * s.c, i % s.groups, s);
        assert_close((double)r.stats[2 * i], moments[0], 6e-8 * (double)mean);
        assert_close((double)r.stats[2 * i + 1], 1 / sqrt(moments[1] + 1e-6), 3e-7);
    }
    gradient_release(&c), run_free(&r);
}

/* Standard deviation 1: squares summed in float about zero would lose 4 of 7 digits at a mean of
 * 100, and all of them at 30,000, where the chunks' own means are rounded to 0.002. */
static void statistics_far_from_zero(void **state)
{
    (void)state;
    check_statistics(100.0f);
    check_statistics(30000.0f);
}

/* One pixel that is nothing like the others. */
static void statistics_with_an_outlier(void **state)
{
    (void)state;
    Run r = run_new((GroupNormDims){1, 200, 8, 0, 2, 1e-6f, false}, 0.0f);
    GradientCase c = {0};
    for (size_t j = 0; j < 8; j++) r.x[j] = r.a[j] = 3000.0f;
    run(&r, 0);
    gradient_input(&c, 0, r.x, r.size);
    for (size_t g = 0; g < 2; g++) {
        double moments[2];
        reference_moments(moments, c.input[0], g, shape_of(&r.d));
        assert_close((double)r.stats[2 * g + 1] * sqrt(moments[1]), 1, 1e-6);
    }
    gradient_release(&c), run_free(&r);
}

static void a_constant_group_gives_beta(void **state)
{
    (void)state;
    Run r = run_new((GroupNormDims){1, 50, 4, 0, 2, 1e-6f, false}, 0.0f);
    for (size_t i = 0; i < r.size; i++) r.a[i] = 0.3f;
    run(&r, 0);
    for (size_t i = 0; i < r.size; i++) assert_close((double)r.y[i], (double)r.beta[i % 4], 1e-4);
    run_free(&r);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    GroupNormDims d = {3, 333, 20, 12, 8, 1e-6f, true};
    Run first = run_new(d, 1.0f);
    parallel_setup(1);
    run(&first, 0);
    for (int threads = 2; threads <= 4; threads++) {
        Run other = run_new(d, 1.0f);
        parallel_setup(threads);
        run(&other, 0);
        assert_memory_equal(other.stats, first.stats, 3 * 8 * 2 * sizeof(float));
        assert_memory_equal(other.y, first.y, first.size * sizeof(float));
        assert_memory_equal(other.dx, first.dx, first.size * sizeof(float));
        assert_memory_equal(other.dgamma, first.dgamma, first.c * sizeof(float));
        assert_memory_equal(other.dbeta, first.dbeta, first.c * sizeof(float));
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
        cmocka_unit_test(in_place),
        cmocka_unit_test(dropout),
        cmocka_unit_test(statistics_far_from_zero),
        cmocka_unit_test(statistics_with_an_outlier),
        cmocka_unit_test(a_constant_group_gives_beta),
        cmocka_unit_test(threads_do_not_change_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
