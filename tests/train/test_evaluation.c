/* Figures while training, against the same ones asked for by hand. */
#include "train/evaluation.h"

#include "base/parallel.h"
#include "data/dataset_open.h"
#include "data/pixels.h"
#include "eval/likelihood.h"
#include "model/network.h"
#include "support.h"

#include <math.h>

enum { IMAGES = 10, SIZE = 16 * 16 * 3 };

typedef struct {
    Config config;
    Dataset set;
    Trainer *trainer;
} Case;

/* The trainer keeps the config where it is. `count` of the test part are held out. */
static Case *new_case(int count)
{
    Err err;
    Case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->config = config_default();
    c->config.data = (DataConfig){.format = DATA_SHAPES, .validation = VALIDATION_TEST};
    c->config.model = network_rgb16();
    c->config.diffusion.timesteps = 30;
    c->config.diffusion.beta_end = 0.3;
    c->config.train.batch_size = 8;
    c->config.train.micro_batch = 4;
    c->config.train.evaluate_every = 1;
    c->config.train.evaluate_images = IMAGES;
    c->config.train.seed = 3;
    c->config.sample.sampler = SAMPLER_DDIM;
    c->config.sample.steps = 3;
    if (!config_check(&c->config, &err) ||
        !dataset_open(&c->set, &c->config.data, DATASET_TEST, 16, 16, 3, &err))
        fail_msg("%s", err.text);
    c->set.count = count;
    c->trainer = trainer_new(&c->config, &c->set, &err);
    if (!c->trainer) fail_msg("%s", err.text);
    /* the EMA is what is looked at; a new network says next to nothing */
    float *weights = network_random_weights(trainer_unet(c->trainer), 5);
    size_t floats = unet_params(trainer_unet(c->trainer))->floats;
    memcpy(trainer_state(c->trainer)->ema[0], weights, floats * sizeof *weights);
    free(weights);
    return c;
}

static void free_case(Case *c)
{
    trainer_free(c->trainer);
    dataset_release(&c->set);
    free(c);
}

static EvaluationResult evaluate(const Case *c, int times)
{
    Evaluation e;
    EvaluationResult result = {0};
    bool stopped = true;
    Err err;
    if (!evaluation_init(&e, c->trainer, &c->config, &c->set, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < times; i++)
        if (!evaluation_run(&result, &stopped, &e, NULL, NULL, &err)) fail_msg("%s", err.text);
    assert_false(stopped);
    evaluation_release(&e);
    return result;
}

static void bits_are_the_likelihood_s(void **state)
{
    (void)state;
    Case *c = new_case(3 * IMAGES);
    EvaluationResult result = evaluate(c, 1);
    EvalModel model = {.unet = trainer_unet(c->trainer),
                       .weights = trainer_state(c->trainer)->ema[0],
                       .diffusion = &c->config.diffusion,
                       .rows = 4};
    LikelihoodOptions options = {.images = IMAGES, .budget = 20, .clip = true};
    Likelihood bound;
    Err err;
    if (!likelihood_measure(&bound, &model, &c->set, &options, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(result.bits.count, IMAGES);
    assert_close(result.bits.mean, bound.total.mean, 1e-12);
    assert_close(moments_error(&result.bits), moments_error(&bound.total), 1e-12);
    assert_close(result.prior.mean, bound.prior.mean, 1e-12);
    assert_close(result.decoder.mean, bound.decoder.mean, 1e-12);
    likelihood_release(&bound);
    free_case(c);
}

/* The images that the config's own sampler draws, in batches of another size. */
static void samples_are_the_config_s(void **state)
{
    (void)state;
    Case *c = new_case(3 * IMAGES);
    EvaluationResult result = evaluate(c, 1);
    SamplerConfig sampler = config_sampler(&c->config);
    Conditioning none = {.guidance = 1};
    Generator g;
    SlicedWasserstein expected;
    Err err;
    Dataset samples = {IMAGES, 16, 16, 3, 0, NULL, NULL};
    float *x = test_floats(SIZE);
    assert_true(dataset_allocate(&samples, false, "a test", &err));
    if (!generator_init(&g, trainer_unet(c->trainer), trainer_state(c->trainer)->ema[0],
                        &c->config.diffusion, &sampler, &none, 1, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < IMAGES; i++) {
        assert_true(generator_batch(&g, x, NULL, (uint32_t)i, 1, NULL, NULL));
        pixels_to_bytes(dataset_image(&samples, i), x, SIZE);
    }
    assert_true(sliced_wasserstein(&expected, &samples, &c->set, 0, NULL, NULL, &err));
    assert_int_equal(result.images, IMAGES);
    assert_int_equal(result.wasserstein.levels, expected.levels);
    /* a grey level here or there, from the batches */
    assert_close(result.wasserstein.distance, expected.distance, 0.01 * expected.distance);
    assert_close(result.wasserstein.error, expected.error, 0.05 * expected.error);
    generator_release(&g);
    dataset_release(&samples);
    free(x);
    free_case(c);
}

/* Of images of the data: below that of a random network's, and the same each time. */
static void the_floor_is_of_the_data(void **state)
{
    (void)state;
    Case *c = new_case(3 * IMAGES);
    EvaluationResult once = evaluate(c, 1), twice = evaluate(c, 2);
    assert_true(once.floor > 0 && once.floor < 0.7 * once.wasserstein.distance);
    assert_close(twice.floor, once.floor, 0);
    assert_close(twice.floor_error, once.floor_error, 0);
    assert_close(twice.bits.mean, once.bits.mean, 0);
    assert_close(twice.wasserstein.distance, once.wasserstein.distance, 0);
    assert_true(once.seconds > 0);
    free_case(c);
    /* one image too few for two halves */
    c = new_case(2 * IMAGES - 1);
    once = evaluate(c, 1);
    assert_true(isnan(once.floor) && isnan(once.floor_error));
    free_case(c);
    /* and no more images than there are */
    c = new_case(4);
    once = evaluate(c, 1);
    assert_int_equal(once.images, 4);
    assert_int_equal(once.bits.count, 4);
    free_case(c);
}

static bool stop_after(void *context)
{
    int *left = context;
    return --*left < 0;
}

/* Wherever it is stopped there is no result, and the next one is as if it had not been. */
static void stopping(void **state)
{
    (void)state;
    Case *c = new_case(3 * IMAGES);
    Evaluation e;
    EvaluationResult whole = evaluate(c, 1), result;
    Err err;
    int asked = 1 << 30;
    bool stopped;
    if (!evaluation_init(&e, c->trainer, &c->config, &c->set, &err)) fail_msg("%s", err.text);
    assert_true(evaluation_run(&result, &stopped, &e, stop_after, &asked, &err));
    assert_false(stopped);
    int times = (1 << 30) - asked;
    assert_true(times > 60);
    evaluation_release(&e);
    if (!evaluation_init(&e, c->trainer, &c->config, &c->set, &err)) fail_msg("%s", err.text);
    for (int at = 0; at < times; at += 1 + times / 7) {
        int left = at;
        assert_true(evaluation_run(&result, &stopped, &e, stop_after, &left, &err));
        assert_true(stopped);
    }
    assert_true(evaluation_run(&result, &stopped, &e, NULL, NULL, &err));
    assert_false(stopped);
    assert_close(result.bits.mean, whole.bits.mean, 0);
    assert_close(result.wasserstein.distance, whole.wasserstein.distance, 0);
    assert_close(result.floor, whole.floor, 0);
    evaluation_release(&e);
    free_case(c);
}

static void the_text(void **state)
{
    (void)state;
    char text[EVALUATION_TEXT];
    EvaluationResult r = {.images = 9, .bits = {.count = 2, .mean = 3.5, .squares = 0.0008}};
    r.wasserstein.distance = 41.24, r.wasserstein.error = 3.1;
    r.floor = 12.3, r.floor_error = 2.2;
    evaluation_text(text, &r);
    assert_string_equal(text, "9 images: 3.5 +- 0.02 bits/dim; sliced Wasserstein of as many "
                              "samples 41.24 +- 3.1 (12.3 +- 2.2 of as many of the data)");
    r.floor = NAN;
    evaluation_text(text, &r);
    assert_string_equal(text, "9 images: 3.5 +- 0.02 bits/dim; sliced Wasserstein of as many "
                              "samples 41.24 +- 3.1");
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_the_likelihood_s),
        cmocka_unit_test(samples_are_the_config_s),
        cmocka_unit_test(the_floor_is_of_the_data),
        cmocka_unit_test(stopping),
        cmocka_unit_test(the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
