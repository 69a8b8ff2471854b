/*
 * The options of `ddpm eval`.
 */
#ifndef DDPM_CMD_EVAL_OPTIONS_H
#define DDPM_CMD_EVAL_OPTIONS_H

#include "cmd/common_options.h"

#include <stdbool.h>

/* Which images stand for those that were not trained on. */
typedef enum { PART_HELD_OUT, PART_TEST, PART_TRAIN } EvalPart;

extern const char *const eval_part_names[];

typedef struct {
    ModelOptions model;
    WorkOptions work;
    const char *data; /* in place of data.path of the model's config; NULL: not given */
    int part;         /* an EvalPart; default PART_HELD_OUT */
    int images;       /* at most, of the part; 0: not given */
    int64_t seed;     /* default 0 */
    int batch;        /* rows that the network is given at once; 0: not given */
    bool json;
    /* figures of the model; if nothing is asked for, nll and loss are */
    bool nll, full, loss, oracle;
    int budget;      /* network calls an image; 0: not given */
    const char *csv; /* NULL: not given */
    /* figures of samples */
    const char *samples; /* .npy, .npz or a folder; NULL: not given */
    int count;           /* drawn on the spot; 0: not given */
    int sampler;         /* a SamplerKind, -1: not given */
    int steps;           /* 0: not given */
    double guidance;     /* default 1 */
    bool memorised;
    const char *pairs;                         /* a PNG; NULL: not given */
    const char *features, *reference_features; /* .npy; NULL: not given */
    /* the network that features of images come from */
    bool train_features;
    const char *classifier; /* its file; NULL: not given */
} EvalOptions;

enum { EVAL_BUDGET = 20, EVAL_IMAGES = 1000 };

extern const OptionTable eval_options_table;

/* Defaults, then argv; as options_parse. ERR_USAGE too for options that do not go together. */
bool eval_options_parse(EvalOptions *options, bool *help, int argc, char **argv, Err *err);

/* Whether samples are looked at, read or drawn. */
bool eval_options_samples(const EvalOptions *options);

/* Whether a figure needs a model and its data: all but those of features that are given. */
bool eval_options_model(const EvalOptions *options);

#endif
