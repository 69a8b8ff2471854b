/*
 * ddpm train: which config, data and folder are meant, and what the user sees while it trains.
 */
#include "base/clock.h"
#include "base/gemm.h"
#include "base/parallel.h"
#include "base/utf8.h"
#include "base/whole.h"
#include "cmd/command.h"
#include "cmd/describe.h"
#include "cmd/interrupt.h"
#include "cmd/progress.h"
#include "cmd/text.h"
#include "cmd/train_options.h"
#include "train/checkpoint.h"
#include "train/datasets.h"
#include "train/run.h"
#include "train/run_folder.h"
#include "train/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    double start; /* of the time that may be taken: loading counts */
    TrainOptions options;
    Config config;
    char name[FILE_PATH];       /* the config's file name, or the checkpoint's folder */
    char folder[FILE_PATH];     /* of the run */
    char checkpoint[FILE_PATH]; /* to go on from; empty: a new run */
    Datasets sets;
    Trainer *trainer;
    Progress progress;
    double loss;          /* smoothed, for people */
    int steps;            /* done in this process */
    double first_seconds; /* that the first of them took */
} Train;

/* ---- the configuration ---- */

static bool apply_options(Config *config, char file[FILE_PATH], const TrainOptions *o, Err *err)
{
    if (!config_options_read(config, file, &o->config, err)) return false;
    if (o->seed >= 0) config->train.seed = (uint64_t)o->seed;
    return config_check(config, err);
}

static bool same_model(const Config *recorded, const Config *wanted, const char *folder, Err *err)
{
    const char *key = config_frozen_difference(recorded, wanted);
    if (!key) return true;
    return err_set(err, ERR_USAGE,
                   "%s is not what %s was trained with, and may not change on --resume; start a "
                   "new run, from its weights if you like (--init %s)",
                   key, folder, folder);
}

static bool same_averages(const Config *recorded, const Config *wanted, const char *folder,
                          Err *err)
{
    const TrainConfig *a = &recorded->train, *b = &wanted->train;
    if (a->emas == b->emas && memcmp(a->ema_decay, b->ema_decay, sizeof a->ema_decay) == 0)
        return true;
    return err_set(err, ERR_USAGE,
                   "train.ema_decay is not what %s was trained with: an average of another rate "
                   "cannot be made from those it has; leave it as it is, or start a new run, from "
                   "its weights if you like (--init %s)",
                   folder, folder);
}

static bool check_steps_done(const Train *t, const CheckpointInfo *info, Err *err)
{
    if ((uint64_t)t->config.train.steps >= info->step) return true;
    return err_set(err, ERR_USAGE,
                   "train.steps = %d, but %s is at step %" PRIu64 " already; give the number of "
                   "steps in all, those that are done included",
                   t->config.train.steps, t->folder, info->step);
}

static void warn_of_other_core(const Train *t, const CheckpointInfo *info)
{
    if (strcmp(info->blas_core, gemm_core_name()) == 0) return;
    text_say(stderr,
             "ddpm train: %s was trained with BLAS's kernels for %s, this machine uses those for "
             "%s: from here on results differ in the last bits",
             t->folder, info->blas_core, gemm_core_name());
}

/* The recorded config, or the one that is given, which must be of the same data and model. */
static bool resume_config(Train *t, Err *err)
{
    char path[FILE_PATH];
    CheckpointInfo info;
    if (!checkpoint_info(&info, t->checkpoint, err)) return false;
    t->config = info.config;
    snprintf(t->name, sizeof t->name, "%s", t->folder);
    utf8_make_plain(t->name);
    if (!apply_options(&t->config, path, &t->options, err) ||
        !same_model(&info.config, &t->config, t->folder, err) ||
        !same_averages(&info.config, &t->config, t->folder, err) ||
        !check_steps_done(t, &info, err))
        return false;
    warn_of_other_core(t, &info);
    return true;
}

/* "cifar" of configs/cifar.json: runs are called after it. */
static void config_stem(char *stem, size_t size, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    int length = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
    snprintf(stem, size, "%.*s", length, base);
}

static bool new_folder(Train *t, Err *err)
{
    char stem[256];
    config_stem(stem, sizeof stem, t->name);
    return run_new_folder(t->folder, stem, err);
}

static bool refuse_folder(const char *out, Err *err)
{
    if (checkpoint_exists(out))
        return err_set(err, ERR_USAGE,
                       "--out %s holds a run already; --resume goes on with it, --overwrite "
                       "replaces it",
                       out);
    return err_set(err, ERR_USAGE,
                   "--out %s holds a run that has no checkpoint; --overwrite replaces it", out);
}

static bool fresh_config(Train *t, Err *err)
{
    const TrainOptions *o = &t->options;
    if (!apply_options(&t->config, t->name, o, err)) return false;
    if (!o->out) return new_folder(t, err);
    if (file_exists(o->out) && !file_is_folder(o->out))
        return err_set(err, ERR_USAGE, "--out %s is a file; name a folder", o->out);
    /* --resume=auto: a run that was stopped before its first checkpoint starts again */
    bool may = o->overwrite || o->dry_run || o->resume == RESUME_AUTO;
    if (run_exists(o->out) && !may) return refuse_folder(o->out, err);
    return file_path(t->folder, err, "%s", o->out);
}

/* The run to go on with: --out, or the last that is called after --config, or the newest. */
static bool find_run(Train *t, Err *err)
{
    char stem[256];
    if (t->options.out) return file_path(t->folder, err, "%s", t->options.out);
    if (!t->options.config.name) return source_newest_run(t->folder, "runs", err);
    config_stem(stem, sizeof stem, t->options.config.name);
    return run_last_folder(t->folder, stem, err);
}

/* Whether to go on from a checkpoint, and from which. False with *missing if there is none. */
static bool find_checkpoint(Train *t, bool *missing, Err *err)
{
    *missing = true;
    if (!find_run(t, err)) return false;
    if (!run_check_latest(t->folder, err)) {
        *missing = false;
        return false;
    }
    if (!checkpoint_exists(t->folder))
        return err_set(err, ERR_DATA,
                       "--resume: %s has no checkpoint to go on from; start afresh with --config "
                       "FILE and %s",
                       t->folder,
                       run_exists(t->folder) ? "--overwrite or --resume=auto"
                                             : "--resume=auto, or no --resume");
    *missing = false;
    return file_path(t->checkpoint, err, "%s/checkpoints/latest", t->folder);
}

static bool choose(Train *t, Err *err)
{
    bool missing;
    if (t->options.resume != RESUME_NO) {
        if (find_checkpoint(t, &missing, err)) return resume_config(t, err);
        if (!missing || t->options.resume != RESUME_AUTO) return false;
        t->checkpoint[0] = '\0';
    }
    return fresh_config(t, err);
}

/* ---- data, memory, weights ---- */

/* What changes the function that weights compute, though not their shapes. */
static bool same_function(const ModelConfig *from, const ModelConfig *to, const char *init,
                          Err *err)
{
    const struct {
        const char *key;
        double from, to;
    } keys[] = {
        {"freq_shift", from->freq_shift, to->freq_shift},
        {"flip_sin_to_cos", from->flip_sin_to_cos, to->flip_sin_to_cos},
        {"downsample_padding", from->downsample_padding, to->downsample_padding},
        {"attention_head_dim", from->attention_head_dim, to->attention_head_dim},
        {"norm_groups", from->norm_groups, to->norm_groups},
        {"norm_eps", from->norm_eps, to->norm_eps},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].from != keys[i].to)
            return err_set(err, ERR_USAGE,
                           "--init %s: its model has %s = %g, and model.%s is %g, with which its "
                           "weights mean something else; set it to the same (0 is null or false)",
                           init, keys[i].key, keys[i].from, keys[i].key, keys[i].to);
    return true;
}

static void warn_of_other_chain(const DiffusionConfig *from, const DiffusionConfig *to)
{
    if (from->prediction != to->prediction)
        fprintf(stderr, "ddpm train: --init is from a model that predicts %s, not %s\n",
                prediction_names[from->prediction], prediction_names[to->prediction]);
    char origin[SCHEDULE_ORIGIN];
    schedule_origin(origin, from);
    if (!schedule_equal(from, to))
        fprintf(stderr, "ddpm train: --init is from a model of another chain: %s, T = %d\n", origin,
                from->timesteps);
}

/* As many rows, of which one more or one less is a class. */
static void warn_of_other_rows(const Config *from, const Config *to)
{
    int before = config_classes(from), now = config_classes(to);
    if (before != now)
        fprintf(stderr,
                "ddpm train: --init is from a model of %d classes, and this one has %d: the last "
                "row of its class embedding means something else\n",
                before, now);
}

static bool init_weights(Train *t, Err *err)
{
    Source source;
    TrainState *state = trainer_state(t->trainer);
    const Unet *unet = trainer_unet(t->trainer);
    if (!t->options.init) return true;
    if (!source_open(&source, t->options.init, err) ||
        !same_function(&source.config.model, &t->config.model, t->options.init, err) ||
        !source_weights(state->weights, &source, unet, SOURCE_FIRST_EMA, err))
        return false;
    describe_assumed("train", &source);
    warn_of_other_chain(&source.config.diffusion, &t->config.diffusion);
    warn_of_other_rows(&source.config, &t->config);
    train_state_restart_emas(state, unet_params(unet));
    return true;
}

static bool prepare(Train *t, Err *err)
{
    if (!datasets_open(&t->sets, &t->config, err)) return false;
    t->trainer = trainer_new(&t->config, &t->sets.train, err);
    return t->trainer && (t->checkpoint[0] || init_weights(t, err));
}

static bool read_checkpoint(Train *t, Err *err)
{
    const ParamTable *table = unet_params(trainer_unet(t->trainer));
    return !t->checkpoint[0] ||
           checkpoint_read(trainer_state(t->trainer), table, t->checkpoint, err);
}

/* ---- what is seen ---- */

static void describe_validation(FILE *to, const Train *t)
{
    const TrainConfig *c = &t->config.train;
    int there = t->sets.validation.count, used = c->validate_images;
    char images[DESCRIBE_NUMBER], all[DESCRIBE_NUMBER];
    if (there == 0 || c->validate_every == 0) return;
    fprintf(to, "validation each %d steps on %s of %s images%s\n", c->validate_every,
            describe_count(images, (uint64_t)(used < there ? used : there)),
            describe_count(all, (uint64_t)there),
            data_holds_out(&t->config.data) ? ", which are not trained on" : "");
}

static void describe_evaluation(FILE *to, const Train *t)
{
    const Config *c = &t->config;
    char images[DESCRIBE_NUMBER];
    int n = whole_min(c->train.evaluate_images, t->sets.validation.count);
    if (c->train.evaluate_every == 0 || n == 0) return;
    describe_count(images, (uint64_t)n);
    fprintf(to,
            "evaluation each %d steps: %s images of data.validation, and %s samples by %s in %d "
            "steps\n",
            c->train.evaluate_every, images, images, sampler_names[c->sample.sampler],
            config_sample_steps(c, c->sample.sampler));
}

static bool describe(FILE *to, const Train *t, Err *err)
{
    const Dataset *set = &t->sets.train;
    size_t bytes;
    char images[DESCRIBE_NUMBER];
    if (!trainer_memory(&bytes, &t->config, err)) return false;
    bytes += dataset_bytes(set) + dataset_bytes(&t->sets.validation);
    fprintf(to, "%s: ", t->name);
    describe_network(to, trainer_unet(t->trainer));
    fprintf(to, "%s images of %dx%dx%d, batches of %d in micro-batches of %d, %.0f MiB of memory\n",
            describe_count(images, (uint64_t)set->count), set->height, set->width, set->channels,
            t->config.train.batch_size, trainer_micro_batch(&t->config), (double)bytes / 1048576);
    describe_validation(to, t);
    describe_evaluation(to, t);
    fflush(to);
    return true;
}

enum { TIMED_STEPS = 3 };

/* Once steps have been timed: the first one alone, which also takes memory into use, if it was long
 * already; otherwise some after it. */
static void say_how_long(Train *t, uint64_t steps_done)
{
    char time[64];
    double now = progress_seconds(&t->progress), step = now;
    uint64_t left = (uint64_t)t->config.train.steps - steps_done;
    if (t->steps == 1) t->first_seconds = now;
    if (t->steps == 1 + TIMED_STEPS) step = (now - t->first_seconds) / TIMED_STEPS;
    bool said = t->steps > 1 && t->first_seconds > 5;
    bool timed = t->steps == 1 + TIMED_STEPS || t->first_seconds > 5;
    progress_duration(time, sizeof time, step * (double)left);
    if (timed && !said && step * (double)left > 10)
        fprintf(stderr, "%" PRIu64 " steps to go at %.2g s each: about %s\n", left, step, time);
}

static void on_step(void *context, const StepReport *report)
{
    Train *t = context;
    char text[64];
    if (!report->applied) {
        progress_clear(&t->progress);
        fprintf(stderr,
                "ddpm train: step %" PRIu64 " was not applied: numbers that are not finite in %s\n",
                report->step, report->bad);
        return;
    }
    double weight = t->steps < 20 ? 1.0 / (t->steps + 1) : 0.05;
    t->loss += weight * (report->loss - t->loss);
    t->steps++;
    if (t->steps <= 1 + TIMED_STEPS && !t->options.work.quiet) say_how_long(t, report->step + 1);
    snprintf(text, sizeof text, "loss %.4f", t->loss);
    progress_update(&t->progress, (long)report->step + 1, text);
}

static void on_note(void *context, const char *text)
{
    Train *t = context;
    if (t->options.work.quiet) return;
    progress_clear(&t->progress);
    text_say(stderr, "wrote %s", text);
}

static void on_remark(void *context, const char *text)
{
    Train *t = context;
    if (t->options.work.quiet) return;
    progress_clear(&t->progress);
    text_say(stderr, "%s", text);
}

static void on_warning(void *context, const char *text)
{
    Train *t = context;
    progress_clear(&t->progress);
    text_say(stderr, "ddpm train: %s; training goes on", text);
}

static bool on_stop(void *context)
{
    (void)context;
    return interrupt_signal() != 0;
}

static bool on_show(void *context)
{
    (void)context;
    return interrupt_take_request();
}

/* ---- running ---- */

static bool dry_run(Train *t, Err *err)
{
    StepReport report;
    if (!describe(stdout, t, err)) return false;
    progress_init(&t->progress, "train", "steps", 0, 1, true);
    trainer_step(t->trainer, &report);
    printf("one step: loss %.4f, gradient norm %.4g, %.2f s\n", report.loss, report.grad_norm,
           progress_seconds(&t->progress));
    return true;
}

static int ended(const Train *t, RunEnd end)
{
    text_print_path(t->folder);
    int code = command_finish("train");
    if (end == RUN_STOPPED) return interrupt_exit_code(interrupt_signal());
    return end == RUN_OUT_OF_TIME ? (int)EXIT_OUT_OF_TIME : code;
}

/* A run that has done all its steps: there is nothing to be done, and nothing is changed. */
static int nothing_left(const Train *t)
{
    if (!t->options.work.quiet)
        text_say(stderr, "%s has done its %d steps; --set train.steps=N goes on up to N", t->folder,
                 t->config.train.steps);
    text_print_path(t->folder);
    return command_finish("train");
}

static int run(Train *t, Lock *lock, Err *err)
{
    RunEnd end;
    RunObserver observer = {t, on_step, on_note, on_remark, on_warning, on_stop, on_show};
    uint64_t first = trainer_state(t->trainer)->step;
    if (first == (uint64_t)t->config.train.steps) return nothing_left(t);
    if (!t->options.work.quiet) {
        if (!describe(stderr, t, err)) return command_fail("train", err);
        text_say(stderr, "%s %s", first > 0 ? "going on with" : "run", t->folder);
    }
    interrupt_install();
    progress_init(&t->progress, "train", "steps", (long)first, t->config.train.steps,
                  t->options.work.quiet);
    RunOptions options = {.max_seconds = t->options.max_seconds,
                          .start = t->start,
                          .validation = &t->sets.validation,
                          .lock = lock,
                          .replace = !t->checkpoint[0] && run_exists(t->folder)};
    bool ok = run_train(&end, t->trainer, &t->config, t->folder, options, &observer, err);
    progress_release(&t->progress);
    return ok ? ended(t, end) : command_fail("train", err);
}

/* What was decided before the lock was ours stands if nobody trained there in between. */
static bool check_again(Train *t, Err *err)
{
    CheckpointInfo info;
    bool auto_resume = t->options.resume == RESUME_AUTO;
    if (t->checkpoint[0])
        return checkpoint_info(&info, t->checkpoint, err) &&
               same_model(&info.config, &t->config, t->folder, err) &&
               same_averages(&info.config, &t->config, t->folder, err) &&
               check_steps_done(t, &info, err);
    if (t->options.overwrite) return true;
    if (checkpoint_exists(t->folder) || (!auto_resume && run_exists(t->folder)))
        return refuse_folder(t->folder, err);
    return true;
}

/* The latest checkpoint is read once nobody else can write another. A folder that was made for
 * nothing goes again. */
static int run_locked(Train *t, Err *err)
{
    Lock lock;
    bool is_new = !file_exists(t->folder);
    if (!run_lock(&lock, t->folder, err)) return command_fail("train", err);
    bool ready = run_mend(t->folder, err) && check_again(t, err) && read_checkpoint(t, err);
    int code = ready ? run(t, &lock, err) : command_fail("train", err);
    lock_release(&lock);
    if (is_new) rmdir(t->folder); /* fails, as it should, where there is something in it */
    return code;
}

static int start(Train *t, Err *err)
{
    interrupt_outlive_writes();
    interrupt_install_request(); /* it may come at any time: the first step is soon enough */
    if (t->options.work.threads > 0) parallel_setup(t->options.work.threads);
    if (!choose(t, err)) return command_fail("train", err);
    if (!prepare(t, err)) return command_fail("train", err);
    if (!t->options.dry_run) return run_locked(t, err);
    bool ok = read_checkpoint(t, err) && dry_run(t, err);
    return ok ? command_finish("train") : command_fail("train", err);
}

int cmd_train(int argc, char **argv)
{
    Train t = {.start = clock_seconds()};
    Err err;
    bool help;
    if (!train_options_parse(&t.options, &help, argc, argv, &err))
        return command_fail("train", &err);
    if (help) {
        options_help(stdout, &train_options_table);
        return command_finish("train");
    }
    int code = start(&t, &err);
    trainer_free(t.trainer);
    datasets_release(&t.sets);
    return code;
}
