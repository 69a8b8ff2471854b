#include "base/parallel.h"

#include "base/gemm.h"

#include <omp.h>

void parallel_setup(int threads)
{
    if (threads > 0) omp_set_num_threads(threads);
    omp_set_dynamic(0);
    gemm_setup();
}

int parallel_threads(void)
{
    return omp_get_max_threads();
}

int parallel_thread(void)
{
    return omp_get_thread_num();
}
