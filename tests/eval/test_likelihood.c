/*
 * The bound over a data set, with a network. What it is made of is tested in diffusion; here, that
 * the images, their classes and the network are those that were meant.
 */
#include "eval/likelihood.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "data/pixels.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"
#include "evaluated.h"
#include "support.h"

#include <math.h>

enum { T = 30, SIZE = 8 * 8 * 3 };

static Likelihood measure(const Evaluated *e, LikelihoodOptions options)
{
    Err err;
    Likelihood out;
    if (!likelihood_measure(&out, &e->model, &e->set, &options, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_false(out.partial);
    assert_int_equal(out.total.count, options.images);
    assert_int_equal(out.rows, likelihood_rows(&options, &e->diffusion));
    assert_true(out.network_seconds > 0 && out.network_seconds <= out.seconds);
    return out;
}

/* ---- the numbers ---- */

/* The bound's terms of one image by the loss that trains on them, the network asked for it alone.
 */
static double plain_bound(const Evaluated *e, const Schedule *s, int j, int index)
{
    float x_0[SIZE], x_t[SIZE], out[2 * SIZE], step;
    DiffusionConfig vlb = e->diffusion;
    vlb.loss = LOSS_VLB;
    double sum = 0;
    pixels_to_floats(x_0, dataset_image(&e->set, index), SIZE);
    for (int i = 0; i < T; i++) {
        RngKey key = {.seed = 3, .image = (uint32_t)j, .step = (uint32_t)i + 1};
        key.stream = RNG_EVAL_NOISE;
        rng_normal(x_t, SIZE, key);
        diffuse(x_t, x_0, x_t, s->alpha_bar[i], SIZE);
        step = (float)i;
        UnetInput input = {x_t, &step, &e->set.labels[index], 1};
        unet_forward(e->model.unet, out, input, e->weights, NULL);
        LossImage image = {64, 3, x_0, x_t, NULL, out};
        sum += loss_image(NULL, &image, &vlb, s, i, 1) / T;
    }
    return sum;
}

static void it_is_the_sum_of_the_images_terms(void **state)
{
    (void)state;
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_LEARNED_RANGE; v++) {
        Evaluated e;
        Err err;
        Arena arena;
        Schedule s;
        evaluated_open(&e, v, T, 10, 7);
        if (!arena_init(&arena, schedule_bytes(T), "test", &err)) fail_msg("%s", err.text);
        schedule_init(&s, &arena, &e.diffusion);
        Likelihood l = measure(&e, (LikelihoodOptions){.images = 4, .seed = 3});
        Moments expected = {0};
        for (int j = 0; j < 4; j++) moments_add(&expected, plain_bound(&e, &s, j, j * 10 / 4));
        double terms = l.total.mean - l.prior.mean;
        assert_close(terms, expected.mean, 2e-5 * expected.mean);
        double by_t = 0;
        for (int i = 0; i < T; i++) by_t += l.by_t[i].mean;
        assert_close(by_t, terms, 1e-9 * terms);
        assert_close(l.by_t[0].mean, l.decoder.mean, 1e-12 * l.decoder.mean);
        assert_true(moments_error(&l.total) > 0);
        likelihood_release(&l), arena_release(&arena), evaluated_close(&e);
    }
}

/* The same images: what they differ by comes of the noise and of which t were drawn, which is less
 * than the errors that are stated. */
static void a_budget_agrees_with_all_t(void **state)
{
    (void)state;
    for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_LEARNED_RANGE; v++) {
        Evaluated e;
        evaluated_open(&e, v, T, 40, 32);
        Likelihood full = measure(&e, (LikelihoodOptions){.images = 40, .clip = true});
        for (int budget = 4; budget <= 12; budget += 8) {
            LikelihoodOptions options = {.images = 40, .budget = budget, .clip = true};
            Likelihood some = measure(&e, options);
            double error = hypot(moments_error(&some.total), moments_error(&full.total));
            assert_close(some.total.mean, full.total.mean, 3 * error);
            assert_true(error < 0.25 * full.total.mean);
            assert_close(some.prior.mean, full.prior.mean, 0);
            assert_close(some.decoder.mean, full.decoder.mean, 1e-5 * full.decoder.mean);
            likelihood_release(&some);
        }
        likelihood_release(&full), evaluated_close(&e);
    }
}

static void classes_matter(void **state)
{
    (void)state;
    Evaluated e;
    evaluated_open(&e, VARIANCE_FIXED_SMALL, T, 20, 8);
    LikelihoodOptions options = {.images = 20, .budget = 6, .clip = true};
    Likelihood with = measure(&e, options);
    int32_t *labels = e.set.labels;
    e.set.labels = NULL;
    Likelihood without = measure(&e, options);
    e.set.labels = labels;
    assert_true(fabs(with.total.mean - without.total.mean) > 1e-4 * with.total.mean);
    likelihood_release(&with), likelihood_release(&without), evaluated_close(&e);
}

/* ---- what must make no difference ---- */

/* A network takes memory for as many threads as there are then, so that they can only get fewer. */
static void rows_and_threads_make_no_difference(void **state)
{
    (void)state;
    static const int rows[] = {16, 5};
    for (int budget = 0; budget < 6; budget += 5) {
        LikelihoodOptions options = {.images = budget ? 20 : 4, .budget = budget, .clip = true};
        Likelihood first = {0};
        for (int k = 0; k < 2; k++) {
            Evaluated e;
            parallel_setup(3);
            evaluated_open(&e, VARIANCE_LEARNED_RANGE, T, 30, rows[k]);
            Likelihood l = measure(&e, options);
            if (k == 0) first = l;
            assert_close(l.total.mean, first.total.mean, 1e-6 * first.total.mean);
            assert_close(l.total.squares, first.total.squares, 1e-4 * first.total.squares);
            parallel_setup(1);
            Likelihood again = measure(&e, options);
            assert_memory_equal(&again.total, &l.total, sizeof l.total);
            assert_memory_equal(again.by_t, l.by_t, T * sizeof *l.by_t);
            likelihood_release(&again);
            if (k > 0) likelihood_release(&l);
            evaluated_close(&e);
        }
        likelihood_release(&first);
    }
}

static bool until(void *context, long done)
{
    return done < *(long *)context;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    Evaluated e;
    Err err;
    Likelihood l;
    long most = 55;
    evaluated_open(&e, VARIANCE_FIXED_SMALL, T, 30, 8);
    LikelihoodOptions options = {.images = 30, .budget = 5, .clip = true};
    assert_true(likelihood_measure(&l, &e.model, &e.set, &options, until, &most, &err));
    assert_true(l.partial);
    assert_int_equal(l.total.count, 56 / 5);
    assert_int_equal(l.rows, 56);
    likelihood_release(&l), evaluated_close(&e);
}

int main(void)
{
    parallel_setup(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_sum_of_the_images_terms),
        cmocka_unit_test(a_budget_agrees_with_all_t),
        cmocka_unit_test(classes_matter),
        cmocka_unit_test(rows_and_threads_make_no_difference),
        cmocka_unit_test(it_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
