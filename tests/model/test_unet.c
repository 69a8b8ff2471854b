#include "base/parallel.h"
#include "model/network.h"

#include <math.h>
#include <stdio.h>

/* A call of a network with all that it needs, and what the fixtures say comes out. */
typedef struct {
    Unet *unet;
    float *weights, *x, *dy, *y, *dx, *dweights;
    float t[4];
    int32_t labels[4];
    int n;
    size_t in, out; /* floats of x and of y */
} Case;

static size_t image_floats(const Case *c, int channels)
{
    const ModelConfig *config = unet_config(c->unet);
    return (size_t)config->height * (size_t)config->width * (size_t)channels;
}

static Case new_case(ModelConfig config, int n)
{
    Case c = {.unet = network_new(config, n, UNET_TRAIN), .n = n};
    c.in = (size_t)n * image_floats(&c, config.channels);
    c.out = (size_t)n * image_floats(&c, config.out_channels);
    c.y = test_floats(c.out);
    c.dx = test_floats(c.in);
    c.dweights = test_floats(unet_params(c.unet)->floats);
    memset(c.dweights, 0, unet_params(c.unet)->floats * sizeof *c.dweights);
    return c;
}

static Case random_case(ModelConfig config, int n, uint32_t seed)
{
    Case c = new_case(config, n);
    c.weights = network_random_weights(c.unet, seed);
    c.x = test_normals(c.in, seed + 1000);
    c.dy = test_normals(c.out, seed + 2000);
    for (int i = 0; i < n; i++) {
        c.t[i] = (float)(37 + 211 * i);
        c.labels[i] = (3 + 5 * i) % 10;
    }
    return c;
}

static void free_case(Case *c)
{
    unet_free(c->unet);
    free(c->weights), free(c->x), free(c->dy), free(c->y), free(c->dx), free(c->dweights);
}

static void forward(Case *c, const RngKey *dropout)
{
    UnetInput input = {c->x, c->t, c->labels, c->n};
    unet_forward(c->unet, c->y, input, c->weights, dropout);
}

/* ---- against the reference ---- */

static Case fixture_case(ModelConfig config, const Safetensors *file)
{
    Case c = new_case(config, 2);
    int h = config.height, w = config.width;
    float *x = test_fixture_floats(file, NULL, "unet.x");
    float *dy = test_fixture_floats(file, NULL, "unet.dy");
    int *t = test_fixture_whole(file, NULL, "unet.t");
    c.x = test_nchw_to_nhwc(x, 2, config.channels, h, w);
    c.dy = test_nchw_to_nhwc(dy, 2, config.out_channels, h, w);
    c.weights = network_fixture(c.unet, file, "unet");
    for (int i = 0; i < 2; i++) c.t[i] = (float)t[i];
    if (config.num_classes > 0) {
        int *labels = test_fixture_whole(file, NULL, "unet.label");
        c.labels[0] = labels[0];
        c.labels[1] = labels[1];
        free(labels);
    }
    free(x), free(dy), free(t);
    return c;
}

static double largest(const float *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

static void compare_gradients(const Case *c, const Safetensors *file)
{
    const ParamTable *table = unet_params(c->unet);
    float *expected = network_fixture(c->unet, file, "unet.grad");
    double floor = 1e-6 * largest(expected, table->floats);
    for (int i = 0; i < table->count; i++) {
        const Param *param = &table->list[i];
        test_assert_arrays_close(c->dweights + param->offset, expected + param->offset,
                                 param->count, 2e-4, floor, param->name, __FILE__, __LINE__);
    }
    free(expected);
}

static void compare_with_fixture(const char *name, ModelConfig config)
{
    Safetensors file = test_fixture(name);
    Case c = fixture_case(config, &file);
    int h = config.height, w = config.width;
    float *y = test_fixture_floats(&file, NULL, "unet.y");
    float *dx = test_fixture_floats(&file, NULL, "unet.grad.x");
    float *expected_y = test_nchw_to_nhwc(y, 2, config.out_channels, h, w);
    float *expected_dx = test_nchw_to_nhwc(dx, 2, config.channels, h, w);
    forward(&c, NULL);
    assert_arrays_close(c.y, expected_y, c.out, 1e-4, 0);
    unet_backward(c.unet, c.dweights, c.dx, c.dy);
    assert_arrays_close(c.dx, expected_dx, c.in, 2e-4, 0);
    compare_gradients(&c, &file);
    free(y), free(dx), free(expected_y), free(expected_dx);
    free_case(&c);
    safetensors_release(&file);
}

static void equals_the_reference_rgb16(void **state)
{
    (void)state;
    compare_with_fixture("unet_rgb16", network_rgb16());
}

static void equals_the_reference_gray28(void **state)
{
    (void)state;
    compare_with_fixture("unet_gray28", network_gray28());
}

static void equals_the_reference_classes(void **state)
{
    (void)state;
    compare_with_fixture("unet_classes", network_classes());
}

/* ---- gradients against differences ---- */

/* <dy, y>, in double. */
static double loss(Case *c, const RngKey *dropout)
{
    forward(c, dropout);
    return test_dot(c->y, c->dy, c->out);
}

/* The derivative of the loss along `direction` of the `n` values at `at`, by central differences of
 * steps h and h/2, extrapolated (Richardson). */
static double difference(Case *c, float *at, const float *direction, size_t n, double h,
                         const RngKey *dropout)
{
    float *saved = test_floats(n);
    memcpy(saved, at, n * sizeof *saved);
    double slopes[2];
    for (int k = 0; k < 2; k++) {
        double step = k == 0 ? h : h / 2, sides[2];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < n; i++)
                at[i] = saved[i] + (float)((side ? step : -step) * (double)direction[i]);
            sides[side] = loss(c, dropout);
        }
        slopes[k] = (sides[1] - sides[0]) / (2 * step);
    }
    memcpy(at, saved, n * sizeof *saved);
    free(saved);
    return (4 * slopes[1] - slopes[0]) / 3;
}

/* Whether the gradient agrees with differences, along a direction in which the tensor's own
 * gradient is not small beside rounding: the gradient itself plus noise. `loss_size` is the size of
 * the sum that the loss is. */
static bool agrees(Case *c, float *at, const float *gradient, size_t n, double loss_size,
                   uint32_t seed, const RngKey *dropout)
{
    float *direction = test_normals(n, seed);
    double norm = sqrt(test_dot(gradient, gradient, n)), length = sqrt((double)n);
    for (size_t i = 0; i < n; i++)
        direction[i] = direction[i] / (float)length + (norm > 0 ? gradient[i] / (float)norm : 0);
    double size = sqrt(test_dot(at, at, n)), h = 2e-2 * (size > 0.1 ? size : 0.1) / 2;
    double expected = test_dot(gradient, direction, n);
    double actual = difference(c, at, direction, n, h, dropout);
    free(direction);
    /* rounding of the loss, over the step */
    double noise = 2e-6 * loss_size / h;
    return fabs(actual - expected) <= 2e-2 * fabs(expected) + noise;
}

static void check_every_parameter(ModelConfig config, uint32_t seed, const RngKey *dropout)
{
    Case c = random_case(config, 2, seed);
    loss(&c, dropout);
    double size = sqrt(test_dot(c.y, c.y, c.out) * (double)c.out);
    unet_backward(c.unet, c.dweights, c.dx, c.dy);
    const ParamTable *table = unet_params(c.unet);
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        if (!agrees(&c, c.weights + p->offset, c.dweights + p->offset, p->count, size,
                    seed + 100 + (uint32_t)i, dropout))
            fail_msg("the gradient of %s does not agree with differences", p->name);
    }
    if (!agrees(&c, c.x, c.dx, c.in, size, seed + 99, dropout))
        fail_msg("the gradient of x does not agree with differences");
    free_case(&c);
}

static void every_gradient_agrees_with_differences(void **state)
{
    (void)state;
    check_every_parameter(network_classes(), 5, NULL);
}

/* Not square, levels of different widths, foreign variants of the embedding and the padding. */
static ModelConfig odd_network(void)
{
    ModelConfig c = network_rgb16();
    c.height = 12;
    c.width = 20;
    c.levels = 3;
    c.channel_mult[1] = 3;
    c.channel_mult[2] = 2;
    c.attention_count = 1;
    c.attention_resolutions[0] = 6;
    c.attention_head_dim = 4;
    c.flip_sin_to_cos = true;
    c.freq_shift = 0;
    c.downsample_padding = 1;
    c.norm_eps = 1e-5;
    return c;
}

static void every_gradient_agrees_in_an_odd_network_with_dropout(void **state)
{
    (void)state;
    ModelConfig config = odd_network();
    config.dropout = 0.3;
    RngKey key = {.seed = 3, .step = 11, .image = 2};
    check_every_parameter(config, 17, &key);
}

static void a_wrong_gradient_is_caught(void **state)
{
    (void)state;
    Case c = random_case(network_rgb16(), 2, 5);
    forward(&c, NULL);
    double size = sqrt(test_dot(c.y, c.y, c.out) * (double)c.out);
    unet_backward(c.unet, c.dweights, c.dx, c.dy);
    const Param *p = params_find(unet_params(c.unet), "down_blocks.0.resnets.0.conv2.weight");
    float *weights = c.weights + p->offset, *gradient = c.dweights + p->offset;
    assert_true(agrees(&c, weights, gradient, p->count, size, 1, NULL));
    for (size_t i = 0; i < p->count; i++) gradient[i] *= 1.05f;
    assert_false(agrees(&c, weights, gradient, p->count, size, 1, NULL));
    free_case(&c);
}

/* ---- memory, batches, threads ---- */

static void weight_gradients_add_up(void **state)
{
    (void)state;
    Case c = random_case(odd_network(), 2, 23);
    size_t floats = unet_params(c.unet)->floats;
    forward(&c, NULL);
    unet_backward(c.unet, c.dweights, c.dx, c.dy);
    float *once = test_floats(floats);
    for (size_t i = 0; i < floats; i++) once[i] = 2 * c.dweights[i];
    forward(&c, NULL);
    unet_backward(c.unet, c.dweights, NULL, c.dy);
    assert_arrays_close(c.dweights, once, floats, 1e-6, 0);
    free(once);
    free_case(&c);
}

/* Memory is shared by lifetime: what the forward-only plan computes must not differ. */
static void sampling_computes_what_training_does(void **state)
{
    (void)state;
    Err err;
    Case c = random_case(network_classes(), 3, 31);
    float *expected = test_floats(c.out);
    forward(&c, NULL);
    memcpy(expected, c.y, c.out * sizeof *expected);
    assert_true(unet_reserve(c.unet, 3, UNET_SAMPLE, &err));
    for (int prepared = 0; prepared < 2; prepared++) {
        if (prepared) assert_true(unet_prepare(c.unet, c.weights, &err));
        for (size_t i = 0; i < c.out; i++) c.y[i] = NAN;
        forward(&c, NULL);
        assert_memory_equal(c.y, expected, c.out * sizeof *expected);
    }
    free(expected);
    free_case(&c);
}

static void an_image_does_not_depend_on_its_batch(void **state)
{
    (void)state;
    Case c = random_case(network_gray28(), 4, 41);
    float *all = test_floats(c.out);
    forward(&c, NULL);
    memcpy(all, c.y, c.out * sizeof *all);
    UnetInput last = {c.x + 3 * c.in / 4, c.t + 3, NULL, 1};
    unet_forward(c.unet, c.y, last, c.weights, NULL);
    assert_arrays_close(c.y, all + 3 * c.out / 4, c.out / 4, 1e-5, 0);
    free(all);
    free_case(&c);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    float *first_y = NULL, *first_gradient = NULL;
    for (int threads = 1; threads <= 4; threads++) {
        parallel_setup(threads);
        Case c = random_case(network_gray28(), 3, 7);
        size_t floats = unet_params(c.unet)->floats;
        RngKey key = {.seed = 1};
        forward(&c, &key);
        unet_backward(c.unet, c.dweights, c.dx, c.dy);
        if (threads == 1) {
            first_y = c.y;
            first_gradient = c.dweights;
            c.y = c.dweights = NULL;
        } else {
            assert_memory_equal(c.y, first_y, c.out * sizeof *c.y);
            assert_memory_equal(c.dweights, first_gradient, floats * sizeof *c.dweights);
        }
        free_case(&c);
    }
    free(first_y), free(first_gradient);
}

static void training_takes_more_memory_than_sampling(void **state)
{
    (void)state;
    Err err;
    size_t train, sample, one;
    Unet *unet = network_new(model_config_default(), 1, UNET_SAMPLE);
    assert_true(unet_memory(&train, unet, 16, UNET_TRAIN, &err));
    assert_true(unet_memory(&sample, unet, 16, UNET_SAMPLE, &err));
    assert_true(unet_memory(&one, unet, 1, UNET_SAMPLE, &err));
    assert_true(one < sample && sample < train / 2);
    unet_free(unet);
}

static void pixels_are_counted_before_there_is_memory_for_them(void **state)
{
    (void)state;
    ModelConfig config = model_config_default();
    Err err;
    size_t bytes;
    config.height = config.width = 4096;
    config.attention_resolutions[0] = 512;
    Unet *unet = unet_new(&config, true, &err);
    assert_non_null(unet);
    assert_true(unet_memory(&bytes, unet, 127, UNET_TRAIN, &err));
    assert_true(bytes > (size_t)1 << 40);
    assert_false(unet_memory(&bytes, unet, 128, UNET_TRAIN, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "128 images of 4096 x 4096 pixels are more at once"));
    assert_false(unet_reserve(unet, 1 << 20, UNET_SAMPLE, &err));
    unet_free(unet);
    config.attention_resolutions[0] = 4096;
    config.attention_head_dim = 1;
    unet = unet_new(&config, true, &err);
    assert_non_null(unet);
    assert_false(unet_memory(&bytes, unet, 1, UNET_TRAIN, &err));
    assert_non_null(
        strstr(err.text, "attentions.0: 1 images of 4096 x 4096 pixels, for each head"));
    unet_free(unet);
}

/* The calls an observer was told of: the blocks in order, then the same backwards. */
typedef struct {
    int blocks, forward, backward;
    double seconds;
    bool in_order;
} Calls;

static void count_call(void *context, int block, bool backward, double seconds)
{
    Calls *calls = context;
    int expected = backward ? calls->blocks - 1 - calls->backward++ : calls->forward++;
    calls->in_order &= block == expected && seconds >= 0;
    calls->seconds += seconds;
}

static void an_observer_is_told_of_every_call(void **state)
{
    (void)state;
    Case c = random_case(network_rgb16(), 2, 9);
    int blocks = unet_topology(c.unet)->count;
    Calls calls = {.blocks = blocks, .in_order = true};
    unet_observe(c.unet, (UnetObserver){count_call, &calls});
    forward(&c, NULL);
    assert_int_equal(calls.forward, blocks);
    assert_int_equal(calls.backward, 0);
    unet_backward(c.unet, c.dweights, NULL, c.dy);
    assert_int_equal(calls.forward, blocks);
    assert_int_equal(calls.backward, blocks);
    assert_true(calls.in_order);
    assert_true(calls.seconds > 0 && calls.seconds < 1000);
    unet_observe(c.unet, (UnetObserver){0});
    forward(&c, NULL);
    assert_int_equal(calls.forward, blocks);
    free_case(&c);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference_rgb16),
        cmocka_unit_test(equals_the_reference_gray28),
        cmocka_unit_test(equals_the_reference_classes),
        cmocka_unit_test(every_gradient_agrees_with_differences),
        cmocka_unit_test(every_gradient_agrees_in_an_odd_network_with_dropout),
        cmocka_unit_test(a_wrong_gradient_is_caught),
        cmocka_unit_test(weight_gradients_add_up),
        cmocka_unit_test(sampling_computes_what_training_does),
        cmocka_unit_test(an_image_does_not_depend_on_its_batch),
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(pixels_are_counted_before_there_is_memory_for_them),
        cmocka_unit_test(an_observer_is_told_of_every_call),
        cmocka_unit_test(training_takes_more_memory_than_sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
