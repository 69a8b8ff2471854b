#include "base/parallel.h"

#include "base/gemm.h"

#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Numbers below 1.2e-38 become 0 where they come up: with them x86 processors multiply up to a
 * hundred times as slowly, and gradients get as small. Threads inherit it from the one that starts
 * them (POSIX), so that it changes no bit between numbers of threads. */
static void flush_to_zero(void)
{
#ifdef __SSE2__
    enum { RESULTS = 1 << 15, OPERANDS = 1 << 6 };
    _mm_setcsr(_mm_getcsr() | RESULTS | OPERANDS);
#endif
}

void parallel_setup(int threads)
{
    flush_to_zero();
    if (threads > 0) omp_set_num_threads(threads);
    omp_set_dynamic(0);
    gemm_setup();
}

void parallel_wait_briefly(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    char program[4096]; /* by its own name, which is what other programs then call it */
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0 || setenv("GOMP_SPINCOUNT", "10000", 1) != 0) return;
    program[length] = '\0';
    execv(program, argv);
}

int parallel_threads(void)
{
    return omp_get_max_threads();
}

int parallel_thread(void)
{
    return omp_get_thread_num();
}
