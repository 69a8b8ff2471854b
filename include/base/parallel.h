/*
 * Threads. Kernels use `#pragma omp parallel for schedule(...)` over tasks whose number and extent
 * follow from the shapes alone, never from the number of threads, so that results have the same
 * bits for any number of them. Per-thread scratch is indexed by parallel_thread().
 */
#ifndef DDPM_BASE_PARALLEL_H
#define DDPM_BASE_PARALLEL_H

#include "base/err.h"

/* Call once, at the start of the program and of each test program: sets the number of threads
 * (0: OMP_NUM_THREADS, or else all cores), keeps BLAS at one thread inside each, and has every
 * thread take denormal numbers for 0 (on x86, where they are slow). */
void parallel_setup(int threads);

/* Start the program anew, once, so that threads that wait for others do so on their core for some
 * microseconds only, then sleep: OpenMP reads how long before main, and by default it is so long
 * that on cores shared with other programs training slows down by a factor of three (alone it makes
 * no difference that can be measured). Does nothing where the environment says what it wants
 * (OMP_WAIT_POLICY, GOMP_SPINCOUNT). The first line of main. */
void parallel_wait_briefly(char **argv);

int parallel_threads(void); /* as many as a parallel region may have */
int parallel_thread(void);  /* the calling thread's index, 0 .. parallel_threads()-1 */

#endif
