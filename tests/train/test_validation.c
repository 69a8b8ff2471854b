#include "train/validation.h"

#include "base/parallel.h"
#include "data/dataset_open.h"
#include "data/pixels.h"
#include "diffusion/schedule.h"
#include "model/network.h"

#include <math.h>

enum { IMAGES = 45, SIZE = 16 * 16 * 3 };

typedef struct {
    Config config;
    Dataset set;
    Trainer *trainer;
} Case;

/* The trainer keeps the config where it is. */
static Case *new_case(Prediction prediction, int micro_batch)
{
    Err err;
    Case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->config = config_default();
    c->config.data.format = DATA_SHAPES;
    c->config.model = network_rgb16();
    c->config.diffusion.prediction = prediction;
    c->config.train.batch_size = 8;
    c->config.train.micro_batch = micro_batch;
    c->config.train.validate_images = IMAGES;
    if (!config_check(&c->config, &err) ||
        !dataset_open(&c->set, &c->config.data, DATASET_TEST, 16, 16, 3, &err))
        fail_msg("%s", err.text);
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

static Validation run(const Case *c)
{
    Validation v;
    assert_true(validation_run(&v, c->trainer, &c->config, &c->set, NULL, NULL));
    return v;
}

static void assert_means_close(const ValidationMean *a, const ValidationMean *b, double bound)
{
    assert_close(a->mean, b->mean, bound * b->mean);
    assert_close(a->error, b->error, bound * b->mean);
    for (int q = 0; q < LOSS_QUARTERS; q++) {
        assert_close(a->quarter_mean[q], b->quarter_mean[q], bound * b->quarter_mean[q]);
        assert_close(a->quarter_error[q], b->quarter_error[q], bound * b->quarter_mean[q]);
    }
}

/* ---- what is looked at ---- */

static void images_are_spread_over_the_set(void **state)
{
    (void)state;
    for (int j = 0; j < 7; j++) assert_int_equal(dataset_spread(j, 7, 7), j);
    assert_int_equal(dataset_spread(0, 3, 10), 0);
    assert_int_equal(dataset_spread(1, 3, 10), 3);
    assert_int_equal(dataset_spread(2, 3, 10), 6);
    assert_int_equal(dataset_spread((1 << 24) - 1, 1 << 24, 1 << 30), (1 << 30) - 64);
}

/* Any stretch of them has about as many in each quarter, and all t occur. */
static void every_stretch_of_images_has_all_quarters(void **state)
{
    (void)state;
    enum { T = 1000 };
    static int seen[T];
    for (int first = 0; first < 4000; first += 37) {
        int quarters[LOSS_QUARTERS] = {0};
        for (int j = first; j < first + 100; j++)
            quarters[trainer_quarter(validation_entry(j, T), T)]++;
        for (int q = 0; q < LOSS_QUARTERS; q++) assert_in_range(quarters[q], 23, 27);
    }
    for (int j = 0; j < 4 * T; j++) seen[validation_entry(j, T)]++;
    for (int i = 0; i < T; i++) assert_in_range(seen[i], 2, 6);
    for (int j = 0; j < 1000; j++) assert_in_range(validation_entry(j, 2), 0, 1);
}

/* ---- the numbers ---- */

/* The mean, and the standard error by the textbook, of the values whose quarter is `quarter`. */
static double plain_mean(double *error, const double *values, const int *quarters, int n,
                         int quarter)
{
    double mean = 0, squares = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (quarters[i] == quarter) mean += values[i], count++;
    mean /= count;
    for (int i = 0; i < n; i++)
        if (quarters[i] == quarter) squares += (values[i] - mean) * (values[i] - mean);
    *error = sqrt(squares / (count - 1) / count);
    return mean;
}

/* Each image alone through the trainer, and the means of it all again. */
static void the_means_are_those_of_the_images(void **state)
{
    (void)state;
    Case *c = new_case(PREDICT_V, 8);
    Validation v = run(c);
    double losses[IMAGES], all = 0, spread = 0;
    int quarters[IMAGES];
    for (int j = 0; j < IMAGES; j++) {
        TrainerBatch b = trainer_batch(c->trainer);
        assert_int_equal(b.size, SIZE);
        pixels_to_floats(b.x_0, dataset_image(&c->set, dataset_spread(j, IMAGES, c->set.count)),
                         SIZE);
        rng_normal(b.epsilon, SIZE, (RngKey){.image = (uint32_t)j, .stream = RNG_VALIDATION});
        b.entry[0] = validation_entry(j, 1000);
        quarters[j] = b.entry[0] / 250;
        trainer_evaluate(c->trainer, trainer_state(c->trainer)->ema[0], 1);
        losses[j] = b.loss[0];
        all += losses[j] / IMAGES;
    }
    assert_int_equal(v.images, IMAGES);
    assert_close(v.loss.mean, all, 1e-5 * all);
    for (int q = 0; q < LOSS_QUARTERS; q++) {
        double error, mean = plain_mean(&error, losses, quarters, IMAGES, q);
        int count = 0;
        for (int j = 0; j < IMAGES; j++) count += quarters[j] == q;
        assert_close(v.loss.quarter_mean[q], mean, 1e-5 * mean);
        assert_close(v.loss.quarter_error[q], error, 1e-4 * error);
        spread += pow(error * count / IMAGES, 2);
    }
    assert_close(v.loss.error, sqrt(spread), 1e-4 * sqrt(spread));
    free_case(c);
}

/* The loss of a training step without dropout is the same. */
static void a_loss_is_that_of_training(void **state)
{
    (void)state;
    Case *c = new_case(PREDICT_EPSILON, 8);
    TrainState *s = trainer_state(c->trainer);
    float *x_0 = test_normals(8 * SIZE, 1), *epsilon = test_normals(8 * SIZE, 2);
    const int t[8] = {1, 2, 50, 250, 251, 600, 999, 1000};
    TrainerBatch b = trainer_batch(c->trainer);
    memcpy(b.x_0, x_0, 8 * SIZE * sizeof *x_0);
    memcpy(b.epsilon, epsilon, 8 * SIZE * sizeof *epsilon);
    for (int i = 0; i < 8; i++) b.entry[i] = t[i] - 1;
    trainer_evaluate(c->trainer, s->weights, 8);
    double mean = 0;
    for (int i = 0; i < 8; i++) mean += b.loss[i] / 8;
    StepReport report;
    trainer_step_on(c->trainer, &report, x_0, epsilon, t);
    assert_close(mean, report.loss, 1e-12);
    free(x_0), free(epsilon);
    free_case(c);
}

/* With x_t given, e = x_0's error: epsilon's is sqrt(SNR) e, v's e / sqrt(1 - alpha-bar), that of
 * the posterior's mean coef_x0 e. */
static void the_noise_is_judged_whatever_is_predicted(void **state)
{
    (void)state;
    for (int prediction = PREDICT_EPSILON; prediction <= PREDICT_V; prediction++) {
        Arena arena;
        Schedule s;
        Err err;
        Case *c = new_case((Prediction)prediction, 8);
        c->config.train.validate_images = 8;
        run(c);
        assert_true(arena_init(&arena, schedule_bytes(1000), "test", &err));
        schedule_init(&s, &arena, &c->config.diffusion);
        TrainerBatch b = trainer_batch(c->trainer);
        for (int i = 0; i < 8; i++) {
            int entry = validation_entry(i, 1000);
            double of_x_0[] = {[PREDICT_EPSILON] = 1 / s.snr[entry],
                               [PREDICT_X0] = 1,
                               [PREDICT_MEAN] = pow(s.coef_x0[entry], -2),
                               [PREDICT_V] = 1 - s.alpha_bar[entry]};
            double expected = s.snr[entry] * of_x_0[prediction] * b.loss[i];
            assert_close(b.noise_error[i], expected, 1e-9 * expected);
        }
        arena_release(&arena);
        free_case(c);
    }
}

/* ---- what must make no difference ---- */

static void threads_and_micro_batches_make_no_difference(void **state)
{
    (void)state;
    parallel_setup(3); /* a network has memory for as many as there are when it is made */
    Case *c = new_case(PREDICT_V, 8), *other = new_case(PREDICT_V, 3);
    Validation first = run(c), split = run(other);
    for (int threads = 1; threads <= 3; threads++) {
        parallel_setup(threads);
        Validation again = run(c);
        again.seconds = first.seconds;
        assert_memory_equal(&again, &first, sizeof first);
    }
    parallel_setup(0);
    assert_means_close(&split.loss, &first.loss, 1e-5);
    assert_means_close(&split.noise, &first.noise, 1e-5);
    free_case(c), free_case(other);
}

static void steps_do_not_see_it(void **state)
{
    (void)state;
    Case *c = new_case(PREDICT_EPSILON, 8), *other = new_case(PREDICT_EPSILON, 8);
    StepReport report;
    for (int step = 0; step < 3; step++) {
        run(c);
        trainer_step(c->trainer, &report);
        trainer_step(other->trainer, &report);
    }
    TrainState *a = trainer_state(c->trainer), *b = trainer_state(other->trainer);
    size_t bytes = unet_params(trainer_unet(c->trainer))->floats * sizeof(float);
    assert_memory_equal(a->weights, b->weights, bytes);
    assert_memory_equal(a->ema[0], b->ema[0], bytes);
    assert_memory_equal(a->adam_v, b->adam_v, bytes);
    free_case(c), free_case(other);
}

static void few_images_are_enough(void **state)
{
    (void)state;
    Case *c = new_case(PREDICT_V, 8);
    c->set.count = 1;
    Validation v = run(c);
    assert_int_equal(v.images, 1);
    assert_true(isfinite(v.loss.mean));
    assert_true(isnan(v.loss.error));
    int quarters = 0;
    for (int q = 0; q < LOSS_QUARTERS; q++) quarters += isfinite(v.loss.quarter_mean[q]);
    assert_int_equal(quarters, 1);
    free_case(c);
}

static bool stop_at_third(void *context)
{
    return ++*(int *)context == 3;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    Case *c = new_case(PREDICT_V, 8);
    Validation v;
    int asked = 0;
    assert_false(validation_run(&v, c->trainer, &c->config, &c->set, stop_at_third, &asked));
    assert_int_equal(asked, 3);
    free_case(c);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_spread_over_the_set),
        cmocka_unit_test(every_stretch_of_images_has_all_quarters),
        cmocka_unit_test(the_means_are_those_of_the_images),
        cmocka_unit_test(a_loss_is_that_of_training),
        cmocka_unit_test(the_noise_is_judged_whatever_is_predicted),
        cmocka_unit_test(threads_and_micro_batches_make_no_difference),
        cmocka_unit_test(steps_do_not_see_it),
        cmocka_unit_test(few_images_are_enough),
        cmocka_unit_test(it_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
