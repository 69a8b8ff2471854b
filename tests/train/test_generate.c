/* Guidance against the network asked by hand, one class at a time, and mixed in double. */
#include "train/generate.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "diffusion/predict.h"
#include "model/network.h"
#include "support.h"

#include <math.h>
#include <stdio.h>

enum { N = 3, CLASSES = 9 }; /* the network has ten rows: one for no class */

static const int32_t list[] = {4, 0, 8, 4};

typedef struct {
    Unet *unet;
    float *weights;
    size_t size;
    DiffusionConfig diffusion;
    SamplerConfig sampler;
} Model;

static Model open_model(bool learned, Prediction prediction)
{
    ModelConfig config = network_classes();
    if (!learned) config.out_channels = config.channels;
    Model m = {.unet = network_new(config, 2 * N, UNET_SAMPLE)};
    m.weights = network_random_weights(m.unet, 7);
    m.size = (size_t)config.height * (size_t)config.width * (size_t)config.channels;
    m.diffusion = (DiffusionConfig){
        .timesteps = 20, .schedule = SCHEDULE_LINEAR, .beta_start = 0.01, .beta_end = 0.3};
    m.diffusion.prediction = prediction;
    m.diffusion.variance = learned ? VARIANCE_LEARNED_RANGE : VARIANCE_FIXED_LARGE;
    m.sampler = (SamplerConfig){.kind = SAMPLER_DDPM,
                                .steps = 4,
                                .variance = m.diffusion.variance,
                                .prediction = prediction,
                                .learned_variance = learned,
                                .channels = config.channels,
                                .seed = 11};
    return m;
}

static void close_model(Model *m)
{
    unet_free(m->unet);
    free(m->weights);
}

static void generate(float *out, const Model *m, const Conditioning *classes, uint32_t first, int n)
{
    Generator g;
    Err err;
    if (!generator_init(&g, m->unet, m->weights, &m->diffusion, &m->sampler, classes, n, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < (size_t)n * m->size; i++) out[i] = NAN;
    assert_true(generator_batch(&g, out, NULL, first, n, NULL, NULL));
    generator_release(&g);
}

/* ---- by hand ---- */

typedef struct {
    const Model *model;
    const Conditioning *classes;
    uint32_t first;
} Hand;

static float *ask(const Model *m, const float *x, int t, const int32_t *labels, int n)
{
    const ModelConfig *c = unet_config(m->unet);
    float *out = test_floats((size_t)n * m->size / (size_t)c->channels * (size_t)c->out_channels);
    float steps[N];
    for (int i = 0; i < n; i++) steps[i] = (float)(t - 1);
    unet_forward(m->unet, out, (UnetInput){x, steps, labels, n}, m->weights, NULL);
    return out;
}

static void denoise_by_hand(void *context, float *out, const float *x, int t, int n)
{
    const Hand *hand = context;
    const Conditioning *c = hand->classes;
    const ModelConfig *m = unet_config(hand->model->unet);
    int32_t some[N], none[N];
    for (int i = 0; i < n; i++) {
        some[i] = c->list[(hand->first + (uint32_t)i) % (uint32_t)c->listed];
        none[i] = CLASSES;
    }
    bool inside = c->to == 0 || (t >= c->from && t <= c->to);
    double W = inside ? c->guidance : 1;
    float *with = ask(hand->model, x, t, some, n), *without = ask(hand->model, x, t, none, n);
    size_t floats = (size_t)n * (size_t)(m->height * m->width * m->out_channels);
    for (size_t k = 0; k < floats; k++) {
        bool variance = k % (size_t)m->out_channels >= (size_t)m->channels;
        double mixed = (1 - W) * (double)without[k] + W * (double)with[k];
        float sure = W == 0 ? without[k] : with[k];
        out[k] = variance ? sure : (float)mixed;
    }
    free(with), free(without);
}

static float *by_hand(const Model *m, const Conditioning *classes, uint32_t first)
{
    Hand hand = {m, classes, first};
    SamplerConfig config = m->sampler;
    Arena arena;
    Schedule schedule;
    Sampler sampler;
    Err err;
    float *out = test_floats(N * m->size);
    config.first_image = first;
    size_t bytes = schedule_bytes(m->diffusion.timesteps) + sampler_bytes(&config, N, m->size);
    if (!arena_init(&arena, bytes, "a test", &err)) fail_msg("%s", err.text);
    schedule_init(&schedule, &arena, &m->diffusion);
    sampler_init(&sampler, &arena, &config, &schedule, NULL, N, m->size);
    while (sampler_step(&sampler, denoise_by_hand, &hand)) continue;
    sampler_result(out, &sampler);
    arena_release(&arena);
    return out;
}

static void check(Model *m, Conditioning classes)
{
    float *expected = by_hand(m, &classes, 2), *out = test_floats(N * m->size);
    generate(out, m, &classes, 2, N);
    assert_arrays_close(out, expected, N * m->size, 2e-5, 0);
    free(out), free(expected);
}

static void guidance_is_that_of_two_calls(void **state)
{
    (void)state;
    static const double weights[] = {0, 0.5, 1, 3};
    for (int learned = 0; learned < 2; learned++)
        for (int p = 0; prediction_names[p]; p++) {
            Model m = open_model(learned, (Prediction)p);
            for (size_t w = 0; w < 4; w++)
                check(&m, (Conditioning){CLASSES, list, 4, weights[w], 0, 0});
            check(&m, (Conditioning){CLASSES, list, 4, 3, 5, 14});
            check(&m, (Conditioning){CLASSES, list, 4, 0, 5, 14});
            close_model(&m);
        }
}

/* ---- what guidance is not ---- */

static void one_is_the_class_and_zero_is_none(void **state)
{
    (void)state;
    Model m = open_model(false, PREDICT_EPSILON);
    float *one = test_floats(N * m.size), *other = test_floats(N * m.size);
    const int32_t fours[] = {4, 4, 4}, none[] = {CLASSES};
    generate(one, &m, &(Conditioning){CLASSES, fours, 3, 1, 0, 0}, 0, N);
    generate(other, &m, &(Conditioning){CLASSES, fours, 1, 1, 0, 0}, 0, N);
    assert_memory_equal(one, other, N * m.size * sizeof *one);
    generate(one, &m, &(Conditioning){CLASSES, list, 4, 0, 0, 0}, 0, N);
    generate(other, &m, &(Conditioning){CLASSES + 1, none, 1, 1, 0, 0}, 0, N);
    assert_memory_equal(one, other, N * m.size * sizeof *one);
    /* an interval that holds no step of the chain */
    generate(one, &m, &(Conditioning){CLASSES, list, 4, 3, 2, 2}, 0, N);
    generate(other, &m, &(Conditioning){CLASSES, list, 4, 1, 0, 0}, 0, N);
    assert_memory_equal(one, other, N * m.size * sizeof *one);
    /* and guidance is not nothing */
    generate(one, &m, &(Conditioning){CLASSES, list, 4, 3, 0, 0}, 0, N);
    double most = 0;
    for (size_t k = 0; k < N * m.size; k++) most = fmax(most, fabs((double)(one[k] - other[k])));
    assert_true(most > 0.01);
    free(one), free(other);
    close_model(&m);
}

static void an_image_is_the_same_alone(void **state)
{
    (void)state;
    Model m = open_model(true, PREDICT_V);
    Conditioning classes = {CLASSES, list, 4, 2.5, 3, 18};
    float *all = test_floats(N * m.size), *alone = test_floats(m.size);
    generate(all, &m, &classes, 5, N);
    generate(alone, &m, &classes, 6, 1);
    assert_arrays_close(alone, all + m.size, m.size, 2e-5, 0);
    free(all), free(alone);
    close_model(&m);
}

/* The same answers give the same bits, whoever gives them. */
static void a_denoiser_stands_in_for_a_network(void **state)
{
    (void)state;
    Model m = open_model(false, PREDICT_V);
    Conditioning classes = {CLASSES, list, 4, 1, 0, 0};
    Hand hand = {&m, &classes, 1};
    GeneratorDenoiser denoiser = {denoise_by_hand, &hand, m.size};
    float *network = test_floats(N * m.size), *out = test_floats(N * m.size);
    Generator g;
    Err err;
    generate(network, &m, &classes, 1, N);
    if (!generator_init_denoiser(&g, &denoiser, &m.diffusion, &m.sampler, N, &err))
        fail_msg("%s", err.text);
    assert_int_equal(generator_calls(&g), 4);
    assert_true(generator_batch(&g, out, NULL, 1, N, NULL, NULL));
    assert_memory_equal(out, network, N * m.size * sizeof *out);
    generator_release(&g);
    free(network), free(out);
    close_model(&m);
}

/* From t = `from` on down one number is `bad`. */
typedef struct {
    float bad;
    int from, first_t, calls; /* first_t: where it was first */
} Broken;

static void denoise_badly(void *context, float *out, const float *x_t, int t, int n)
{
    Broken *b = context;
    enum { SIZE = 12 };
    for (size_t k = 0; k < (size_t)n * SIZE; k++) out[k] = 0.1f * x_t[k];
    b->calls++;
    if (t > b->from) return;
    out[(size_t)n * SIZE - 1] = b->bad;
    if (b->first_t == 0) b->first_t = t;
}

/* Clipped or not, no pixel is made of what is no number, by any sampler. */
static void numbers_that_are_not_finite_end_a_batch(void **state)
{
    (void)state;
    enum { SIZE = 12 };
    static const float bads[] = {NAN, INFINITY, -INFINITY};
    DiffusionConfig diffusion = {
        .timesteps = 20, .schedule = SCHEDULE_COSINE, .beta_start = 0.01, .beta_end = 0.3};
    for (int k = 0; k < 3 * 4 * 2; k++) {
        SamplerConfig sampler = {.kind = (SamplerKind)(k / 6), .steps = 10, .clip = k % 2};
        Broken broken = {.bad = bads[k / 2 % 3], .from = 12};
        GeneratorDenoiser denoiser = {denoise_badly, &broken, SIZE};
        float out[N * SIZE];
        char words[32];
        Generator g;
        Err err;
        for (int i = 0; i < N * SIZE; i++) out[i] = 7;
        if (!generator_init_denoiser(&g, &denoiser, &diffusion, &sampler, N, &err))
            fail_msg("%s", err.text);
        assert_false(generator_batch(&g, out, NULL, 0, N, NULL, NULL));
        assert_false(generator_check(&g, &err));
        assert_int_equal(err.kind, ERR_DIVERGED);
        assert_in_range(broken.first_t, 9, 12);
        assert_in_range(broken.calls, 2, generator_calls(&g) - 2);
        snprintf(words, sizeof words, "at t = %d of 20 ", broken.first_t);
        if (!strstr(err.text, words)) fail_msg("%s, not %s", err.text, words);
        assert_true(out[0] == 7); /* nothing was put out */
        broken.from = 0;
        assert_true(generator_batch(&g, out, NULL, 0, N, NULL, NULL));
        assert_true(generator_check(&g, &err));
        generator_release(&g);
    }
}

/* Mixing what is predicted mixes the x_0 that follow, whatever it is. */
static void mixtures_of_predictions_are_mixtures_of_x_0(void **state)
{
    (void)state;
    enum { SIZE = 64, T = 20 };
    const DiffusionConfig config = {
        .timesteps = T, .schedule = SCHEDULE_LINEAR, .beta_start = 0.01, .beta_end = 0.3};
    const double W = 3;
    Arena arena;
    Schedule schedule;
    Err err;
    if (!arena_init(&arena, schedule_bytes(T), "a test", &err)) fail_msg("%s", err.text);
    schedule_init(&schedule, &arena, &config);
    float *draws = test_normals(3 * SIZE, 3);
    double x_t[SIZE], u[SIZE], c[SIZE], mixed[SIZE];
    for (int p = 0; prediction_names[p]; p++)
        for (int i = 1; i < T; i += 6) {
            for (int k = 0; k < SIZE; k++) {
                x_t[k] = (double)draws[k];
                u[k] = (double)draws[SIZE + k];
                c[k] = (double)draws[2 * SIZE + k];
                mixed[k] = u[k] + W * (c[k] - u[k]);
            }
            double *outputs[] = {u, c, mixed};
            for (int o = 0; o < 3; o++)
                predict_x0(outputs[o], outputs[o], x_t, (Prediction)p, &schedule, i, SIZE);
            for (int k = 0; k < SIZE; k++)
                assert_close(mixed[k], u[k] + W * (c[k] - u[k]), 1e-9 * (1 + fabs(mixed[k])));
        }
    free(draws);
    arena_release(&arena);
}

static void classes_follow_the_index(void **state)
{
    (void)state;
    Conditioning all = {.count = CLASSES, .guidance = 1};
    Conditioning some = {CLASSES, list, 4, 1, 0, 0}, none = {.guidance = 1};
    assert_int_equal(conditioning_class(&all, 0), 0);
    assert_int_equal(conditioning_class(&all, 4294967295u), 4294967295u % CLASSES);
    assert_int_equal(conditioning_class(&some, 6), 8);
    assert_int_equal(conditioning_class(&none, 3), -1);
    all.guidance = 0;
    assert_int_equal(conditioning_class(&all, 3), -1);
    all.from = 1, all.to = 9; /* elsewhere the class counts */
    assert_int_equal(conditioning_class(&all, 3), 3);
    assert_int_equal(conditioning_rows(&some, 5), 5);
    some.guidance = 2;
    assert_int_equal(conditioning_rows(&some, 5), 10);
    none.guidance = 2;
    assert_int_equal(conditioning_rows(&none, 5), 5);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guidance_is_that_of_two_calls),
        cmocka_unit_test(one_is_the_class_and_zero_is_none),
        cmocka_unit_test(an_image_is_the_same_alone),
        cmocka_unit_test(a_denoiser_stands_in_for_a_network),
        cmocka_unit_test(numbers_that_are_not_finite_end_a_batch),
        cmocka_unit_test(mixtures_of_predictions_are_mixtures_of_x_0),
        cmocka_unit_test(classes_follow_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
