/*
 * How long a step's kernels take, each run alone at the shapes that the network has, and what the
 * machine can do at most, to compare them with.
 */
#ifndef DDPM_TRAIN_BENCH_KERNELS_H
#define DDPM_TRAIN_BENCH_KERNELS_H

#include "train/bench.h"

typedef struct {
    double gemm; /* FLOP/s of a large product of matrices */
    double copy; /* bytes/s, read and written, of a copy that no cache holds */
} BenchPeaks;

bool bench_peaks(BenchPeaks *peaks, Err *err);

/* One kind of kernel in one direction, over the whole network and all images of a step. */
typedef struct {
    const char *name;
    bool backward;
    double seconds;
    double flop;  /* counted as plain convolutions; 0 where bytes are what counts */
    double bytes; /* that it has to read and write at least; 0 where flop is what counts */
} BenchKernel;

enum { BENCH_MAX_KERNELS = 16 };

typedef struct {
    int count;
    BenchKernel list[BENCH_MAX_KERNELS];
} BenchKernels;

/* Those of a step of this kind that have any work. In a step they find other data in the caches
 * than alone, so that their sum is only about what the step takes; sums, doubled pixels
 * and what is once an image are in none of them. `config` as in bench_run. */
bool bench_kernels(BenchKernels *kernels, BenchKind kind, const Config *config, Err *err);

#endif
