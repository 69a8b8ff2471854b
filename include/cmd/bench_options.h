/*
 * The options of `ddpm bench`.
 */
#ifndef DDPM_CMD_BENCH_OPTIONS_H
#define DDPM_CMD_BENCH_OPTIONS_H

#include "cmd/options.h"

#include <stdbool.h>

typedef struct {
    const char *config;
    int batch;      /* 0: what the config says */
    int repeat;     /* default 5 */
    int only;       /* a BenchKind, -1: both */
    int threads;    /* 0: OMP_NUM_THREADS, or else all cores */
    OptionList set; /* KEY=VALUE each */
    bool layers, json, quiet;
} BenchOptions;

extern const OptionTable bench_options_table;

/* Defaults, then argv; as options_parse. ERR_USAGE too without --config. */
bool bench_options_parse(BenchOptions *options, bool *help, int argc, char **argv, Err *err);

#endif
