#include "base/parallel.h"

#include "base/gemm.h"

#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

void parallel_setup(int threads)
{
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
