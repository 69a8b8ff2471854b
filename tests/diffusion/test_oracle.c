/*
 * The oracle against the sum over all images in double, and in a network's place.
 */
#include "diffusion/oracle.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "chain.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"
#include "diffusion/sampler.h"

enum { PIXELS = 20, CHANNELS = 3, SIZE = PIXELS * CHANNELS };

typedef struct {
    float *x; /* [count, SIZE] */
    int count;
    bool backwards;
} Set;

static void fetch(void *context, float *out, int first, int n)
{
    const Set *set = context;
    for (int i = first; i < first + n; i++, out += SIZE) {
        int from = set->backwards ? set->count - 1 - i : i;
        memcpy(out, set->x + (size_t)from * SIZE, SIZE * sizeof *out);
    }
}

/* 0 .. 3 in turn. */
static int32_t label(void *context, int i)
{
    const Set *set = context;
    return (set->backwards ? set->count - 1 - i : i) % 4;
}

/* Images in -1 .. 1 that are about `apart` from each other in each value. */
static Set set_new(int count, double apart)
{
    Set set = {test_normals((size_t)count * SIZE, 3), count, false};
    for (int k = 0; k < count * SIZE; k++)
        set.x[k] = (float)tanh(sin(k % SIZE) + apart * (double)set.x[k]);
    return set;
}

typedef struct {
    Arena arena;
    ImageSource images;
    Oracle oracle;
} Case;

static void open_case(Case *c, Set *set, const DiffusionConfig *diffusion, const Schedule *s,
                      int rows)
{
    c->images = (ImageSource){fetch, set, set->count, label};
    OracleConfig config = {diffusion, s, &c->images, PIXELS, CHANNELS, rows};
    c->arena = chain_arena(oracle_bytes(&config));
    memset(c->arena.base, 0xff, c->arena.size);
    oracle_init(&c->oracle, &c->arena, &config);
}

/* By the definition; of one class, or of all (-1). */
static void brute_force(double x_0[SIZE], const Set *set, const float *x_t, double a, int class)
{
    double *exponents = calloc((size_t)set->count, sizeof *exponents), most = -1e300, total = 0;
    for (int i = 0; i < set->count; i++) {
        for (int k = 0; k < SIZE; k++)
            exponents[i] -= pow((double)x_t[k] - sqrt(a) * (double)set->x[i * SIZE + k], 2);
        exponents[i] /= 2 * (1 - a);
        if (class < 0 || i % 4 == class) most = fmax(most, exponents[i]);
    }
    memset(x_0, 0, SIZE * sizeof *x_0);
    for (int i = 0; i < set->count; i++) {
        double w = class < 0 || i % 4 == class ? exp(exponents[i] - most) : 0;
        total += w;
        for (int k = 0; k < SIZE; k++) x_0[k] += w * (double)set->x[i * SIZE + k];
    }
    for (int k = 0; k < SIZE; k++) x_0[k] /= total;
    free(exponents);
}

/* Row j is an image of the set at t[j], the last pure noise. */
static float *rows_of(const Set *set, const Schedule *s, const int *t, int n)
{
    float *x_t = test_normals((size_t)n * SIZE, 8);
    for (int j = 0; j < n - 1; j++)
        diffuse(x_t + j * SIZE, set->x + j * 7 % set->count * SIZE, x_t + j * SIZE,
                s->alpha_bar[t[j] - 1], SIZE);
    return x_t;
}

enum { ROWS = 12 };
static const int timesteps[ROWS] = {1, 2, 5, 20, 50, 100, 200, 300, 500, 700, 1000, 30};

static void assert_brute_force(Set *set, int rows, const int32_t *classes)
{
    Chain chain = chain_linear();
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
    Case c;
    float *x_t = rows_of(set, &chain.schedule, timesteps, ROWS), *out = test_floats(ROWS * SIZE);
    open_case(&c, set, &diffusion, &chain.schedule, rows);
    oracle_x_0(&c.oracle, out, x_t, timesteps, classes, ROWS);
    for (int j = 0; j < ROWS; j++) {
        double x_0[SIZE], a = chain.schedule.alpha_bar[timesteps[j] - 1];
        brute_force(x_0, set, x_t + j * SIZE, a, classes ? classes[j] : -1);
        for (int k = 0; k < SIZE; k++) assert_close((double)out[j * SIZE + k], x_0[k], 1e-4);
    }
    free(x_t), free(out), arena_release(&c.arena), chain_release(&chain);
}

/* Images near and far from each other, so that many and few have weights; in several blocks, whose
 * greatest weight is met early or late. */
static void it_is_the_sum_over_all_images(void **state)
{
    (void)state;
    static const int counts[] = {1, 50, ORACLE_BLOCK, 2 * ORACLE_BLOCK + 100};
    for (int c = 0; c < 4; c++)
        for (double apart = 0.01; apart < 1; apart *= 6) {
            Set set = set_new(counts[c], apart);
            assert_brute_force(&set, ROWS, NULL);
            assert_brute_force(&set, 5, NULL);
            set.backwards = true;
            assert_brute_force(&set, ROWS, NULL);
            free(set.x);
        }
}

/* Also where the images of a class begin late in the set, or are not among its last. */
static void of_a_class_it_is_the_sum_over_its_images(void **state)
{
    (void)state;
    static const int32_t classes[ROWS] = {0, 3, 2, 1, -1, 0, 1, 2, 3, 3, 1, -1};
    for (double apart = 0.01; apart < 1; apart *= 6) {
        Set set = set_new(ORACLE_BLOCK + 2, apart);
        assert_brute_force(&set, ROWS, classes);
        set.backwards = true;
        assert_brute_force(&set, 5, classes);
        free(set.x);
    }
}

/* At alpha-bar 0 x_t says nothing, and E[x_0] is the mean of the set. */
static void of_pure_noise_it_is_the_mean(void **state)
{
    (void)state;
    DiffusionConfig diffusion = chain_config(SCHEDULE_JSD, 10);
    diffusion.prediction = PREDICT_V;
    Chain chain = chain_new(diffusion);
    Set set = set_new(600, 0.5);
    Case c;
    int t = 10;
    float *x_t = test_normals(SIZE, 1), out[SIZE];
    open_case(&c, &set, &diffusion, &chain.schedule, 1);
    oracle_x_0(&c.oracle, out, x_t, &t, NULL, 1);
    for (int k = 0; k < SIZE; k++) {
        double mean = 0;
        for (int i = 0; i < 600; i++) mean += (double)set.x[i * SIZE + k] / 600;
        assert_close((double)out[k], mean, 1e-6);
    }
    free(x_t), free(set.x), arena_release(&c.arena), chain_release(&chain);
}

/* What is said leads back to x_0. */
static void it_says_what_a_network_would(void **state)
{
    (void)state;
    Set set = set_new(50, 0.3);
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++)
        for (int learned = 0; learned < 2; learned++) {
            DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
            diffusion.prediction = p;
            if (learned) diffusion.variance = VARIANCE_LEARNED_RANGE;
            Chain chain = chain_new(diffusion);
            Case c;
            int stride = loss_output_channels(&diffusion, CHANNELS);
            float *x_t = rows_of(&set, &chain.schedule, timesteps, ROWS);
            float *x_0 = test_floats(ROWS * SIZE), *out = test_floats(2 * ROWS * SIZE);
            open_case(&c, &set, &diffusion, &chain.schedule, 5);
            oracle_x_0(&c.oracle, x_0, x_t, timesteps, NULL, ROWS);
            oracle_bound(&c.oracle, out, x_t, timesteps, NULL, ROWS);
            for (int k = 0; k < ROWS * SIZE; k++) {
                const float *said = out + k / CHANNELS * stride + k % CHANNELS;
                double weights[2];
                predict_weights(weights, p, &chain.schedule, timesteps[k / SIZE] - 1);
                double back = weights[0] * (double)*said + weights[1] * (double)x_t[k];
                double rounding = fabs(weights[0] * (double)*said) * 1e-7;
                assert_close(back, (double)x_0[k], 1e-6 + rounding);
                if (learned) assert_close((double)said[CHANNELS], -1, 0);
            }
            free(x_t), free(x_0), free(out), arena_release(&c.arena), chain_release(&chain);
        }
    free(set.x);
}

/* ---- in the samplers ---- */

static double distance_to_set(const Set *set, const float *x)
{
    double least = 1e300;
    for (int i = 0; i < set->count; i++) {
        double most = 0;
        for (int k = 0; k < SIZE; k++)
            most = fmax(most, fabs((double)x[k] - (double)set->x[i * SIZE + k]));
        least = fmin(least, most);
    }
    return least;
}

static void samples_are_images_of_the_set(void **state)
{
    (void)state;
    enum { N = 7 };
    Set set = set_new(50, 0.3);
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++)
        for (SamplerKind kind = SAMPLER_DDPM; kind <= SAMPLER_HEUN; kind++) {
            diffusion.prediction = p;
            Chain chain = chain_new(diffusion);
            SamplerConfig config = {.kind = kind, .steps = 50, .prediction = p, .clip = true};
            Sampler sampler;
            Arena arena = chain_arena(sampler_bytes(&config, N, SIZE));
            Case c;
            float *out = test_floats(N * SIZE);
            open_case(&c, &set, &diffusion, &chain.schedule, 4);
            sampler_init(&sampler, &arena, &config, &chain.schedule, NULL, N, SIZE);
            while (sampler_step(&sampler, oracle_denoise, &c.oracle)) continue;
            sampler_result(out, &sampler);
            int others = 0;
            for (int j = 0; j < N; j++) {
                assert_close(distance_to_set(&set, out + j * SIZE), 0, 1e-3);
                others += fabs((double)out[j * SIZE] - (double)out[0]) > 1e-2;
            }
            assert_true(others > 2); /* and not all the same */
            free(out), arena_release(&arena), arena_release(&c.arena), chain_release(&chain);
        }
    free(set.x);
}

/* ---- threads, bad numbers ---- */

static void threads_make_no_difference_and_nan_stays_in_its_row(void **state)
{
    (void)state;
    Set set = set_new(1100, 0.2);
    Chain chain = chain_linear();
    DiffusionConfig diffusion = chain_config(SCHEDULE_LINEAR, 1000);
    float *x_t = rows_of(&set, &chain.schedule, timesteps, ROWS), *first = test_floats(ROWS * SIZE);
    x_t[3 * SIZE + 5] = NAN;
    for (int threads = 1; threads <= 3; threads++) {
        Case c;
        float *out = test_floats(ROWS * SIZE);
        parallel_setup(threads);
        open_case(&c, &set, &diffusion, &chain.schedule, ROWS);
        oracle_x_0(&c.oracle, out, x_t, timesteps, NULL, ROWS);
        if (threads == 1) memcpy(first, out, ROWS * SIZE * sizeof *out);
        for (int k = 0; k < ROWS * SIZE; k++)
            assert_true(k / SIZE == 3 ? isnan(out[k]) : out[k] == first[k]);
        arena_release(&c.arena), free(out);
    }
    parallel_setup(0);
    free(x_t), free(first), free(set.x), chain_release(&chain);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_sum_over_all_images),
        cmocka_unit_test(of_a_class_it_is_the_sum_over_its_images),
        cmocka_unit_test(of_pure_noise_it_is_the_mean),
        cmocka_unit_test(it_says_what_a_network_would),
        cmocka_unit_test(samples_are_images_of_the_set),
        cmocka_unit_test(threads_make_no_difference_and_nan_stays_in_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
