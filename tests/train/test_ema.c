#include "support.h"
#include "train/ema.h"
#include "train/optimiser.h"

#include <math.h>

static double product(double decay, bool warmup, uint64_t updates)
{
    double share = 1;
    for (uint64_t k = updates / 10; k < updates; k++) share *= ema_decay_at(decay, warmup, k);
    return share;
}

static void the_share_is_the_product_of_the_decays(void **state)
{
    (void)state;
    static const double decays[] = {0, 0.05, 0.1, 0.5, 0.9, 0.99, 0.995, 0.999, 0.9999};
    static const uint64_t updates[] = {0,  1,  2,  3,   9,    10,   11,    19,
                                       20, 89, 90, 100, 1000, 1001, 12345, 200000};
    for (size_t d = 0; d < sizeof decays / sizeof *decays; d++)
        for (size_t u = 0; u < sizeof updates / sizeof *updates; u++)
            for (int warmup = 0; warmup < 2; warmup++) {
                double expected = product(decays[d], warmup, updates[u]);
                assert_close(ema_early_share(decays[d], warmup, updates[u]), expected,
                             1e-9 * expected + 1e-300);
            }
}

/* What the average does carry: one that starts at 1 and is fed 0 from a tenth on. */
static void the_share_is_what_an_average_carries(void **state)
{
    (void)state;
    enum { UPDATES = 500 };
    float ema[1] = {1}, early[1] = {1}, late[1] = {0};
    for (uint64_t k = 0; k < UPDATES; k++)
        ema_update(ema, k < UPDATES / 10 ? early : late, 1, ema_decay_at(0.99, false, k));
    assert_close((double)*ema, ema_early_share(0.99, false, UPDATES), 1e-5);
    assert_close((double)*ema, 0.0109, 1e-3);
}

static void early_averages_are_told(void **state)
{
    (void)state;
    char text[160] = "";
    assert_true(ema_is_early(text, sizeof text, 0.9999, false, 5000));
    assert_string_equal(text, "the EMA 0.9999 still carries 64 % of the first tenth of its 5000 "
                              "updates; from 51166 on it is below 1 %");
    assert_true(ema_is_early(text, sizeof text, 0.9999, false, 51165));
    assert_true(!ema_is_early(text, sizeof text, 0.9999, false, 51166));
    assert_true(ema_is_early(text, sizeof text, 0.9999, true, 2));
    assert_true(!ema_is_early(text, sizeof text, 0.9999, true, 3));
    assert_true(!ema_is_early(text, sizeof text, 0.9999, true, 100000));
    assert_true(!ema_is_early(text, sizeof text, 0, false, 1));
}

static void rates_are_written_as_they_were_typed(void **state)
{
    (void)state;
    char text[EMA_RATE_TEXT];
    assert_string_equal(ema_rate_text(text, 0.9999), "0.9999");
    assert_string_equal(ema_rate_text(text, 0), "0");
    assert_string_equal(ema_rate_text(text, 0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(ema_rate_text(text, 0.99999999999), "0.99999999999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_is_the_product_of_the_decays),
        cmocka_unit_test(the_share_is_what_an_average_carries),
        cmocka_unit_test(early_averages_are_told),
        cmocka_unit_test(rates_are_written_as_they_were_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
