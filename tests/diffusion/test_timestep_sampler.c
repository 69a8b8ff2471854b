#include "base/rng.h"
#include "chain.h"
#include "diffusion/timestep_sampler.h"

enum { T = 40, BATCH = 8, STEPS = 4000 };

typedef struct {
    Arena arena;
    TimestepHistory history;
    TimestepDraws draws;
} Fixture;

static Fixture *fixture_new(TimestepSampler kind, int timesteps, int batch)
{
    Fixture *f = calloc(1, sizeof *f);
    size_t bytes = timestep_history_bytes(timesteps) + timestep_draws_bytes(kind, timesteps);
    f->arena = chain_arena(bytes);
    timestep_history_init(&f->history, &f->arena, timesteps);
    timestep_draws_init(&f->draws, &f->arena, kind,
                        kind == TIMESTEP_IMPORTANCE ? &f->history : NULL, timesteps, batch, 7);
    assert_true(f->arena.used <= bytes);
    return f;
}

static void fixture_free(Fixture *f)
{
    arena_release(&f->arena);
    free(f);
}

/* The bits that training has always drawn. */
static void uniform_is_one_draw_a_position(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_UNIFORM, 1000, 128);
    for (uint32_t step = 0; step < 5; step++) {
        timestep_draws_start(&f->draws, step);
        for (int i = 0; i < 128; i++) {
            RngKey key = {.seed = 7, .image = (uint32_t)i, .step = step, .stream = RNG_TIMESTEP};
            TimestepDraw draw = timestep_draw(&f->draws, i);
            assert_int_equal(draw.entry, rng_below(1000, 0, key));
            assert_close(draw.weight, 1, 0);
        }
    }
    fixture_free(f);
}

/* How often each entry comes, expected `p` of the time, within 5 standard deviations. */
static void assert_frequencies(const int counts[T], const double p[T], double draws)
{
    for (int i = 0; i < T; i++)
        assert_close(counts[i], draws * p[i], 5 * sqrt(draws * p[i] * (1 - p[i])));
}

/* A batch as large as T has every t once; a smaller one has them T / batch apart, whatever the
 * order; over the steps each position sees all t alike. */
static void stratified_covers_the_range(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_STRATIFIED, T, BATCH);
    int counts[T] = {0}, of_third[T] = {0};
    double p[T];
    for (uint32_t step = 0; step < STEPS; step++) {
        timestep_draws_start(&f->draws, step);
        int first = timestep_draw(&f->draws, 0).entry;
        for (int i = 0; i < BATCH; i++) {
            TimestepDraw draw = timestep_draw(&f->draws, i);
            assert_int_equal(draw.entry, (first + i * (T / BATCH)) % T);
            assert_close(draw.weight, 1, 0);
            counts[draw.entry]++;
            of_third[draw.entry] += i == 2;
        }
    }
    for (int i = 0; i < T; i++) p[i] = 1.0 / T;
    assert_frequencies(of_third, p, STEPS);
    assert_frequencies(counts, p, STEPS * BATCH);
    fixture_free(f);

    f = fixture_new(TIMESTEP_STRATIFIED, 1000, 128); /* which does not divide T */
    timestep_draws_start(&f->draws, 3);
    int before = timestep_draw(&f->draws, 0).entry;
    for (int i = 1; i <= 128; i++) {
        int entry = timestep_draw(&f->draws, i % 128).entry;
        assert_in_range((entry - before + 1000) % 1000, 7, 8);
        before = entry;
    }
    fixture_free(f);
}

static void the_largest_batch_and_chain_fit(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_STRATIFIED, SCHEDULE_MAX_T, 1 << 20);
    for (uint32_t step = 0; step < 20; step++) {
        timestep_draws_start(&f->draws, step);
        int first = timestep_draw(&f->draws, 0).entry;
        int last = timestep_draw(&f->draws, (1 << 20) - 1).entry;
        assert_in_range(first, 0, SCHEDULE_MAX_T - 1);
        assert_in_range((first - last + SCHEDULE_MAX_T) % SCHEDULE_MAX_T, 0, 1);
    }
    fixture_free(f);
}

/* ---- importance ---- */

static void history_keeps_the_last_ten(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_IMPORTANCE, T, BATCH);
    for (int k = 0; k < 13; k++) timestep_history_add(&f->history, 5, k);
    timestep_history_add(&f->history, 6, -1);
    assert_int_equal(f->history.counts[5], 10);
    assert_int_equal(f->history.counts[6], 1);
    assert_int_equal(f->history.counts[4], 0);
    for (int k = 0; k < 10; k++) assert_close(f->history.losses[5 * 10 + k], k + 3, 0);
    assert_close(f->history.losses[60], -1, 0);
    assert_close(f->history.losses[61], 0, 0);
    fixture_free(f);
}

/* Losses of entry i with mean square (i + 1)^2: half of them sqrt(2) (i + 1), half 0. */
static void fill(TimestepHistory *history, int leave_out)
{
    for (int i = 0; i < history->T; i++)
        for (int k = 0; k < TIMESTEP_HISTORY; k++)
            if (i != leave_out || k > 0)
                timestep_history_add(history, i, k % 2 ? sqrt(2) * (i + 1) : 0);
}

static void importance_is_uniform_until_all_have_ten(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_IMPORTANCE, T, BATCH);
    Fixture *uniform = fixture_new(TIMESTEP_UNIFORM, T, BATCH);
    fill(&f->history, T - 1);
    for (int all = 0; all < 2; all++) {
        int different = 0;
        timestep_draws_start(&f->draws, 9);
        timestep_draws_start(&uniform->draws, 9);
        for (int i = 0; i < BATCH; i++) {
            TimestepDraw draw = timestep_draw(&f->draws, i);
            different += draw.entry != timestep_draw(&uniform->draws, i).entry;
            if (!all) assert_close(draw.weight, 1, 0);
        }
        assert_true(all ? different > 0 : different == 0);
        timestep_history_add(&f->history, T - 1, T);
    }
    fixture_free(f), fixture_free(uniform);
}

/* p is 0.999 (i + 1) / sum + 0.001 / T; weights make it an expectation over uniform t again. */
static void importance_draws_by_the_root_mean_square(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_IMPORTANCE, T, BATCH);
    int counts[T] = {0};
    double p[T], sum = T * (T + 1) / 2.0;
    for (int i = 0; i < T; i++) p[i] = 0.999 * (i + 1) / sum + 0.001 / T;
    fill(&f->history, -1);
    for (uint32_t step = 0; step < STEPS; step++) {
        timestep_draws_start(&f->draws, step);
        for (int i = 0; i < BATCH; i++) {
            TimestepDraw draw = timestep_draw(&f->draws, i);
            assert_close(draw.weight, 1 / (T * p[draw.entry]), 1e-12 * draw.weight);
            counts[draw.entry]++;
        }
    }
    assert_frequencies(counts, p, STEPS * BATCH);
    fixture_free(f);
}

/* The estimate of the mean of losses that grow a thousandfold is right, and far less noisy. */
static void importance_estimates_the_same_with_less_noise(void **state)
{
    (void)state;
    TimestepSampler kinds[] = {TIMESTEP_UNIFORM, TIMESTEP_IMPORTANCE};
    double deviation[2], mean = 0;
    for (int i = 0; i < T; i++) mean += pow(1000, (double)i / (T - 1)) / T;
    for (int k = 0; k < 2; k++) {
        Fixture *f = fixture_new(kinds[k], T, BATCH);
        double sum = 0, squares = 0;
        for (int i = 0; i < T; i++)
            for (int h = 0; h < TIMESTEP_HISTORY; h++)
                timestep_history_add(&f->history, i, pow(1000, (double)i / (T - 1)));
        for (uint32_t step = 0; step < STEPS; step++) {
            timestep_draws_start(&f->draws, step);
            for (int i = 0; i < BATCH; i++) {
                TimestepDraw draw = timestep_draw(&f->draws, i);
                double x = draw.weight * pow(1000, (double)draw.entry / (T - 1));
                sum += x, squares += x * x;
            }
        }
        double n = STEPS * BATCH, average = sum / n;
        deviation[k] = sqrt(squares / n - average * average);
        assert_close(average, mean, 5 * deviation[k] / sqrt(n) + 1e-9);
        fixture_free(f);
    }
    assert_true(deviation[1] < 0.05 * deviation[0]);
}

/* All losses 0: there is nothing to prefer. */
static void no_loss_is_uniform(void **state)
{
    (void)state;
    Fixture *f = fixture_new(TIMESTEP_IMPORTANCE, T, BATCH);
    for (int i = 0; i < T * TIMESTEP_HISTORY; i++) timestep_history_add(&f->history, i % T, 0);
    timestep_draws_start(&f->draws, 1);
    for (int i = 0; i < BATCH; i++) assert_close(timestep_draw(&f->draws, i).weight, 1, 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_is_one_draw_a_position),
        cmocka_unit_test(stratified_covers_the_range),
        cmocka_unit_test(the_largest_batch_and_chain_fit),
        cmocka_unit_test(history_keeps_the_last_ten),
        cmocka_unit_test(importance_is_uniform_until_all_have_ten),
        cmocka_unit_test(importance_draws_by_the_root_mean_square),
        cmocka_unit_test(importance_estimates_the_same_with_less_noise),
        cmocka_unit_test(no_loss_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
