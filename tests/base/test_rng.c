#include "base/rng.h"
#include "support.h"

#include <math.h>

/* Known answers of Philox4x32-10 from the kat_vectors of the authors' Random123 library. */
static void philox_known_answers(void **state)
{
    (void)state;
    uint32_t out[4];
    rng_bits(out, 1, 0, (RngKey){0});
    assert_int_equal(out[0], 0x6627e8d5);
    assert_int_equal(out[1], 0xe169c58d);
    assert_int_equal(out[2], 0xbc57ac4c);
    assert_int_equal(out[3], 0x9b00dbd8);
    RngKey ones = {UINT64_MAX, UINT32_MAX, UINT32_MAX, (RngStream)255, 0xffffff};
    rng_bits(out, 1, UINT32_MAX, ones);
    assert_int_equal(out[0], 0x408f276d);
    assert_int_equal(out[1], 0x41c83b0e);
    assert_int_equal(out[2], 0xa20bc7c6);
    assert_int_equal(out[3], 0x6d5451fd);
}

static void a_draw_depends_only_on_its_place(void **state)
{
    (void)state;
    enum { N = 300 };
    float all[N], some[N];
    RngKey key = {42, 3, 7, RNG_NOISE, 0};
    rng_normal(all, N, key);
    for (size_t n = 1; n < N; n += 13) {
        rng_normal(some, n, key);
        assert_memory_equal(all, some, n * sizeof *all);
    }
    key.image = 4;
    rng_normal(some, N, key);
    assert_true(memcmp(all, some, sizeof all) != 0);
}

static void normals_have_the_moments_of_normals(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    float *x = test_floats(N);
    rng_normal(x, N, (RngKey){.seed = 1, .stream = RNG_NOISE});
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    for (int i = 0; i < N; i++) {
        double v = (double)x[i];
        m1 += v, m2 += v * v, m3 += v * v * v, m4 += v * v * v * v;
    }
    /* four standard errors: sd of v^k is 1, sqrt(2), sqrt(15), sqrt(96) */
    assert_close(m1 / N, 0, 4.0 / sqrt(N));
    assert_close(m2 / N, 1, 4.0 * sqrt(2.0 / N));
    assert_close(m3 / N, 0, 4.0 * sqrt(15.0 / N));
    assert_close(m4 / N, 3, 4.0 * sqrt(96.0 / N));
    free(x);
}

/* Box-Muller again, on the C library's functions, from the bits of the same blocks. */
static void normals_equal_the_formula(void **state)
{
    (void)state;
    enum { BLOCKS = 5000 };
    RngKey key = {.seed = 9, .stream = RNG_X_T};
    uint32_t *bits = calloc(4 * BLOCKS, sizeof *bits);
    float *x = test_floats(4 * BLOCKS);
    rng_bits(bits, BLOCKS, 0, key);
    rng_normal(x, 4 * BLOCKS, key);
    for (int i = 0; i < 4 * BLOCKS; i += 2) {
        double radius = sqrt(-2.0 * log((bits[i] + 0.5) * 0x1p-32));
        double angle = 2.0 * acos(-1.0) * bits[i + 1] * 0x1p-32;
        assert_close((double)x[i], radius * cos(angle), 1e-6);
        assert_close((double)x[i + 1], radius * sin(angle), 1e-6);
    }
    free(bits);
    free(x);
}

static void uniforms_and_whole_numbers_stay_in_range(void **state)
{
    (void)state;
    enum { N = 100000 };
    float *x = test_floats(N);
    double sum = 0;
    int counts[7] = {0};
    RngKey key = {.seed = 5, .stream = RNG_TIMESTEP};
    rng_uniform(x, N, key);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(x[i] >= 0.0f && x[i] < 1.0f);
        sum += (double)x[i];
        counts[rng_below(7, i, key)]++;
    }
    assert_close(sum / N, 0.5, 4.0 * sqrt(1.0 / 12 / N));
    for (int k = 0; k < 7; k++) assert_close(counts[k], N / 7.0, 4.0 * sqrt(N * 6.0 / 49));
    assert_int_equal(rng_below(1, 3, key), 0);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(a_draw_depends_only_on_its_place),
        cmocka_unit_test(normals_have_the_moments_of_normals),
        cmocka_unit_test(normals_equal_the_formula),
        cmocka_unit_test(uniforms_and_whole_numbers_stay_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
