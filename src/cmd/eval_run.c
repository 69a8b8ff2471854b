#include "cmd/eval_run.h"

#include "base/memory.h"
#include "base/whole.h"
#include "cmd/describe.h"
#include "cmd/interrupt.h"
#include "data/dataset_open.h"
#include "train/ema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_ROWS = 32 };

/* ---- data ---- */

/* Whether the test part is what the model is judged by: asked for, or nothing else was held out.
 * Figures of samples do without where the data has none. */
static bool needs_test(const DataConfig *data, const EvalOptions *o)
{
    Err ignored;
    if (o->part == PART_TEST) return true;
    if (o->part == PART_TRAIN || data_holds_out(data)) return false;
    return o->nll || o->loss || dataset_check_test(data, &ignored);
}

/* Data without a test part, of which the user need not have asked for one. */
static bool check_test(const DataConfig *data, Err *err)
{
    if (dataset_check_test(data, err)) return true;
    if (err->kind != ERR_USAGE) return false;
    if (data_holds_out(data))
        return err_set(err, ERR_USAGE,
                       "--part test: %s has no test part; --part held-out looks at the images "
                       "that were held out in training",
                       data->path);
    return err_set(err, ERR_USAGE,
                   "%s has no test part, and no other images were held out in training; --part "
                   "train looks at the training images, or hold some out in training, such as "
                   "data.validation = 0.05",
                   data->path);
}

/* The config with the data that is meant. */
static bool choose_data(Config *c, const EvalOptions *o, Err *err)
{
    if (o->data && c->data.format == DATA_SHAPES)
        return err_set(err, ERR_USAGE,
                       "--data %s: the model was trained on `shapes`, which come from no file; "
                       "leave it out",
                       o->data);
    if (o->data && strlen(o->data) >= sizeof c->data.path)
        return err_set(err, ERR_USAGE, "--data %s: a path has at most %zu bytes", o->data,
                       sizeof c->data.path - 1);
    if (o->data) snprintf(c->data.path, sizeof c->data.path, "%s", o->data);
    if (c->train.validate_every == 0) c->train.validate_every = 1; /* or they are not kept */
    return true;
}

static const char *part_name(const EvalRun *run)
{
    const DataConfig *data = &run->source.config.data;
    if (run->options.part == PART_TRAIN) return "train";
    if (run->options.part == PART_HELD_OUT && data_holds_out(data)) return "held-out";
    return run->sets.validation.count > 0 ? "test" : "none";
}

/* The training images are those that the model was trained on, whatever it is judged by: a fraction
 * that was held out of them stays out. */
static bool open_sets(EvalRun *run, Err *err)
{
    Config *c = &run->source.config;
    bool test = needs_test(&c->data, &run->options);
    if (test && !check_test(&c->data, err)) return false;
    if (!data_holds_out(&c->data)) c->data.validation = VALIDATION_NONE;
    return datasets_open(&run->sets, c, err) && (!test || datasets_open_test(&run->sets, c, err));
}

/* The model's size is not to be changed here, and resized images would be judged as such: of
 * --data that only has another size, no key of a config is the remedy. */
static bool explain_size(const EvalRun *run, Err *err)
{
    const Config *c = &run->source.config;
    DataConfig resized = c->data;
    Dataset set;
    Err ignored;
    resized.fit = FIT_RESIZE;
    if (!run->options.data || err->kind != ERR_DATA || c->data.fit == FIT_RESIZE ||
        !dataset_open(&set, &resized, DATASET_TRAIN, c->model.height, c->model.width,
                      c->model.channels, &ignored))
        return false;
    dataset_release(&set);
    return err_set(err, ERR_DATA,
                   "--data %s: its images are not of %d x %d pixels, as the model's are; give data "
                   "of that size",
                   run->options.data, c->model.height, c->model.width);
}

static bool open_data(EvalRun *run, Err *err)
{
    const EvalOptions *o = &run->options;
    Config *c = &run->source.config;
    if (c->data.path[0] == 0 && c->data.format != DATA_SHAPES && !o->data)
        return err_set(err, ERR_USAGE,
                       "%s does not say what it was trained on; --data PATH does, and a run's own "
                       "checkpoint says it too",
                       run->source.folder);
    if (!choose_data(c, o, err)) return false;
    if (!open_sets(run, err)) return explain_size(run, err);
    run->images = o->part == PART_TRAIN ? &run->sets.train : &run->sets.validation;
    return true;
}

/* ---- the report ---- */

static void describe_model(EvalRun *run)
{
    char text[64], rate[EMA_RATE_TEXT];
    const Source *s = &run->source;
    Json *r = run->report;
    json_set_string(r, "model", s->folder);
    if (s->kind == SOURCE_CHECKPOINT) {
        json_set_number(r, "step", (double)s->step);
        snprintf(text, sizeof text, "EMA %s",
                 ema_rate_text(rate, s->config.train.ema_decay[run->which < 0 ? 0 : run->which]));
        json_set_string(r, "weights", run->which == SOURCE_RAW ? "raw" : text);
    }
    json_set_string(r, "data", s->config.data.path[0] ? s->config.data.path : "shapes");
    json_set_string(r, "part", part_name(run));
}

void eval_run_partial(EvalRun *run, Json *section)
{
    if (section) json_set_bool(section, "partial", true);
    json_set_bool(run->report, "partial", true);
}

Json *eval_run_section(EvalRun *run, const char *name)
{
    Json *section = run->report ? json_new_object() : NULL; /* json_print tells what is missing */
    json_set(run->report, name, section);
    return section;
}

void eval_run_figure(Json *section, const char *key, double value, double error, int64_t images)
{
    Json *figure = json_new_object();
    json_set_number(figure, "value", value);
    json_set_number(figure, "standard_error", error);
    json_set_number(figure, "images", (double)images);
    json_set(section, key, figure);
}

void eval_run_moments(Json *section, const char *key, const Moments *m)
{
    eval_run_figure(section, key, m->count > 0 ? m->mean : (double)NAN, moments_error(m), m->count);
}

/* ---- the run ---- */

static bool open_model(EvalRun *run, Err *err)
{
    const EvalOptions *o = &run->options;
    if (!source_open(&run->source, o->model.path, err) ||
        !model_options_which(&run->which, &o->model, &run->source, err) || !open_data(run, err))
        return false;
    describe_assumed("eval", &run->source);
    run->rows = o->batch > 0 ? o->batch : DEFAULT_ROWS;
    describe_model(run);
    return true;
}

bool eval_run_open(EvalRun *run, Err *err)
{
    run->report = json_new_object();
    if (!json_complete(run->report, err)) return false;
    if (eval_options_model(&run->options) && !open_model(run, err)) return false;
    json_set_number(run->report, "seed", (double)run->options.seed);
    json_set_bool(run->report, "partial", false);
    return true;
}

void eval_run_release(EvalRun *run)
{
    datasets_release(&run->sets);
    dataset_release(&run->samples);
    unet_free(run->unet);
    free(run->weights);
    json_free(run->report);
}

bool eval_run_network(EvalRun *run, Err *err)
{
    if (run->unet) return true;
    run->unet = unet_new(&run->source.config.model, false, err);
    if (!run->unet || !source_check_size(&run->source, run->unet, err)) return false;
    run->weights = memory_new(unet_params(run->unet)->floats, sizeof *run->weights, "weights", err);
    if (!run->weights || !source_weights(run->weights, &run->source, run->unet, run->which, err))
        return false;
    describe_model(run); /* it may be a later checkpoint */
    return unet_reserve(run->unet, run->rows, UNET_SAMPLE, err) &&
           unet_prepare(run->unet, run->weights, err);
}

int eval_run_count(const EvalRun *run, int count, int most)
{
    int wanted = run->options.images > 0 ? run->options.images : most;
    return wanted > 0 ? whole_min(count, wanted) : count;
}

void eval_run_begin(EvalRun *run, const char *verb, const char *unit, long total)
{
    progress_init(&run->progress, verb, unit, 0, total, run->options.work.quiet);
}

bool eval_run_goes_on(void *context, long done)
{
    EvalRun *run = context;
    progress_update(&run->progress, done, "");
    return interrupt_signal() == 0;
}

bool eval_piece_goes_on(void *context, long done)
{
    const EvalPiece *piece = context;
    return eval_run_goes_on(piece->run, piece->before + done);
}

void eval_run_end(EvalRun *run)
{
    progress_release(&run->progress);
}
