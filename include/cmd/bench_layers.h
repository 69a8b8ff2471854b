/*
 * Where a step's time goes, by block and by kernel: `ddpm bench --layers`.
 */
#ifndef DDPM_CMD_BENCH_LAYERS_H
#define DDPM_CMD_BENCH_LAYERS_H

#include "train/bench_kernels.h"

/* Two tables on stdout, or with `json` (not NULL) the lists KIND_blocks and KIND_kernels in it. The
 * lines of each add up to the best step. Runs the kernels alone. */
bool bench_layers(Json *json, BenchKind kind, const Bench *bench, const Config *config,
                  const BenchPeaks *peaks, Err *err);

#endif
