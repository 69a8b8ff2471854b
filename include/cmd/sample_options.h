/*
 * The options of `ddpm sample`.
 */
#ifndef DDPM_CMD_SAMPLE_OPTIONS_H
#define DDPM_CMD_SAMPLE_OPTIONS_H

#include "cmd/common_options.h"

#include <stdbool.h>

typedef enum { BY_NOISE, BY_INVERSION } EditBy;

extern const char *const edit_by_names[];

/* What was not given is what the model's config says, or else the default stated. */
typedef struct {
    ModelOptions model;
    WorkOptions work;
    bool oracle;          /* of cmd/sample_oracle.h, as the next */
    ConfigOptions config; /* NULL: not given */
    const char *output;   /* .png, .npy, .npz or a folder */
    const char *noise;    /* an .npy file with x_T, or NULL */
    int count;            /* 0: not given */
    int64_t first;        /* the index of the first image; default 0 */
    int64_t seed;         /* -1: not given, which is 0 */
    int sampler;          /* a SamplerKind, -1: not given */
    int steps;            /* 0: not given */
    double eta;           /* of ddim and dpm++; -1: not given, which is 0 */
    int variance;         /* a Variance, -1: not given */
    int spacing;          /* a Spacing; default linspace */
    int clip;             /* 1 or 0; -1: not given */
    int batch;            /* images denoised at once; 0: not given */
    int columns;          /* of a grid; 0: about as many as rows */
    bool as_float;
    /* of cmd/sample_classes.h */
    const char *classes, *interval; /* NULL: not given */
    double guidance;                /* default 1 */
    /* of cmd/sample_film.h */
    const char *trajectory; /* NULL: not given */
    int show_steps;         /* 0: not given */
    /* of cmd/sample_edit.h; NULL: not given */
    const char *init, *encode, *interpolate[2]; /* images */
    const char *inpaint, *mask;
    double strength;           /* in [0, 1]; -1: not given */
    int by;                    /* an EditBy, -1: not given */
    int jump_length, resample; /* of RePaint; 0: not given */
    int refine;                /* of inversion; 0: not given */
    int fit;                   /* a Fit less FIT_PAD; -1: not given */
} SampleOptions;

extern const OptionTable sample_options_table;

/* Defaults, then argv; as options_parse. ERR_USAGE too without --output. */
bool sample_options_parse(SampleOptions *options, bool *help, int argc, char **argv, Err *err);

#endif
