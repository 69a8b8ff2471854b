#include "base/clock.h"

#include "support.h"

#include <time.h>

static void time_goes_forward_in_seconds(void **state)
{
    (void)state;
    const double pause = 0.02;
    struct timespec sleep = {0, 20000000};
    double start = clock_seconds();
    assert_int_equal(nanosleep(&sleep, NULL), 0);
    double seconds = clock_seconds() - start;
    assert_true(seconds >= pause);
    assert_true(seconds < 1000 * pause); /* a busy machine wakes it late */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(time_goes_forward_in_seconds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
