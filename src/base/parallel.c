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
    if (setenv("GOMP_SPINCOUNT", "10000", 1) == 0) execv("/proc/self/exe", argv);
}

int parallel_threads(void)
{
    return omp_get_max_threads();
}

int parallel_thread(void)
{
    return omp_get_thread_num();
}
