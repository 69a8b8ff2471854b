/*
 * What the parts of `ddpm eval` share: the model, the images to judge by, progress, and the report,
 * a JSON object from which what people read is printed too (cmd/eval_report.h).
 */
#ifndef DDPM_CMD_EVAL_RUN_H
#define DDPM_CMD_EVAL_RUN_H

#include "base/json.h"
#include "base/moments.h"
#include "cmd/eval_options.h"
#include "cmd/progress.h"
#include "model/unet.h"
#include "train/datasets.h"
#include "train/source.h"

typedef struct {
    EvalOptions options;
    Source source;         /* config: the model's, with the data that the options say */
    int which;             /* of its weights (train/source.h) */
    Datasets sets;         /* train: what was trained on */
    const Dataset *images; /* to judge by: sets.validation or sets.train */
    int rows;              /* that the network is given at once */
    Dataset samples;       /* none until eval_images_read or _open */
    Unet *unet;            /* NULL until eval_run_network */
    float *weights;
    Json *report;
    Progress progress;
} EvalRun;

/* Open the model and the data, unless no figure needs them (eval_options_model), and begin the
 * report. */
bool eval_run_open(EvalRun *run, Err *err);
void eval_run_release(EvalRun *run);

/* Read the weights, once, and make room for run->rows. */
bool eval_run_network(EvalRun *run, Err *err);

/* How many of `count` images are looked at where `most` are by default (0: all). */
int eval_run_count(const EvalRun *run, int count, int most);

/* Work of `total` units begins, and ends. Whether it goes on is asked of eval_run_goes_on, with
 * the run as context: false once a signal has come. */
void eval_run_begin(EvalRun *run, const char *verb, const char *unit, long total);
bool eval_run_goes_on(void *run, long done);
void eval_run_end(EvalRun *run);

/* The same for one of several pieces of that work, with an EvalPiece as context. */
typedef struct {
    EvalRun *run;
    long before; /* what the pieces before it had done */
} EvalPiece;

bool eval_piece_goes_on(void *piece, long done);

/* The report, and `section` of it (NULL: none), are of what there is so far: a signal has come, or
 * a part failed. */
void eval_run_partial(EvalRun *run, Json *section);

/* A section of the report, {} until it is filled: run->report keeps it. */
Json *eval_run_section(EvalRun *run, const char *name);

/* {"value", "standard_error", "images"} under `key`; one that is not finite is null. */
void eval_run_figure(Json *section, const char *key, double value, double error, int64_t images);

/* The same of a mean; that of nothing is null. */
void eval_run_moments(Json *section, const char *key, const Moments *moments);

#endif
