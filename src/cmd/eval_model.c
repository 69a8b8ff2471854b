#include "cmd/eval_model.h"

#include "eval/likelihood.h"
#include "eval/loss.h"
#include "train/evaluation.h"

#include <math.h>

/* ---- the network ---- */

static bool check_classes(const EvalRun *run, const EvalModel *model, Err *err)
{
    if (model->classes == 0 || model->no_class_row || run->images->labels) return true;
    return err_set(err, ERR_USAGE,
                   "%s: the model has %d classes and was trained without `no class` "
                   "(train.label_dropout = 0), and the images come without theirs, since "
                   "data.labels = false in its config; it has to be true",
                   run->source.folder, model->classes);
}

static bool open_model(EvalModel *model, EvalRun *run, Err *err)
{
    const Config *c = &run->source.config;
    if (!eval_run_network(run, err)) return false;
    *model = evaluation_model(c, run->unet, run->weights, run->rows);
    return check_classes(run, model, err);
}

/* A figure of all images, once it is in the report, where it stands as one that does not exist. */
static bool check_finite(const EvalRun *run, const Moments *m, const char *what, Err *err)
{
    return m->count == 0 || isfinite(m->mean) ||
           err_set(err, ERR_DIVERGED,
                   "%s: %s is not finite: the weights are damaged, or the training diverged; take "
                   "an older checkpoint",
                   run->source.folder, what);
}

/* ---- --nll ---- */

static bool write_csv(const char *path, const Likelihood *l, Err *err)
{
    FileWriter file;
    if (!file_create(&file, path, err)) return false;
    fprintf(file.stream, "t,bits_per_dimension,standard_error,images\n");
    for (int i = 0; i < l->T; i++) {
        const Moments *m = &l->by_t[i];
        if (m->count == 0) continue;
        fprintf(file.stream, "%d,%.9g,", i + 1, m->mean);
        if (m->count > 1) fprintf(file.stream, "%.3g", moments_error(m));
        fprintf(file.stream, ",%lld\n", (long long)m->count);
    }
    return file_commit(&file, err);
}

static void report_nll(EvalRun *run, const Likelihood *l, const LikelihoodOptions *options)
{
    Json *section = eval_run_section(run, "nll");
    json_set_string(section, "estimator", options->budget > 0 ? "budget" : "full");
    json_set_number(section, "calls_per_image", options->budget > 0 ? options->budget : l->T);
    eval_run_moments(section, "bits_per_dimension", &l->total);
    eval_run_moments(section, "L_T", &l->prior);
    eval_run_moments(section, "L_0", &l->decoder);
    json_set_bool(section, "clip", options->clip);
    json_set_number(section, "seconds", l->seconds);
    json_set_number(section, "network_seconds", l->network_seconds);
    if (l->partial) eval_run_partial(run, section);
}

bool eval_nll(EvalRun *run, Err *err)
{
    EvalModel model;
    Likelihood l;
    const EvalOptions *o = &run->options;
    if (!open_model(&model, run, err)) return false;
    LikelihoodOptions options = {.images = eval_run_count(run, run->images->count, EVAL_IMAGES),
                                 .budget = o->full         ? 0
                                           : o->budget > 0 ? o->budget
                                                           : EVAL_BUDGET,
                                 .clip = run->source.config.sample.clip,
                                 .seed = (uint64_t)o->seed};
    eval_run_begin(run, "nll", "calls", likelihood_rows(&options, model.diffusion));
    bool ok = likelihood_measure(&l, &model, run->images, &options, eval_run_goes_on, run, err);
    eval_run_end(run);
    if (!ok) return false;
    report_nll(run, &l, &options);
    ok = (!o->csv || write_csv(o->csv, &l, err)) &&
         check_finite(run, &l.total, "the bits per dimension", err);
    likelihood_release(&l);
    return ok;
}

/* ---- --loss ---- */

/* The columns of one tenth of the chain: of the network, and of the oracle and what is beyond it
 * where there is one. */
static void set_errors(Json *row, const char *prefix, const LossErrors *e, int tenth)
{
    char key[64];
    const struct {
        const char *name;
        const LossByT *by_t;
    } kinds[] = {{"epsilon", &e->epsilon}, {"x_0", &e->x_0}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const Moments *m = tenth < 0 ? &kinds[i].by_t->all : &kinds[i].by_t->tenths[tenth];
        if (m->count == 0) continue;
        snprintf(key, sizeof key, "%s%s", prefix, kinds[i].name);
        eval_run_moments(row, key, m);
    }
}

static void set_all_errors(Json *row, const LossMeasured *l, int tenth)
{
    set_errors(row, "", &l->network, tenth);
    set_errors(row, "oracle_", &l->oracle, tenth);
    set_errors(row, "beyond_", &l->beyond, tenth);
}

static void report_loss(EvalRun *run, const LossMeasured *l, const LossOptions *options)
{
    int T = run->source.config.diffusion.timesteps;
    Json *section = eval_run_section(run, "loss"), *rows = json_new_list();
    set_all_errors(section, l, -1);
    json_set_bool(section, "clip", options->clip);
    json_set_number(section, "seconds", l->seconds);
    for (int k = 0; k < EVAL_TENTHS; k++) {
        Json *row = json_new_object();
        json_set_number(row, "from_t", (double)((int64_t)T * k / EVAL_TENTHS + 1));
        json_set_number(row, "to_t", (double)((int64_t)T * (k + 1) / EVAL_TENTHS));
        set_all_errors(row, l, k);
        json_add(rows, row);
    }
    json_set(section, "by_t", rows);
    if (l->partial) eval_run_partial(run, section);
}

bool eval_loss(EvalRun *run, Err *err)
{
    EvalModel model;
    LossMeasured l;
    const EvalOptions *o = &run->options;
    if (!open_model(&model, run, err)) return false;
    LossOptions options = {.images = eval_run_count(run, run->images->count, EVAL_IMAGES),
                           .clip = run->source.config.sample.clip,
                           .seed = (uint64_t)o->seed,
                           .known = o->oracle ? &run->sets.train : NULL,
                           .mirrored = run->source.config.data.flip};
    eval_run_begin(run, "loss", "calls", (long)options.images * EVAL_TENTHS);
    bool ok = loss_measure(&l, &model, run->images, &options, eval_run_goes_on, run, err);
    eval_run_end(run);
    if (!ok) return false;
    report_loss(run, &l, &options);
    /* either can be beyond floats by itself, where alpha-bar is 0 or 1 */
    const Moments *epsilon = &l.network.epsilon.all, *x_0 = &l.network.x_0.all;
    return isfinite(x_0->mean) || check_finite(run, epsilon, "the error", err);
}
