/*
 * The options of `ddpm schedule`.
 */
#ifndef DDPM_CMD_SCHEDULE_OPTIONS_H
#define DDPM_CMD_SCHEDULE_OPTIONS_H

#include "cmd/common_options.h"

#include <stdbool.h>

typedef struct {
    ConfigOptions config;
    const char *output; /* a .png, or NULL */
    int steps;          /* of a respaced chain; 0: the chain as it is */
    int spacing;        /* a Spacing, -1: not given */
    bool all, csv, json;
    /* of cmd/schedule_strip.h */
    const char *image; /* NULL: not given */
    int moments;       /* --show-steps; 0: not given */
    int64_t seed;      /* -1: not given */
    int fit;           /* a Fit less FIT_PAD; -1: not given */
} ScheduleOptions;

extern const OptionTable schedule_options_table;

/* Defaults, then argv; as options_parse. ERR_USAGE too without --config, and for options that do
 * not go together. */
bool schedule_options_parse(ScheduleOptions *options, bool *help, int argc, char **argv, Err *err);

#endif
