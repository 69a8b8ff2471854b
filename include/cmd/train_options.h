/*
 * The options of `ddpm train`.
 */
#ifndef DDPM_CMD_TRAIN_OPTIONS_H
#define DDPM_CMD_TRAIN_OPTIONS_H

#include "cmd/common_options.h"

#include <stdbool.h>

typedef enum { RESUME_NO, RESUME_YES, RESUME_AUTO } Resume;

typedef struct {
    ConfigOptions config;
    WorkOptions work;
    const char *out;  /* NULL: a new folder under runs/, or with `resume` the newest */
    const char *init; /* a model whose weights to start from, or NULL */
    int resume;       /* a Resume */
    bool overwrite, dry_run;
    int64_t seed;       /* -1: the config's */
    double max_seconds; /* 0: no limit */
} TrainOptions;

extern const OptionTable train_options_table;

/* Defaults, then argv; as options_parse. ERR_USAGE too for options that contradict each other, and
 * for no --config where nothing else says what to train. */
bool train_options_parse(TrainOptions *options, bool *help, int argc, char **argv, Err *err);

#endif
