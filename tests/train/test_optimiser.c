#include "base/parallel.h"
#include "support.h"
#include "train/optimiser.h"

#include <math.h>

/* More than one chunk of the loops, and no multiple of anything. */
enum { N = 40003 };

static void the_norm_is_euclids(void **state)
{
    (void)state;
    float *g = test_normals(N, 1);
    double sum = 0;
    for (size_t i = 0; i < N; i++) sum += (double)g[i] * (double)g[i];
    assert_close(gradient_norm(g, N), sqrt(sum), 1e-10);
    assert_close(gradient_norm(g, 3),
                 sqrt((double)g[0] * (double)g[0] + (double)g[1] * (double)g[1] +
                      (double)g[2] * (double)g[2]),
                 1e-12);
    assert_close(gradient_norm(g, 0), 0, 0);
    free(g);
}

/* Squares of what floats hold fit into doubles; only bad numbers make a bad norm. */
static void the_norm_tells_bad_numbers(void **state)
{
    (void)state;
    float *g = test_normals(N, 2);
    g[N - 1] = 3e38f;
    assert_true(isfinite(gradient_norm(g, N)));
    for (size_t at = 0; at < N; at += 5701) {
        float good = g[at];
        g[at] = NAN;
        assert_true(!isfinite(gradient_norm(g, N)));
        g[at] = -INFINITY;
        assert_true(!isfinite(gradient_norm(g, N)));
        g[at] = good;
    }
    free(g);
}

static void the_norm_has_the_same_bits_for_any_threads(void **state)
{
    (void)state;
    float *g = test_normals(N, 3);
    parallel_setup(1);
    double one = gradient_norm(g, N);
    parallel_setup(3);
    double three = gradient_norm(g, N);
    parallel_setup(0);
    assert_memory_equal(&one, &three, sizeof one);
    free(g);
}

static void clipping(void **state)
{
    (void)state;
    assert_close(clip_factor(100, 0), 1, 0);
    assert_close(clip_factor(0.5, 1), 1, 0);
    assert_close(clip_factor(4, 1), 1 / (4 + 1e-6), 1e-15);
    assert_close(clip_factor(4, 2.5), 2.5 / (4 + 1e-6), 1e-15);
    assert_close(clip_factor(0, 1), 1, 0);
}

static double rate_at(RateDecay decay, int warmup_steps, uint64_t step)
{
    return learning_rate_at(&(LearningRate){3, warmup_steps, decay, 110}, step);
}

static void warming_up_the_rate(void **state)
{
    (void)state;
    assert_close(rate_at(RATE_CONSTANT, 0, 0), 3, 0);
    assert_close(rate_at(RATE_CONSTANT, 1, 0), 3, 0);
    for (int decay = RATE_CONSTANT; decay <= RATE_LINEAR; decay++) {
        assert_close(rate_at((RateDecay)decay, 10, 0), 0.3, 1e-15);
        assert_close(rate_at((RateDecay)decay, 10, 8), 2.7, 1e-15);
        assert_close(rate_at((RateDecay)decay, 10, 9), 3, 0);
        assert_close(rate_at((RateDecay)decay, 10, 10), 3, 0);
    }
    assert_close(rate_at(RATE_CONSTANT, 10, 1000), 3, 0);
}

/* From step 10 to step 110, where it is 0 and stays so. */
static void the_rate_falls_as_asked(void **state)
{
    (void)state;
    assert_close(rate_at(RATE_LINEAR, 10, 35), 2.25, 1e-15);
    assert_close(rate_at(RATE_LINEAR, 10, 109), 0.03, 1e-14);
    assert_close(rate_at(RATE_LINEAR, 0, 55), 1.5, 1e-15);
    assert_close(rate_at(RATE_COSINE, 10, 35), 1.5 * (1 + sqrt(0.5)), 1e-14);
    assert_close(rate_at(RATE_COSINE, 10, 60), 1.5, 1e-14);
    assert_close(rate_at(RATE_COSINE, 10, 85), 1.5 * (1 - sqrt(0.5)), 1e-14);
    for (int decay = RATE_COSINE; decay <= RATE_LINEAR; decay++) {
        assert_close(rate_at((RateDecay)decay, 10, 110), 0, 0);
        assert_close(rate_at((RateDecay)decay, 10, UINT64_MAX), 0, 0);
        assert_close(rate_at((RateDecay)decay, 110, 109), 3, 0); /* nothing but warming up */
        assert_close(rate_at((RateDecay)decay, 200, 109), 1.65, 1e-15);
    }
}

/* Arrays for `n` parameters: w is drawn, and two averages start from it; the rest are zeros. */
static Optimised arrays_new(size_t n)
{
    Optimised o = {test_normals(n, 4),
                   test_floats(n),
                   test_floats(n),
                   test_floats(n),
                   2,
                   {test_normals(n, 4), test_normals(n, 4)}};
    memset(o.adam_m, 0, n * sizeof *o.adam_m);
    memset(o.adam_v, 0, n * sizeof *o.adam_v);
    return o;
}

static void arrays_free(Optimised *o)
{
    free(o->w), free(o->adam_m), free(o->adam_v), free(o->gradients);
    free(o->ema[0]), free(o->ema[1]);
}

/* Algorithm 1 of the paper in double, with the names of its variables; lambda is AdamW's. */
static void adam_in_double(double *theta, double *m, double *v, const float *g, size_t n,
                           double alpha, double lambda, int t)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.9 * m[i] + 0.1 * (double)g[i];
        v[i] = 0.999 * v[i] + 0.001 * (double)g[i] * (double)g[i];
        double m_hat = m[i] / (1 - pow(0.9, t)), v_hat = v[i] / (1 - pow(0.999, t));
        theta[i] = (1 - alpha * lambda) * theta[i] - alpha * m_hat / (sqrt(v_hat) + 1e-8);
    }
}

static void assert_adam(double weight_decay)
{
    static double theta[N], ema[N], late[N], m_wanted[N], v_wanted[N];
    Optimised o = arrays_new(N);
    memset(m_wanted, 0, sizeof m_wanted);
    memset(v_wanted, 0, sizeof v_wanted);
    for (size_t i = 0; i < N; i++) theta[i] = ema[i] = late[i] = (double)o.w[i];
    for (int t = 1; t <= 5; t++) {
        float *half = test_floats(N), *g = test_normals(N, 10 + (uint32_t)t);
        for (size_t i = 0; i < N; i++) half[i] = 0.5f * (o.gradients[i] = g[i]);
        optimiser_update(o, N, (AdamStep){0.5, 0.01, weight_decay, (uint64_t)t - 1},
                         (double[]){0.75, 0.5});
        adam_in_double(theta, m_wanted, v_wanted, half, N, 0.01, weight_decay, t);
        for (size_t i = 0; i < N; i++) {
            ema[i] = 0.75 * ema[i] + 0.25 * theta[i];
            late[i] = 0.5 * late[i] + 0.5 * theta[i];
        }
        for (size_t i = 0; i < N; i++) assert_true(o.gradients[i] == 0.0f);
        free(g), free(half);
    }
    for (size_t i = 0; i < N; i++) {
        assert_close((double)o.w[i], theta[i], 2e-6);
        assert_close((double)o.adam_m[i], m_wanted[i], 1e-6);
        assert_close((double)o.adam_v[i], v_wanted[i], 1e-8);
        assert_close((double)o.ema[0][i], ema[i], 2e-6);
        assert_close((double)o.ema[1][i], late[i], 2e-6);
    }
    arrays_free(&o);
}

static void adam_is_that_of_the_paper(void **state)
{
    (void)state;
    assert_adam(0);
    assert_adam(5);
}

/* Padding between tensors has gradient zero, and must stay what it is. */
static void adam_leaves_zeros_alone(void **state)
{
    (void)state;
    float w[4] = {0, 1, 0, 1}, m[4] = {0}, v[4] = {0}, ema[4] = {0, 1, 0, 1}, g[4] = {0};
    Optimised o = {w, m, v, g, 1, {ema}};
    const double half = 0.5;
    for (uint64_t t = 0; t < 10; t++) optimiser_update(o, 4, (AdamStep){1, 1, 0, t}, &half);
    assert_memory_equal(w, ((float[4]){0, 1, 0, 1}), sizeof w);
    assert_memory_equal(m, ((float[4]){0}), sizeof m);
    assert_memory_equal(ema, w, sizeof w);
    optimiser_update(o, 4, (AdamStep){1, 0.5, 0.5, 10}, &half); /* takes from the others alone */
    assert_memory_equal(w, ((float[4]){0, 0.75f, 0, 0.75f}), sizeof w);
}

static void an_update_has_the_same_bits_for_any_threads(void **state)
{
    (void)state;
    enum { MANY = 100003 };
    Optimised first = arrays_new(MANY);
    for (int threads = 1; threads <= 4; threads++) {
        Optimised o = threads == 1 ? first : arrays_new(MANY);
        float *g = test_normals(MANY, 9);
        memcpy(o.gradients, g, MANY * sizeof *g);
        parallel_setup(threads);
        optimiser_update(o, MANY, (AdamStep){0.5, 0.01, 0.1, 3}, (double[]){0.9, 0.5});
        assert_memory_equal(o.w, first.w, MANY * sizeof *g);
        for (int i = 0; i < 2; i++) assert_memory_equal(o.ema[i], first.ema[i], MANY * sizeof *g);
        free(g);
        if (threads > 1) arrays_free(&o);
    }
    arrays_free(&first);
    parallel_setup(0);
}

static void the_average_decays_as_asked(void **state)
{
    (void)state;
    assert_close(ema_decay_at(0.9999, false, 0), 0.9999, 0);
    assert_close(ema_decay_at(0.9999, true, 0), 0.1, 1e-15);
    assert_close(ema_decay_at(0.9999, true, 90), 0.91, 1e-15);
    assert_close(ema_decay_at(0.9999, true, 1000000), 0.9999, 0);
    float *ema = test_normals(N, 20), *before = test_normals(N, 20), *w = test_normals(N, 21);
    ema_update(ema, w, N, 0.75);
    for (size_t i = 0; i < N; i++)
        assert_close((double)ema[i], 0.75 * (double)before[i] + 0.25 * (double)w[i], 1e-6);
    ema_update(ema, w, N, 0);
    for (size_t i = 0; i < N; i++) assert_close((double)ema[i], (double)w[i], 1e-6);
    free(ema), free(before), free(w);
}

/* Second moments that are too small for a float, and are 0, are far below what is added to their
 * root: steps are those of Adam in doubles, down to none. */
static void tiny_gradients_make_adam_s_steps(void **state)
{
    (void)state;
    enum { SIZES = 46, UPDATES = 5 };
    float w[SIZES] = {0}, m[SIZES] = {0}, v[SIZES] = {0}, g[SIZES];
    double wd[SIZES] = {0}, md[SIZES] = {0}, vd[SIZES] = {0};
    for (int update = 0; update < UPDATES; update++) {
        double root1 = 1 - pow(0.9, update + 1), root2 = 1 - pow(0.999, update + 1);
        for (int i = 0; i < SIZES; i++) {
            double gradient = pow(10, -i);
            g[i] = (float)gradient;
            md[i] = 0.9 * md[i] + 0.1 * gradient;
            vd[i] = 0.999 * vd[i] + 0.001 * gradient * gradient;
            wd[i] -= 0.01 * md[i] / root1 / (sqrt(vd[i] / root2) + 1e-8);
        }
        Optimised arrays = {w, m, v, g, .emas = 0};
        AdamStep step = {.scale = 1, .rate = 0.01, .updates = (uint64_t)update};
        optimiser_update(arrays, SIZES, step, NULL);
    }
    for (int i = 0; i < SIZES; i++) assert_close((double)w[i], wd[i], 1e-5 * fabs(wd[i]) + 1e-29);
    assert_true(v[0] > 0 && v[SIZES - 1] == 0);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_norm_is_euclids),
        cmocka_unit_test(the_norm_tells_bad_numbers),
        cmocka_unit_test(the_norm_has_the_same_bits_for_any_threads),
        cmocka_unit_test(clipping),
        cmocka_unit_test(warming_up_the_rate),
        cmocka_unit_test(the_rate_falls_as_asked),
        cmocka_unit_test(adam_is_that_of_the_paper),
        cmocka_unit_test(adam_leaves_zeros_alone),
        cmocka_unit_test(an_update_has_the_same_bits_for_any_threads),
        cmocka_unit_test(tiny_gradients_make_adam_s_steps),
        cmocka_unit_test(the_average_decays_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
