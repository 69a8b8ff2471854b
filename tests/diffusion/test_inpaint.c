#include "base/parallel.h"
#include "chain.h"
#include "diffusion/inpaint.h"

/* ---- the walk ---- */

/* A denoiser that remembers at which t it was asked, and predicts nothing. */
typedef struct {
    int t[64], calls;
    size_t size;
} Witness;

static void witness_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    Witness *w = context;
    (void)x_t;
    assert_in_range(w->calls, 0, 63);
    w->t[w->calls++] = t;
    for (size_t k = 0; k < (size_t)n * w->size; k++) out[k] = 0;
}

/* The levels that are walked from, of a chain of `steps` of as many timesteps. */
static Witness walk(int steps, int jump_length, int resample)
{
    Chain full = chain_new(chain_config(SCHEDULE_LINEAR, steps));
    SamplerConfig config = {.kind = SAMPLER_DDIM, .steps = steps};
    Sampler sampler;
    Inpaint inpaint;
    Witness witness = {.size = 2};
    Arena arena = chain_arena(sampler_bytes(&config, 1, 2));
    sampler_init(&sampler, &arena, &config, &full.schedule, NULL, 1, 2);
    inpaint_init(&inpaint, &sampler, (float[]){0, 0}, (uint8_t[]){0, 1}, jump_length, resample);
    while (inpaint_step(&inpaint, witness_denoiser, &witness)) continue;
    assert_int_equal(witness.calls, inpaint_calls(steps, jump_length, resample));
    arena_release(&arena), chain_release(&full);
    return witness;
}

static void the_walk_goes_up_and_down_as_it_says(void **state)
{
    (void)state;
    static const struct {
        int steps, jump, resample, count, levels[40];
    } cases[] = {
        {7, 2, 2, 13, {7, 6, 7, 6, 5, 4, 5, 4, 3, 2, 3, 2, 1}},
        {7, 2, 1, 7, {7, 6, 5, 4, 3, 2, 1}},
        {4, 1, 3, 10, {4, 4, 4, 3, 3, 3, 2, 2, 2, 1}},
        {6, 4, 2, 10, {6, 5, 4, 3, 2, 5, 4, 3, 2, 1}},
        {3, 10, 3, 7, {3, 2, 3, 2, 3, 2, 1}}, /* a jump of 10 is one of 2 here */
        {2, 10, 2, 3, {2, 2, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Witness w = walk(cases[i].steps, cases[i].jump, cases[i].resample);
        assert_int_equal(w.calls, cases[i].count);
        for (int k = 0; k < w.calls; k++) assert_int_equal(w.t[k], cases[i].levels[k]);
    }
    assert_int_equal(inpaint_calls(250, 10, 10), 250 + 9 * 240); /* the paper's */
    assert_int_equal(inpaint_calls(1, 10, 10), 1);
    assert_int_equal(inpaint_jump(11, 10), 10);
    assert_int_equal(inpaint_jump(10, 10), 9);
    assert_int_equal(inpaint_jump(1, 10), 0);
}

/* ---- Gaussian data: pairs of pixels with mean m, deviation s, correlation r ---- */

static const double mean = 0.2, deviation = 0.4, correlation = 0.9;

typedef struct {
    const Schedule *full;
    size_t size;
} Optimal;

/* The optimal epsilon is sqrt(1 - a) C^-1 (x_t - sqrt(a) m), C = a Sigma + (1 - a) I, whose axes
 * are the sum and the difference of a pair. */
static void optimal_denoiser(void *context, float *out, const float *x_t, int t, int n)
{
    const Optimal *o = context;
    double a = o->full->alpha_bar[t - 1], power = a * deviation * deviation;
    double wide = power * (1 + correlation) + 1 - a, narrow = power * (1 - correlation) + 1 - a;
    for (size_t k = 0; k < (size_t)n * o->size; k += 2) {
        double x = (double)x_t[k] - sqrt(a) * mean, y = (double)x_t[k + 1] - sqrt(a) * mean;
        double sum = (x + y) / wide, difference = (x - y) / narrow;
        out[k] = (float)(sqrt(1 - a) * (sum + difference) / 2);
        out[k + 1] = (float)(sqrt(1 - a) * (sum - difference) / 2);
    }
}

enum { IMAGES = 120, PAIRS = 30, SIZE = 2 * PAIRS };

/* The first of each pair is known, the second to be filled in. */
static float *fill_in(SamplerConfig config, const Schedule *full, const float *x_0,
                      const uint8_t *fill, int n, int jump_length, int resample)
{
    Sampler sampler;
    Inpaint inpaint;
    Optimal optimal = {full, SIZE};
    Arena arena = chain_arena(sampler_bytes(&config, n, SIZE));
    sampler_init(&sampler, &arena, &config, full, NULL, n, SIZE);
    inpaint_init(&inpaint, &sampler, x_0, fill, jump_length, resample);
    while (inpaint_step(&inpaint, optimal_denoiser, &optimal)) continue;
    float *out = test_floats((size_t)n * SIZE);
    sampler_result(out, &sampler);
    arena_release(&arena);
    return out;
}

static void make_image(float *x_0, uint8_t *fill)
{
    for (int k = 0; k < SIZE; k++) {
        x_0[k] = k % 2 ? NAN : (float)(mean + deviation * (2.0 * k / SIZE - 1));
        fill[k] = (uint8_t)(k % 2);
    }
}

typedef struct {
    double slope, variance; /* of what was filled in, on what is beside it */
} Regression;

static Regression regress(const float *out)
{
    double xx = 0, xy = 0, rest = 0;
    for (size_t k = 0; k < IMAGES * SIZE; k += 2) {
        double x = (double)out[k] - mean, y = (double)out[k + 1] - mean;
        xx += x * x, xy += x * y;
    }
    for (size_t k = 0; k < IMAGES * SIZE; k += 2)
        rest += pow((double)out[k + 1] - mean - xy / xx * ((double)out[k] - mean), 2);
    return (Regression){xy / xx, rest / (IMAGES * PAIRS)};
}

/* Given x, y is N(m + r (x - m), s^2 (1 - r^2)). Without going up again what is filled in agrees
 * too little with what is known; each further time brings it nearer. */
static void resampling_leads_to_the_conditional(void **state)
{
    (void)state;
    static const int resample[] = {1, 3, 10};
    float x_0[SIZE];
    uint8_t fill[SIZE];
    Chain full = chain_linear();
    double variance = deviation * deviation * (1 - correlation * correlation);
    double off[3], wide[3];
    make_image(x_0, fill);
    for (int i = 0; i < 3; i++) {
        SamplerConfig config = {.kind = SAMPLER_DDPM, .steps = 250, .seed = 3};
        config.variance = VARIANCE_FIXED_SMALL;
        float *out = fill_in(config, &full.schedule, x_0, fill, IMAGES, 10, resample[i]);
        Regression r = regress(out);
        off[i] = fabs(r.slope - correlation), wide[i] = fabs(r.variance - variance);
        free(out);
    }
    assert_true(off[1] < off[0] && off[2] < off[1]);
    assert_true(wide[1] < wide[0] && wide[2] < wide[1]);
    assert_close(off[2], 0, 0.09);
    assert_close(wide[2], 0, 0.1 * variance);
    chain_release(&full);
}

static void what_is_known_stays_to_the_bit(void **state)
{
    (void)state;
    float x_0[SIZE];
    uint8_t fill[SIZE];
    Chain full = chain_linear();
    make_image(x_0, fill);
    for (SamplerKind kind = SAMPLER_DDPM; kind <= SAMPLER_DDIM; kind++) {
        SamplerConfig config = {.kind = kind, .steps = 12, .clip = true, .seed = 3};
        float *out = fill_in(config, &full.schedule, x_0, fill, 3, 4, 2);
        for (size_t k = 0; k < 3 * SIZE; k++)
            if (fill[k % SIZE])
                assert_true(isfinite(out[k])); /* NaN, as x_0 is there, is never looked at */
            else
                assert_memory_equal(&out[k], &x_0[k % SIZE], sizeof *out);
        free(out);
    }
    chain_release(&full);
}

static void images_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    float x_0[SIZE];
    uint8_t fill[SIZE];
    Chain full = chain_linear();
    SamplerConfig config = {.kind = SAMPLER_DDPM, .steps = 12, .clip = true, .seed = 3};
    make_image(x_0, fill);
    parallel_setup(2);
    float *all = fill_in(config, &full.schedule, x_0, fill, 8, 3, 3);
    parallel_setup(1);
    config.first_image = 5;
    float *some = fill_in(config, &full.schedule, x_0, fill, 2, 3, 3);
    assert_memory_equal(some, all + 5 * SIZE, 2 * SIZE * sizeof *all);
    assert_true(memcmp(all, all + SIZE, SIZE * sizeof *all) != 0);
    free(all), free(some), chain_release(&full);
}

/* With nothing known it is sampling; and a chain walked again draws new noise each time, or the
 * variance of what comes out would not be the data's. */
static void all_white_is_sampling(void **state)
{
    (void)state;
    float x_0[SIZE];
    uint8_t fill[SIZE];
    Chain full = chain_linear();
    SamplerConfig config = {.kind = SAMPLER_DDPM, .steps = 100, .seed = 3};
    config.variance = VARIANCE_FIXED_SMALL;
    for (int k = 0; k < SIZE; k++) x_0[k] = NAN, fill[k] = 1;
    for (int resample = 1; resample <= 4; resample += 3) {
        float *out = fill_in(config, &full.schedule, x_0, fill, IMAGES, 8, resample);
        double sum = 0, squares = 0;
        for (size_t k = 0; k < IMAGES * SIZE; k++) {
            sum += (double)out[k] - mean;
            squares += pow((double)out[k] - mean, 2);
        }
        assert_close(sum / (IMAGES * SIZE), 0, 0.02);
        assert_close(squares / (IMAGES * SIZE), deviation * deviation, 0.04);
        free(out);
    }
    chain_release(&full);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_walk_goes_up_and_down_as_it_says),
        cmocka_unit_test(resampling_leads_to_the_conditional),
        cmocka_unit_test(what_is_known_stays_to_the_bit),
        cmocka_unit_test(images_do_not_depend_on_the_batch),
        cmocka_unit_test(all_white_is_sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
