#include "nn/linear.h"

#include "base/parallel.h"
#include "gradient.h"
#include "support.h"

/* Inputs: x, w, bias. */
static void reference(double *y, double *const *input, const void *dims)
{
    const LinearDims *d = dims;
    size_t in = (size_t)d->in, out = (size_t)d->out;
    for (size_t r = 0; r < (size_t)d->rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = input[2][o];
            for (size_t i = 0; i < in; i++) sum += input[0][r * in + i] * input[1][i * out + o];
            y[r * out + o] = sum;
        }
}

typedef struct {
    LinearDims d;
    size_t size_x, size_w, size_y;
    float *x, *w, *bias, *dy;
    float *y, *dx, *dw, *dbias;
} Run;

/* The inputs become the run's. */
static Run run_on(LinearDims d, float *x, float *w, float *bias, float *dy)
{
    size_t rows = (size_t)d.rows, in = (size_t)d.in, out = (size_t)d.out;
    Run r = {.d = d, .size_x = rows * in, .size_w = in * out, .size_y = rows * out};
    r.x = x, r.w = w, r.bias = bias, r.dy = dy;
    r.y = test_floats(r.size_y), r.dx = test_floats(r.size_x);
    r.dw = test_normals(r.size_w, 5), r.dbias = test_normals(out, 6);
    return r;
}

static Run run_new(LinearDims d)
{
    size_t rows = (size_t)d.rows, in = (size_t)d.in, out = (size_t)d.out;
    return run_on(d, test_normals(rows * in, 1), test_normals(in * out, 2), test_normals(out, 3),
                  test_normals(rows * out, 4));
}

static void run(Run *r, bool accumulate)
{
    if (accumulate) {
        memcpy(r->y, r->dy, r->size_y * sizeof(float));
        memcpy(r->dx, r->x, r->size_x * sizeof(float));
    }
    linear_forward(r->y, r->x, r->w, r->bias, accumulate, &r->d);
    linear_backward_input(r->dx, r->dy, r->w, accumulate, &r->d);
    linear_backward_weight(r->dw, r->dbias, r->dy, r->x, &r->d);
}

static void run_free(Run *r)
{
    free(r->x), free(r->w), free(r->bias), free(r->dy);
    free(r->y), free(r->dx), free(r->dw), free(r->dbias);
}

static void subtract(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] -= y[i];
}

static void subtract_normals(float *x, size_t n, uint32_t seed)
{
    float *normals = test_normals(n, seed);
    subtract(x, normals, n);
    free(normals);
}

/* A fixture's tensor of shape [n,c,pixels] as [n,pixels,c]; a weight [out,in] as [in,out]. */
static float *turned(const Safetensors *file, const char *name, const char *tensor, int n, int c,
                     int pixels)
{
    float *stored = test_fixture_floats(file, NULL, "%s.%s", name, tensor);
    float *x = test_nchw_to_nhwc(stored, n, c, 1, pixels);
    free(stored);
    return x;
}

/* Against PyTorch; with one pixel a plain linear layer, with more a 1x1 convolution. */
static void check_fixture(const char *name, int n, int pixels, int in, int out)
{
    Safetensors file = test_fixture("layers");
    Run r = run_on((LinearDims){n * pixels, in, out}, turned(&file, name, "x", n, in, pixels),
                   turned(&file, name, "weight", 1, out, in),
                   test_fixture_floats(&file, NULL, "%s.bias", name),
                   turned(&file, name, "dy", n, out, pixels));
    float *y = turned(&file, name, "y", n, out, pixels);
    float *dx = turned(&file, name, "grad.x", n, in, pixels);
    float *dw = turned(&file, name, "grad.weight", 1, out, in);
    float *dbias = test_fixture_floats(&file, NULL, "%s.grad.bias", name);
    run(&r, false);
    subtract_normals(r.dw, r.size_w, 5);
    subtract_normals(r.dbias, (size_t)out, 6);
    assert_arrays_close(r.y, y, r.size_y, 5e-5, 0);
    assert_arrays_close(r.dx, dx, r.size_x, 2e-4, 0);
    assert_arrays_close(r.dw, dw, r.size_w, 2e-4, 0);
    assert_arrays_close(r.dbias, dbias, (size_t)out, 2e-4, 0);
    free(y), free(dx), free(dw), free(dbias), run_free(&r), safetensors_release(&file);
}

static void fixtures(void **state)
{
    (void)state;
    check_fixture("linear", 6, 1, 20, 12);
    check_fixture("conv1x1", 2, 25, 24, 40);
}

static void check(LinearDims d, bool accumulate)
{
    Run r = run_new(d);
    GradientCase c = {.forward = reference, .dims = &r.d, .dy = r.dy, .outputs = r.size_y};
    run(&r, accumulate);
    if (accumulate) subtract(r.y, r.dy, r.size_y), subtract(r.dx, r.x, r.size_x);
    subtract_normals(r.dw, r.size_w, 5);
    subtract_normals(r.dbias, (size_t)d.out, 6);
    gradient_input(&c, 0, r.x, r.size_x), gradient_input(&c, 1, r.w, r.size_w);
    gradient_input(&c, 2, r.bias, (size_t)d.out);
    float *expected = gradient_reference(&c);
    assert_arrays_close(r.y, expected, r.size_y, 1e-5, 0);
    assert_gradient(&c, 0, r.dx);
    assert_gradient(&c, 1, r.dw);
    assert_gradient(&c, 2, r.dbias);
    free(expected), gradient_release(&c), run_free(&r);
}

static void values_and_gradients_at_odd_shapes(void **state)
{
    (void)state;
    static const LinearDims shapes[] = {
        {1, 1, 1}, {1, 5, 7}, {3, 17, 1}, {130, 9, 33}, {70, 65, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int accumulate = 0; accumulate < 2; accumulate++) check(shapes[i], accumulate);
}

static void without_a_bias(void **state)
{
    (void)state;
    Run r = run_new((LinearDims){20, 6, 5});
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        float *y = test_floats(r.size_y), *zeros = calloc(5, sizeof(float));
        memcpy(y, r.dy, r.size_y * sizeof *y), memcpy(r.y, y, r.size_y * sizeof *y);
        linear_forward(y, r.x, r.w, zeros, accumulate, &r.d);
        linear_forward(r.y, r.x, r.w, NULL, accumulate, &r.d);
        assert_arrays_close(r.y, y, r.size_y, 1e-6, 0);
        free(y), free(zeros);
    }
    linear_backward_weight(r.dw, NULL, r.dy, r.x, &r.d);
    run_free(&r);
}

/* [a | b] w is a times w's first rows plus b times its last. */
static void two_calls_make_a_concatenation(void **state)
{
    (void)state;
    enum { ROWS = 40, A = 7, B = 12, OUT = 9 };
    Run r = run_new((LinearDims){ROWS, A + B, OUT});
    float *a = test_floats(ROWS * A), *b = test_floats(ROWS * B), *y = test_floats(ROWS * OUT);
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(a + i * A, r.x + i * (A + B), A * sizeof *a);
        memcpy(b + i * B, r.x + i * (A + B) + A, B * sizeof *b);
    }
    run(&r, false);
    linear_forward(y, a, r.w, r.bias, false, &(LinearDims){ROWS, A, OUT});
    linear_forward(y, b, r.w + A * OUT, NULL, true, &(LinearDims){ROWS, B, OUT});
    assert_arrays_close(y, r.y, ROWS * OUT, 1e-6, 0);
    free(a), free(b), free(y), run_free(&r);
}

/* A mean of 1000 over 100,000 rows: a float's running sum would be off by thousands of ulps. */
static void column_sums_are_precise(void **state)
{
    (void)state;
    enum { ROWS = 100001, C = 3 };
    float *x = test_normals(ROWS * C, 1), sums[C] = {1, 2, 3};
    double expected[C] = {1, 2, 3};
    for (size_t i = 0; i < ROWS * C; i++) expected[i % C] += (double)(x[i] += 1000.0f);
    linear_column_sums(sums, x, ROWS, C);
    for (int j = 0; j < C; j++) assert_close((double)sums[j], expected[j], 2e-7 * expected[j]);
    free(x);
}

/* More columns than one strip holds. */
static void column_sums_of_wide_rows(void **state)
{
    (void)state;
    enum { ROWS = 37, C = 1203 };
    float *x = test_normals(ROWS * C, 1);
    float *sums = calloc(C, sizeof *sums), *expected = calloc(C, sizeof *expected);
    for (size_t j = 0; j < C; j++) {
        double sum = 0;
        for (size_t i = 0; i < ROWS; i++) sum += (double)x[i * C + j];
        expected[j] = (float)sum;
    }
    linear_column_sums(sums, x, ROWS, C);
    assert_arrays_close(sums, expected, C, 1e-6, 0);
    free(x), free(sums), free(expected);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    LinearDims d = {1001, 67, 39};
    Run first = run_new(d);
    parallel_setup(1);
    run(&first, false);
    for (int threads = 2; threads <= 4; threads++) {
        Run other = run_new(d);
        parallel_setup(threads);
        run(&other, false);
        assert_memory_equal(other.y, first.y, first.size_y * sizeof(float));
        assert_memory_equal(other.dx, first.dx, first.size_x * sizeof(float));
        assert_memory_equal(other.dw, first.dw, first.size_w * sizeof(float));
        assert_memory_equal(other.dbias, first.dbias, 39 * sizeof(float));
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
        cmocka_unit_test(without_a_bias),
        cmocka_unit_test(two_calls_make_a_concatenation),
        cmocka_unit_test(column_sums_are_precise),
        cmocka_unit_test(column_sums_of_wide_rows),
        cmocka_unit_test(threads_do_not_change_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
