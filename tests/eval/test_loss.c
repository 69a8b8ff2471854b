#include "eval/loss.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "data/pixels.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"
#include "evaluated.h"
#include "support.h"

#include <math.h>

enum { T = 30, SIZE = 8 * 8 * 3 };

static LossMeasured measure(const Evaluated *e, LossOptions options)
{
    Err err;
    LossMeasured out;
    if (!loss_measure(&out, &e->model, &e->set, &options, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_false(out.partial);
    assert_int_equal(out.network.epsilon.all.count, options.images);
    assert_int_equal(out.oracle.x_0.all.count, options.known ? options.images : 0);
    assert_int_equal(out.rows, EVAL_TENTHS * options.images);
    assert_true(out.network_seconds > 0 && out.network_seconds <= out.seconds);
    return out;
}

/* ---- by hand ---- */

typedef struct {
    const Evaluated *e;
    Arena arena;
    Schedule schedule;
    uint64_t seed;
} Plain;

static Plain plain_new(const Evaluated *e, uint64_t seed)
{
    Err err;
    Plain p = {.e = e, .seed = seed};
    if (!arena_init(&p.arena, schedule_bytes(T), "test", &err)) fail_msg("%s", err.text);
    schedule_init(&p.schedule, &p.arena, &e->diffusion);
    return p;
}

/* x_t of image j of `of` in a tenth of the chain, and its entry. */
static int plain_x_t(float x_0[SIZE], float x_t[SIZE], const Plain *p, int j, int of, int tenth)
{
    const Dataset *set = &p->e->set;
    RngKey key = {.seed = p->seed, .image = (uint32_t)j, .stream = RNG_EVAL_TIMESTEP};
    key.part = EVAL_LOSS_PART;
    double u = rng_below(1 << 24, (uint32_t)tenth, key) * 0x1p-24;
    int i = (int)(T * (tenth + u) / EVAL_TENTHS);
    key.stream = RNG_EVAL_NOISE, key.step = (uint32_t)i + 1, key.part += (uint32_t)tenth;
    pixels_to_floats(x_0, dataset_image(set, j * set->count / of), SIZE);
    rng_normal(x_t, SIZE, key);
    diffuse(x_t, x_0, x_t, p->schedule.alpha_bar[i], SIZE);
    return i;
}

static double mean_square(const double *a, const float *b)
{
    double sum = 0;
    for (int k = 0; k < SIZE; k++) sum += pow(a[k] - (double)b[k], 2) / SIZE;
    return sum;
}

/* x_0 as the network has it, asked for this row alone. */
static void plain_network(double x_0[SIZE], const Plain *p, const float *x_t, int i, int label)
{
    int channels = loss_output_channels(&p->e->diffusion, 3);
    float out[2 * SIZE], step = (float)i;
    double said[SIZE], x[SIZE];
    int32_t labels[1] = {label};
    UnetInput input = {x_t, &step, labels, 1};
    unet_forward(p->e->model.unet, out, input, p->e->weights, NULL);
    for (int k = 0; k < SIZE; k++)
        said[k] = (double)out[k / 3 * channels + k % 3], x[k] = (double)x_t[k];
    predict_x0(x_0, said, x, p->e->diffusion.prediction, &p->schedule, i, SIZE);
}

/* E[x_0 | x_t] of the images of a class of a set, and their mirror images. */
static void plain_oracle(double x_0[SIZE], const Dataset *known, const float *x_t, double a,
                         int class)
{
    double exponents[200], most = -1e300, total = 0;
    float x[200][SIZE];
    for (int i = 0; i < 2 * known->count; i++) {
        const uint8_t *bytes = dataset_image(known, i % known->count);
        pixels_to_floats(x[i], bytes, SIZE);
        if (i >= known->count) pixels_to_floats_mirrored(x[i], bytes, 8, 8, 3);
        exponents[i] = 0;
        for (int k = 0; k < SIZE; k++)
            exponents[i] -= pow((double)x_t[k] - sqrt(a) * (double)x[i][k], 2) / (2 * (1 - a));
        if (known->labels[i % known->count] != class) exponents[i] = -1e300;
        most = fmax(most, exponents[i]);
    }
    memset(x_0, 0, SIZE * sizeof *x_0);
    for (int i = 0; i < 2 * known->count; i++) {
        double w = exp(exponents[i] - most);
        total += w;
        for (int k = 0; k < SIZE; k++) x_0[k] += w * (double)x[i][k];
    }
    for (int k = 0; k < SIZE; k++) x_0[k] /= total;
}

/* ---- the numbers ---- */

enum { IMAGES = 6 };

typedef struct {
    LossErrors network, oracle;
} Expected;

static void expect(LossErrors *errors, int tenth, double snr, double x_0[SIZE], const float *truth,
                   double sums[2])
{
    double epsilon = snr * mean_square(x_0, truth);
    for (int k = 0; k < SIZE; k++) x_0[k] = predict_clip(x_0[k]);
    double clipped = mean_square(x_0, truth);
    moments_add(&errors->epsilon.tenths[tenth], epsilon);
    moments_add(&errors->x_0.tenths[tenth], clipped);
    sums[0] += epsilon / EVAL_TENTHS, sums[1] += clipped / EVAL_TENTHS;
    if (tenth < EVAL_TENTHS - 1) return;
    moments_add(&errors->epsilon.all, sums[0]);
    moments_add(&errors->x_0.all, sums[1]);
}

static Expected expected_of(const Plain *p, const Dataset *known)
{
    Expected expected = {0};
    for (int j = 0; j < IMAGES; j++) {
        double network[2] = {0}, oracle[2] = {0};
        int label = p->e->set.labels[j * p->e->set.count / IMAGES];
        for (int tenth = 0; tenth < EVAL_TENTHS; tenth++) {
            float x_0[SIZE], x_t[SIZE];
            double guess[SIZE];
            int i = plain_x_t(x_0, x_t, p, j, IMAGES, tenth);
            plain_network(guess, p, x_t, i, label);
            expect(&expected.network, tenth, p->schedule.snr[i], guess, x_0, network);
            plain_oracle(guess, known, x_t, p->schedule.alpha_bar[i], label);
            expect(&expected.oracle, tenth, p->schedule.snr[i], guess, x_0, oracle);
        }
    }
    return expected;
}

static void assert_moments(const Moments *actual, const Moments *expected, double bound)
{
    assert_int_equal(actual->count, expected->count);
    assert_close(actual->mean, expected->mean, bound * expected->mean + 1e-7);
    assert_close(moments_error(actual), moments_error(expected), bound * expected->mean + 1e-7);
}

static void assert_errors(const LossErrors *actual, const LossErrors *expected)
{
    assert_moments(&actual->epsilon.all, &expected->epsilon.all, 1e-4);
    assert_moments(&actual->x_0.all, &expected->x_0.all, 1e-4);
    for (int k = 0; k < EVAL_TENTHS; k++) {
        assert_moments(&actual->epsilon.tenths[k], &expected->epsilon.tenths[k], 1e-4);
        assert_moments(&actual->x_0.tenths[k], &expected->x_0.tenths[k], 1e-4);
    }
}

/* The oracle of 50 other images and their mirror images, by classes as the network. */
static void errors_are_those_of_brute_force(void **state)
{
    (void)state;
    for (Variance v = VARIANCE_FIXED_LARGE; v <= VARIANCE_LEARNED_RANGE; v++) {
        Evaluated e;
        evaluated_open(&e, v, T, 63, 7);
        Dataset known = e.set;
        known.pixels += 13 * SIZE, known.labels += 13, known.count = 50;
        e.set.count = 13;
        Plain p = plain_new(&e, 4);
        Expected expected = expected_of(&p, &known);
        LossOptions options = {.images = IMAGES, .clip = true, .seed = 4};
        LossMeasured alone = measure(&e, options);
        options.known = &known, options.mirrored = true;
        LossMeasured both = measure(&e, options);
        assert_errors(&both.network, &expected.network);
        assert_errors(&both.oracle, &expected.oracle);
        assert_memory_equal(&both.network, &alone.network, sizeof both.network);
        double gap = expected.network.x_0.all.mean - expected.oracle.x_0.all.mean;
        assert_close(both.beyond.x_0.all.mean, gap, 1e-4 * fabs(gap));
        assert_int_equal(both.beyond.epsilon.tenths[4].count, IMAGES);
        arena_release(&p.arena), evaluated_close(&e);
    }
}

/* On its own images, and of all t together, nothing is better than the oracle. */
static void the_oracle_is_better_on_its_own_images(void **state)
{
    (void)state;
    Evaluated e;
    evaluated_open(&e, VARIANCE_FIXED_SMALL, T, 30, 16);
    LossMeasured l = measure(&e, (LossOptions){.images = 30, .clip = true, .known = &e.set});
    assert_true(l.oracle.epsilon.all.mean < 0.5 * l.network.epsilon.all.mean);
    for (int k = 0; k < EVAL_TENTHS; k++)
        assert_true(l.beyond.x_0.tenths[k].mean > 0 && l.beyond.epsilon.tenths[k].mean > 0);
    assert_true(l.oracle_seconds > 0);
    evaluated_close(&e);
}

/* ---- what must make no difference, and ends ---- */

static void rows_and_threads_make_no_difference(void **state)
{
    (void)state;
    static const int rows[] = {16, 3};
    LossMeasured first = {0};
    for (int k = 0; k < 2; k++) {
        Evaluated e;
        parallel_setup(3);
        evaluated_open(&e, VARIANCE_LEARNED_RANGE, T, 20, rows[k]);
        LossOptions options = {.images = 9, .clip = true, .known = &e.set};
        LossMeasured l = measure(&e, options);
        if (k == 0) first = l;
        assert_errors(&l.network, &first.network);
        assert_errors(&l.oracle, &first.oracle);
        parallel_setup(1);
        LossMeasured again = measure(&e, options);
        assert_memory_equal(&again.network, &l.network, sizeof l.network);
        assert_memory_equal(&again.oracle, &l.oracle, sizeof l.oracle);
        evaluated_close(&e);
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
    LossMeasured l;
    long most = 35;
    evaluated_open(&e, VARIANCE_FIXED_SMALL, T, 20, 8);
    LossOptions options = {.images = 20, .clip = true};
    assert_true(loss_measure(&l, &e.model, &e.set, &options, until, &most, &err));
    assert_true(l.partial);
    assert_int_equal(l.network.x_0.all.count, 4);
    assert_int_equal(l.rows, 40);
    evaluated_close(&e);
}

int main(void)
{
    parallel_setup(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_those_of_brute_force),
        cmocka_unit_test(the_oracle_is_better_on_its_own_images),
        cmocka_unit_test(rows_and_threads_make_no_difference),
        cmocka_unit_test(it_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
