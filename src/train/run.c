/*
 * What a run writes on the way is made of its state alone: whether grids were drawn, or the run was
 * stopped and resumed, changes no bit of what it trains.
 */
#include "train/run.h"

#include "base/clock.h"
#include "data/grid.h"
#include "train/checkpoint.h"
#include "train/ema.h"
#include "train/generate.h"
#include "train/metrics.h"
#include "train/provenance.h"
#include "train/run_folder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the loop's state ---- */

typedef struct {
    Trainer *trainer;
    TrainState *state;
    const Config *config;
    const char *folder;
    const RunObserver *observer;
    double start, max_seconds;
    double step_seconds, save_seconds; /* of the last step and the last checkpoint */
    double validation_seconds;
    uint64_t saved, drawn, validated, evaluated, remarked; /* the steps of the last of each */
    Lock *lock;
    bool ever_saved, replaces;
    bool worked; /* a step of this session was finite */
    bool lost;   /* the folder is another process's */
    Metrics metrics;
    Generator generator;
    const Dataset *validation;
    Evaluation evaluation;
    bool evaluates;
    float *images; /* [sample.count,h,w,c] of a grid */
} Run;

static bool stops(const Run *r)
{
    return r->observer->stop && r->observer->stop(r->observer->context);
}

/* Whether the time would be over before `needed` more seconds are. */
static bool lacks_time(const Run *r, double needed)
{
    double passed = clock_seconds() - r->start;
    return r->max_seconds > 0 && passed + 1.2 * needed > r->max_seconds;
}

/* Whether a validation, an evaluation or a grid is to be dropped where it is: it asks after each
 * call of the network, which takes less than a step. The checkpoint comes after it. */
static bool ends_look(void *context)
{
    const Run *r = context;
    return stops(r) || lacks_time(r, r->step_seconds + r->save_seconds);
}

static void tell(const Run *r, const char *text)
{
    if (r->observer->note) r->observer->note(r->observer->context, text);
}

static void warn(const Run *r, const Err *err)
{
    if (r->observer->warn) r->observer->warn(r->observer->context, err->text);
}

/* Of each average that is still mostly that of an early network, when it is to be used. */
static void remark_early(Run *r)
{
    const TrainConfig *c = &r->config->train;
    char text[160];
    if (!r->observer->remark || r->remarked == r->state->step) return;
    r->remarked = r->state->step;
    for (int i = 0; i < c->emas; i++)
        if (ema_is_early(text, sizeof text, c->ema_decay[i], c->ema_warmup, r->state->updates))
            r->observer->remark(r->observer->context, text);
}

/* ---- whose folder it is ---- */

/* Asked before each checkpoint and grid. */
static bool is_ours(Run *r, Err *err)
{
    Err why;
    if (!r->lock || run_keep_lock(r->lock, r->folder, r->saved, &why)) return true;
    r->lost = true;
    return err_set(err, ERR_FAILED, "%s; what was trained since step %" PRIu64 " is not saved",
                   why.text, r->saved);
}

/* Asked at each step, and so it does not take the lock anew: a folder that is being removed is not
 * filled again. */
static bool is_taken(Run *r, Err *err)
{
    return r->lock && !lock_is_held(r->lock) && file_exists(r->lock->path) && !is_ours(r, err);
}

/* ---- checkpoints ---- */

/* What there is to go back to where the run diverges. */
static const char *way_back(const Run *r)
{
    if (r->ever_saved) return "the last checkpoint is as it was: resume from it";
    return r->replaces ? "there is no checkpoint of it yet, and the run that it was to replace is "
                         "kept: start again"
                       : "there is no checkpoint of it yet: start again (--overwrite)";
}

/* An update can make weights that are finite, but not what the network makes of them. */
static bool weights_work(Run *r, Err *err)
{
    const char *bad = trainer_bad_block(r->trainer);
    return !bad || err_set(err, ERR_DIVERGED,
                           "step %" PRIu64 ": with the weights as they are now what %s puts out is "
                           "not finite, and they are not written; %s with a smaller "
                           "train.learning_rate (now %g)",
                           r->state->step, bad, way_back(r), r->config->train.learning_rate);
}

/* The new checkpoint is there, and no harm is done by an old one that stays. */
static void tidy(Run *r)
{
    Err err;
    if (!checkpoint_prune(r->folder, &r->config->train, r->state->step, &err)) warn(r, &err);
    if (r->replaces && !run_forget_replaced(r->folder, &err)) warn(r, &err);
    r->replaces = false;
}

static bool save(Run *r, Err *err)
{
    char path[FILE_PATH];
    if (r->ever_saved && r->saved == r->state->step) return true;
    double start = clock_seconds();
    if (!weights_work(r, err)) return false;
    const ParamTable *table = unet_params(trainer_unet(r->trainer));
    if (!is_ours(r, err)) return false;
    if (!checkpoint_write(path, r->folder, r->config, table, r->state, err)) return false;
    r->saved = r->state->step;
    r->ever_saved = true;
    tell(r, path);
    remark_early(r);
    tidy(r);
    r->save_seconds = clock_seconds() - start;
    return true;
}

/* Where training goes on, which may mend itself, or ends with the next steps. */
static bool save_on_the_way(Run *r, Err *err)
{
    if (save(r, err)) return true;
    if (err->kind != ERR_DIVERGED) return false;
    if (r->observer->warn) r->observer->warn(r->observer->context, err->text);
    return true;
}

/* ---- grids ---- */

static bool grid_goes_on(void *context, int calls_done)
{
    (void)calls_done;
    return !ends_look(context);
}

/* False without an error if it was stopped or there was no time for it. */
static bool draw_images(Run *r)
{
    int batch = r->generator.batch, count = r->config->sample.count;
    for (int first = 0; first < count; first += batch) {
        int n = count - first < batch ? count - first : batch;
        if (!generator_batch(&r->generator, r->images + (size_t)first * r->generator.size, NULL,
                             (uint32_t)first, n, grid_goes_on, r))
            return false;
    }
    return true;
}

static bool write_grid(Run *r, const char *path, Err *err)
{
    const ModelConfig *m = &r->config->model;
    GridDims dims = {r->config->sample.count, m->height, m->width, m->channels, 0};
    char rate[EMA_RATE_TEXT];
    Provenance how;
    PngText texts[PROVENANCE_MAX];
    ProvenanceOf of = {.config = r->config,
                       .step = &r->state->step,
                       .weights = r->generator.weights,
                       .floats = unet_params(r->generator.unet)->floats,
                       .sampler = &r->generator.config,
                       .classes = &r->generator.conditioning,
                       .steps = generator_steps(&r->generator)};
    if (!provenance_init(&how, &of, err)) return false;
    provenance_add(&how, "Weights", "EMA %s", ema_rate_text(rate, r->config->train.ema_decay[0]));
    provenance_add_range(&how, of.classes, 0, dims.count);
    return grid_write(path, r->images, dims, texts, provenance_texts(texts, &how), err);
}

/* A grid that cannot be drawn or written is no reason to stop. */
static void draw_grid(Run *r)
{
    char path[FILE_PATH];
    Err err;
    if (!r->images || r->drawn == r->state->step) return;
    bool drawn = draw_images(r), good = generator_check(&r->generator, &err);
    if (!drawn && good) return;
    r->drawn = r->state->step;
    if (good && is_ours(r, &err) && file_path(path, &err, "%s/samples", r->folder) &&
        file_make_folder(path, &err) &&
        file_path(path, &err, "%s/samples/step-%08" PRIu64 ".png", r->folder, r->state->step) &&
        write_grid(r, path, &err)) {
        tell(r, path);
        remark_early(r);
    } else if (r->observer->warn)
        r->observer->warn(r->observer->context, err.text);
}

/* All that could refuse grids does so before training starts. */
static bool prepare_grids(Run *r, Err *err)
{
    if (r->images) return true;
    const Config *c = r->config;
    const ModelConfig *m = &c->model;
    int most = trainer_micro_batch(c);
    int batch = c->sample.count < most ? c->sample.count : most;
    SamplerConfig sampler = config_sampler(c);
    Image grid = {0};
    if (!grid_new(&grid, (GridDims){c->sample.count, m->height, m->width, m->channels, 0}, err))
        return err_prefix(err, "sample.count = %d", c->sample.count);
    image_release(&grid);
    Conditioning classes = {.count = config_classes(c), .guidance = 1};
    if (!generator_init(&r->generator, trainer_unet(r->trainer), r->state->ema[0], &c->diffusion,
                        &sampler, &classes, batch, err))
        return false;
    r->images = memory_new((size_t)c->sample.count * r->generator.size, sizeof *r->images,
                           "the images of a grid", err);
    if (!r->images) generator_release(&r->generator);
    return r->images != NULL;
}

/* Somebody wants to see how far it is. A grid is drawn even where none was configured. */
static bool show(Run *r, Err *err)
{
    Err grids;
    if (!save_on_the_way(r, err)) return false;
    if (prepare_grids(r, &grids))
        draw_grid(r);
    else if (r->observer->warn)
        r->observer->warn(r->observer->context, grids.text);
    return true;
}

static bool is_asked_to_show(const Run *r)
{
    return r->observer->show && r->observer->show(r->observer->context);
}

/* ---- validation ---- */

static void remark_validation(const Run *r, const Validation *v)
{
    char text[320], rate[EMA_RATE_TEXT];
    const double *q = v->loss.quarter_mean;
    if (!r->observer->remark) return;
    snprintf(text, sizeof text,
             "validation after %" PRIu64 " steps, EMA %s, %d images: loss %.4g +- %.2g, by quarter "
             "of t %.4g, %.4g, %.4g, %.4g",
             r->state->step, ema_rate_text(rate, r->config->train.ema_decay[0]), v->images,
             v->loss.mean, v->loss.error, q[0], q[1], q[2], q[3]);
    r->observer->remark(r->observer->context, text);
}

/* One that is cut short leaves no line. */
static bool validate(Run *r, Err *err)
{
    Validation v;
    if (!r->validation || r->validated == r->state->step ||
        !validation_run(&v, r->trainer, r->config, r->validation, ends_look, r))
        return true;
    r->validated = r->state->step;
    r->validation_seconds = v.seconds;
    remark_validation(r, &v);
    remark_early(r);
    return metrics_write_validation(&r->metrics, &v, r->state, &r->config->train, err);
}

/* ---- evaluation ---- */

static bool prepare_evaluation(Run *r, const Dataset *set, Err *err)
{
    r->evaluates = r->config->train.evaluate_every > 0 && set && set->count > 0;
    return !r->evaluates || evaluation_init(&r->evaluation, r->trainer, r->config, set, err);
}

static void remark_evaluation(const Run *r, const EvaluationResult *result)
{
    char figures[EVALUATION_TEXT], text[EVALUATION_TEXT + 96], rate[EMA_RATE_TEXT];
    if (!r->observer->remark) return;
    evaluation_text(figures, result);
    snprintf(text, sizeof text, "evaluation after %" PRIu64 " steps, EMA %s, %s", r->state->step,
             ema_rate_text(rate, r->config->train.ema_decay[0]), figures);
    r->observer->remark(r->observer->context, text);
}

/* One that is cut short leaves no line; one that fails is no reason to stop. */
static bool evaluate(Run *r, Err *err)
{
    EvaluationResult result;
    bool stopped;
    Err failure;
    if (!r->evaluates || r->evaluated == r->state->step) return true;
    if (!evaluation_run(&result, &stopped, &r->evaluation, ends_look, r, &failure)) {
        if (r->observer->warn) r->observer->warn(r->observer->context, failure.text);
        return true;
    }
    if (stopped) return true;
    r->evaluated = r->state->step;
    remark_evaluation(r, &result);
    remark_early(r);
    return metrics_write_evaluation(&r->metrics, &result, r->state, &r->config->train, err);
}

/* ---- the loop ---- */

static bool is_due(uint64_t step, int every)
{
    return every > 0 && step % (uint64_t)every == 0;
}

/* What no learning rate mends: the network was used before any update was made. */
static const char *suspects(const Run *r)
{
    return r->worked ? ""
                     : "not one was finite since it was started, so look first at what it began "
                       "with, the weights (the checkpoint's, or those of --init) and the data; if "
                       "they are sound: ";
}

static bool diverged(const Run *r, const StepReport *report, Err *err)
{
    if (r->state->bad_steps < r->config->train.max_bad_steps) return false;
    err_set(err, ERR_DIVERGED,
            "step %" PRIu64 ": %d steps in a row with a loss or gradient that is not finite, first "
            "in %s; %s%s with a smaller train.learning_rate (now %g)",
            report->step, r->state->bad_steps, report->bad, suspects(r), way_back(r),
            r->config->train.learning_rate);
    return true;
}

static bool one_step(Run *r, Err *err)
{
    const TrainConfig *c = &r->config->train;
    StepReport report;
    double start = clock_seconds();
    trainer_step(r->trainer, &report);
    r->step_seconds = clock_seconds() - start;
    r->worked = r->worked || report.applied;
    metrics_add(&r->metrics, &report);
    if (r->observer->step) r->observer->step(r->observer->context, &report);
    if (is_taken(r, err)) return false;
    bool last = r->state->step >= (uint64_t)c->steps, bad = diverged(r, &report, err);
    if ((bad || last || is_due(r->state->step, c->log_every))) {
        Err log;
        if (!metrics_write(&r->metrics, &report, r->state, c, clock_seconds(), &log)) {
            if (!bad) *err = log;
            return false;
        }
    }
    return !bad;
}

static bool out_of_time(const Run *r)
{
    return lacks_time(r, r->step_seconds + r->save_seconds + r->validation_seconds);
}

static bool loop(Run *r, RunEnd *end, Err *err)
{
    const TrainConfig *c = &r->config->train;
    *end = RUN_DONE;
    while (r->state->step < (uint64_t)c->steps) {
        if (stops(r) || out_of_time(r)) {
            *end = stops(r) ? RUN_STOPPED : RUN_OUT_OF_TIME;
            return save(r, err);
        }
        if (!one_step(r, err)) return false;
        if (is_due(r->state->step, c->validate_every) && !validate(r, err)) return false;
        if (is_due(r->state->step, c->evaluate_every) && !evaluate(r, err)) return false;
        if (is_due(r->state->step, c->checkpoint_every) && !save_on_the_way(r, err)) return false;
        if (is_due(r->state->step, c->sample_every)) draw_grid(r);
        if (is_asked_to_show(r) && !show(r, err)) return false;
    }
    if (!validate(r, err) || !save(r, err) || !evaluate(r, err)) return false;
    if (c->sample_every > 0) draw_grid(r);
    return true;
}

/* The set to look at, if there is any. */
static const Dataset *validation_of(const Config *config, const Dataset *set)
{
    return set && set->count > 0 && config->train.validate_every > 0 ? set : NULL;
}

static bool write_config(const Run *r, Err *err)
{
    char path[FILE_PATH];
    Json *json = config_write(r->config);
    bool ok = file_make_folder(r->folder, err) &&
              file_path(path, err, "%s/config.json", r->folder) && json_write(path, json, err);
    json_free(json);
    return ok;
}

/* Whether the folder is to be as it was before: a new run failed before it had a checkpoint. What
 * diverged stays to be looked at. */
static bool came_to_nothing(const Run *r, const Err *err)
{
    return !r->lost && !r->ever_saved && (r->replaces || err->kind != ERR_DIVERGED);
}

static bool open_metrics(Run *r, Err *err)
{
    if (!metrics_open(&r->metrics, r->folder, r->state->step, clock_seconds(), err)) return false;
    if (r->metrics.damage.text[0]) warn(r, &r->metrics.damage);
    return true;
}

bool run_train(RunEnd *end, Trainer *trainer, const Config *config, const char *folder,
               RunOptions options, const RunObserver *observer, Err *err)
{
    Run r = {.trainer = trainer,
             .state = trainer_state(trainer),
             .config = config,
             .folder = folder,
             .observer = observer,
             .start = options.start,
             .max_seconds = options.max_seconds,
             .validation = validation_of(config, options.validation),
             .lock = options.lock,
             .replaces = options.replace};
    r.metrics.log.descriptor = -1;
    r.saved = r.state->step;
    r.ever_saved = r.state->step > 0;
    bool ready = (config->train.sample_every == 0 || prepare_grids(&r, err)) &&
                 prepare_evaluation(&r, options.validation, err) &&
                 (!r.replaces || run_set_aside(folder, err));
    bool ok = ready && write_config(&r, err) && open_metrics(&r, err) && loop(&r, end, err);
    metrics_close(&r.metrics);
    generator_release(&r.generator);
    if (r.evaluates) evaluation_release(&r.evaluation);
    free(r.images);
    if (ready && !ok && came_to_nothing(&r, err)) run_restore(folder);
    return ok;
}
