/*
 * The options of `ddpm bench`.
 */
#ifndef DDPM_CMD_BENCH_OPTIONS_H
#define DDPM_CMD_BENCH_OPTIONS_H

#include "cmd/common_options.h"

#include <stdbool.h>

typedef struct {
    ConfigOptions config;
    WorkOptions work;
    int batch;  /* 0: what the config says */
    int repeat; /* default 5 */
    int only;   /* a BenchKind, -1: both */
    bool layers, json;
} BenchOptions;

extern const OptionTable bench_options_table;

/* Defaults, then argv; as options_parse. ERR_USAGE too without --config. */
bool bench_options_parse(BenchOptions *options, bool *help, int argc, char **argv, Err *err);

#endif
