#include "base/parallel.h"
#include "support.h"

enum { THREADS = 4 };

static void there_are_as_many_threads_as_were_asked_for(void **state)
{
    (void)state;
    int seen[THREADS] = {0};
    assert_int_equal(parallel_threads(), THREADS);
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < THREADS; i++) seen[parallel_thread()]++;
    for (int i = 0; i < THREADS; i++) assert_int_equal(seen[i], 1);
}

#ifdef __SSE2__
/* Of products that are too small, and of factors that are. */
static void no_thread_computes_with_denormals(void **state)
{
    (void)state;
    const volatile float small = 1e-30f, denormal = 1e-40f, large = 1e30f;
    const volatile double tiny = 1e-160;
    float product[THREADS], factor[THREADS];
    double wide[THREADS];
    for (int i = 0; i < THREADS; i++) product[i] = factor[i] = 1, wide[i] = 1;
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < THREADS; i++) {
        product[i] = small * small;
        factor[i] = denormal * large;
        wide[i] = tiny * tiny;
    }
    for (int i = 0; i < THREADS; i++) {
        assert_true(product[i] == 0);
        assert_true(factor[i] == 0);
        assert_true(wide[i] == 0);
    }
}
#endif

int main(void)
{
    parallel_setup(THREADS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_as_many_threads_as_were_asked_for),
#ifdef __SSE2__
        cmocka_unit_test(no_thread_computes_with_denormals),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
