#include "base/moments.h"

#include "support.h"

#include <math.h>

static Moments of(const double *values, int n, double shift)
{
    Moments m = {0};
    for (int i = 0; i < n; i++) moments_add(&m, values[i] + shift);
    return m;
}

/* 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squared differences 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16. */
static const double known[] = {2, 4, 4, 4, 5, 5, 7, 9};

static void known_numbers(void **state)
{
    (void)state;
    Moments m = of(known, 8, 0);
    assert_int_equal(m.count, 8);
    assert_close(m.mean, 5, 1e-15);
    assert_close(moments_variance(&m), 32.0 / 7, 1e-14);
    assert_close(moments_error(&m), sqrt(32.0 / 7 / 8), 1e-14);
}

/* Where the squares themselves have no digits left for it. */
static void a_large_mean_costs_no_digits(void **state)
{
    (void)state;
    Moments m = of(known, 8, 1e9);
    assert_close(m.mean, 1e9 + 5, 1e-6);
    assert_close(moments_variance(&m), 32.0 / 7, 1e-6);
}

static void too_few_are_not_a_number(void **state)
{
    (void)state;
    Moments none = {0}, one = of(known, 1, 0), two = of(known, 2, 0);
    assert_true(isnan(moments_variance(&none)) && isnan(moments_error(&none)));
    assert_close(one.mean, 2, 0);
    assert_true(isnan(moments_variance(&one)) && isnan(moments_error(&one)));
    assert_close(moments_variance(&two), 2, 1e-15);
    assert_close(moments_error(&two), 1, 1e-15);
}

static void nan_stays(void **state)
{
    (void)state;
    const double values[] = {1, (double)NAN, 3, 5};
    Moments m = of(values, 4, 0);
    assert_true(isnan(m.mean) && isnan(moments_variance(&m)) && isnan(moments_error(&m)));
}

/* Of none in 9, p = 1/20; the mean and the deviation of Beta(1/2, 19/2) besides. */
static void a_share_has_an_error(void **state)
{
    (void)state;
    assert_close(moments_share_error(0, 9), sqrt(0.05 * 0.95 / 11), 1e-15);
    assert_close(moments_share_error(1, 9), moments_share_error(0, 9), 1e-15);
    assert_close(moments_share_error(0.3, 1000000), sqrt(0.21e-6), 1e-9);
    assert_true(isnan(moments_share_error((double)NAN, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_numbers),
        cmocka_unit_test(a_large_mean_costs_no_digits),
        cmocka_unit_test(too_few_are_not_a_number),
        cmocka_unit_test(nan_stays),
        cmocka_unit_test(a_share_has_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
