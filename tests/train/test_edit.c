/* What begins at images, with a network of random weights. */
#include "train/edit.h"

#include "base/parallel.h"
#include "diffusion/predict.h"
#include "model/network.h"
#include "support.h"

#include <math.h>

enum { N = 3 };

typedef struct {
    Unet *unet;
    float *weights, *x_0; /* x_0 [N,size] */
    Generator generator;
} Model;

static Model open_model(SamplerKind kind, int steps)
{
    Err err;
    ModelConfig config = network_rgb16();
    DiffusionConfig diffusion = {
        .timesteps = 20, .schedule = SCHEDULE_LINEAR, .beta_start = 0.01, .beta_end = 0.3};
    SamplerConfig sampler = {.kind = kind, .steps = steps, .clip = true, .seed = 11};
    Conditioning none = {.guidance = 1};
    Model m = {.unet = network_new(config, N, UNET_SAMPLE)};
    m.weights = network_random_weights(m.unet, 7);
    if (!generator_init(&m.generator, m.unet, m.weights, &diffusion, &sampler, &none, N, &err))
        fail_msg("%s", err.text);
    m.x_0 = test_floats(N * m.generator.size);
    for (size_t k = 0; k < N * m.generator.size; k++) m.x_0[k] = 0.9f * sinf((float)k);
    return m;
}

static void close_model(Model *m)
{
    generator_release(&m->generator);
    unet_free(m->unet);
    free(m->weights), free(m->x_0);
}

static void start_is_the_part_rounded_and_at_least_one(void **state)
{
    (void)state;
    Model m = open_model(SAMPLER_DDIM, 10);
    static const struct {
        double strength;
        int steps;
    } cases[] = {{1, 10}, {0.74, 7}, {0.75, 8}, {0.01, 1}, {0.1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        edit_start(&m.generator, cases[i].strength);
        assert_int_equal(generator_steps(&m.generator), cases[i].steps);
    }
    close_model(&m);
}

/* At the alpha-bar of the timestep where the walk begins, with the noise that x_T would be. */
static void diffused_images_are_at_the_start_of_the_walk(void **state)
{
    (void)state;
    static const int timesteps[] = {1, 7, 14, 20};
    Model m = open_model(SAMPLER_DDIM, 4);
    Generator *g = &m.generator;
    float *x_t = test_floats(N * g->size), *expected = test_floats(N * g->size);
    for (int steps = 1; steps <= 4; steps++) {
        edit_start(g, steps / 4.0);
        edit_diffuse(x_t, g, m.x_0, 5, N);
        sampler_draw_x_T(expected, N, g->size, 11, 5);
        for (size_t i = 0; i < N; i++)
            diffuse(expected + i * g->size, m.x_0, expected + i * g->size,
                    g->schedule.alpha_bar[timesteps[steps - 1] - 1], g->size);
        assert_memory_equal(x_t, expected, N * g->size * sizeof *x_t);
    }
    free(x_t), free(expected), close_model(&m);
}

typedef struct {
    int64_t last;
    int times, stop; /* stop: after so many times; 0: never */
} Count;

static bool count_calls(void *context, int calls_done)
{
    Count *count = context;
    assert_true(calls_done > count->last);
    count->last = calls_done;
    return ++count->times != count->stop;
}

static void what_is_inverted_is_drawn_again(void **state)
{
    (void)state;
    Model m = open_model(SAMPLER_DDIM, 20);
    Generator *g = &m.generator;
    float *x_t = test_floats(N * g->size), *back = test_floats(N * g->size);
    for (int half = 0; half <= 1; half++) {
        Count count = {0};
        if (half) edit_start(g, 0.5);
        assert_true(edit_invert(g, x_t, m.x_0, N, 12, count_calls, &count));
        assert_int_equal(count.times, half ? 10 : 20);
        assert_int_equal(count.last, edit_invert_calls(g, 12));
        assert_true(generator_batch(g, back, x_t, 0, N, NULL, NULL));
        assert_arrays_close(back, m.x_0, N * g->size, 0, 0.02);
    }
    free(x_t), free(back), close_model(&m);
}

static void inpainting_makes_the_calls_it_says(void **state)
{
    (void)state;
    Model m = open_model(SAMPLER_DDPM, 7);
    Generator *g = &m.generator;
    Count count = {0};
    float *out = test_floats(N * g->size);
    uint8_t *fill = calloc(g->size, 1);
    for (size_t k = 0; k < g->size; k += 2) fill[k] = 1;
    Inpainting inpainting = {m.x_0, fill, 2, 2};
    assert_true(edit_inpaint(g, out, &inpainting, NULL, 0, N, count_calls, &count));
    assert_int_equal(count.last, 13);
    assert_int_equal(edit_inpaint_calls(g, &inpainting), 13);
    for (size_t k = 0; k < N * g->size; k++)
        if (fill[k % g->size])
            assert_true(isfinite(out[k]) && out[k] != m.x_0[k % g->size]);
        else
            assert_true(out[k] == m.x_0[k % g->size]);
    free(out), free(fill), close_model(&m);
}

static void each_can_be_stopped(void **state)
{
    (void)state;
    Model m = open_model(SAMPLER_DDIM, 7);
    Generator *g = &m.generator;
    float *out = test_floats(N * g->size);
    uint8_t *fill = calloc(g->size, 1);
    Inpainting inpainting = {m.x_0, fill, 2, 2};
    Count up = {.stop = 3}, down = {.stop = 3};
    assert_false(edit_invert(g, out, m.x_0, N, 2, count_calls, &up));
    assert_false(edit_inpaint(g, out, &inpainting, NULL, 0, N, count_calls, &down));
    assert_int_equal(up.last, 6);
    assert_int_equal(down.last, 3);
    assert_true(isnan(out[0])); /* nothing was put out */
    free(out), free(fill), close_model(&m);
}

/* With a weight that is none. */
static void each_ends_where_numbers_are_not_finite(void **state)
{
    (void)state;
    Model m = open_model(SAMPLER_DDIM, 7);
    Generator *g = &m.generator;
    float *out = test_floats(N * g->size);
    uint8_t *fill = calloc(g->size, 1);
    Inpainting inpainting = {m.x_0, fill, 2, 2};
    Count up = {0}, down = {0};
    Err err;
    m.weights[0] = NAN;
    assert_false(edit_invert(g, out, m.x_0, N, 2, count_calls, &up));
    assert_false(generator_check(g, &err));
    assert_int_equal(err.kind, ERR_DIVERGED);
    assert_false(edit_inpaint(g, out, &inpainting, NULL, 0, N, count_calls, &down));
    assert_false(generator_check(g, &err));
    assert_int_equal(up.times + down.times, 0); /* at the first step */
    assert_true(isnan(out[0]));
    free(out), free(fill), close_model(&m);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_is_the_part_rounded_and_at_least_one),
        cmocka_unit_test(diffused_images_are_at_the_start_of_the_walk),
        cmocka_unit_test(what_is_inverted_is_drawn_again),
        cmocka_unit_test(inpainting_makes_the_calls_it_says),
        cmocka_unit_test(each_can_be_stopped),
        cmocka_unit_test(each_ends_where_numbers_are_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
