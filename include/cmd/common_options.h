/*
 * Options that several commands have, each described once: groups for their tables
 * (cmd/options.h).
 */
#ifndef DDPM_CMD_COMMON_OPTIONS_H
#define DDPM_CMD_COMMON_OPTIONS_H

#include "cmd/options.h"
#include "train/config.h"
#include "train/source.h"

/* How the work is done: --threads, --quiet. */
typedef struct {
    int threads; /* 0: OMP_NUM_THREADS, or else all cores */
    bool quiet;
} WorkOptions;

enum { WORK_OPTIONS = 2 };
extern const Option work_options[WORK_OPTIONS];

/* Which config: --config, --set. */
typedef struct {
    const char *name; /* NULL: not given */
    OptionList set;   /* KEY=VALUE each */
} ConfigOptions;

enum { CONFIG_OPTIONS = 2 };
extern const Option config_options[CONFIG_OPTIONS];

/* The named file into *config, and its place into `file`, unless none is named; then what is set.
 * Not yet checked as a whole (config_check). */
bool config_options_read(Config *config, char file[FILE_PATH], const ConfigOptions *options,
                         Err *err);

/* Which weights: --model, --ema, --raw. */
typedef struct {
    const char *path; /* NULL: the newest run */
    double ema;       /* a rate of train.ema_decay; MODEL_FIRST_EMA: not given */
    bool raw;
} ModelOptions;

#define MODEL_FIRST_EMA (-1.0)

enum { MODEL_OPTIONS = 3 };
extern const Option model_options[MODEL_OPTIONS];

/* Refuse options that contradict each other. ERR_USAGE. */
bool model_options_check(const ModelOptions *options, Err *err);

/* Which of the model's weights they mean (source_weights). */
bool model_options_which(int *which, const ModelOptions *options, const Source *source, Err *err);

#endif
