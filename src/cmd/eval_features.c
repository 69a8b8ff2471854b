/*
 * The Frechet distance has no standard error here: it is no mean, and its floor says what the
 * number of images makes of it.
 */
#include "cmd/eval_features.h"

#include "cmd/eval_images.h"
#include "eval/frechet.h"
#include "eval/kernel_distance.h"
#include "eval/precision_recall.h"

#include <math.h>

void eval_three_release(EvalThree *three)
{
    features_release(&three->samples);
    features_release(&three->reference);
    features_release(&three->other);
}

/* Features have finite numbers, but not all that is made of them needs to be one. */
static bool check_finite(const char *what, double value, Err *err)
{
    return isfinite(value) ||
           err_set(err, ERR_DATA,
                   "the %s of features this large is beyond what a double holds; divide both sets "
                   "by one number that brings them nearer to 1",
                   what);
}

static bool compare_frechet(Json *section, const EvalThree *f, Err *err)
{
    const Features *of[3] = {&f->samples, &f->reference, &f->other};
    Gaussian g[3] = {{0}};
    double distance = 0, floor = 0;
    bool done = true;
    for (int i = 0; done && i < 3; i++) done = gaussian_of(&g[i], of[i], err);
    done = done && frechet_distance(&distance, &g[0], &g[1], err) &&
           frechet_distance(&floor, &g[2], &g[1], err);
    for (int i = 0; i < 3; i++) gaussian_release(&g[i]);
    if (!done || !check_finite("Frechet distance", distance + floor, err)) return false;
    eval_run_figure(section, "frechet_distance", distance, (double)NAN, f->samples.count);
    eval_run_figure(section, "frechet_distance_floor", floor, (double)NAN, f->samples.count);
    return true;
}

static bool compare_kernel(Json *section, const EvalThree *f, uint64_t seed, Err *err)
{
    KernelDistance of, floor;
    if (!kernel_distance(&of, &f->samples, &f->reference, seed, err) ||
        !kernel_distance(&floor, &f->other, &f->reference, seed, err))
        return false;
    int n = of.blocks * of.rows;
    double errors = of.blocks > 1 ? of.error + floor.error : 0;
    if (!check_finite("kernel distance", of.distance + floor.distance + errors, err)) return false;
    eval_run_figure(section, "kernel_distance", of.distance, of.error, n);
    eval_run_figure(section, "kernel_distance_floor", floor.distance, floor.error, n);
    return true;
}

static bool compare_precision(EvalRun *run, Json *section, const EvalThree *f, Err *err)
{
    PrecisionRecall of, floor;
    bool stopped;
    int n = f->samples.count;
    EvalPiece piece = {run, 0};
    eval_run_begin(run, "neighbours", "rows", 8L * n);
    bool done = precision_recall(&of, &stopped, &f->samples, &f->reference, eval_piece_goes_on,
                                 &piece, err);
    piece.before = 4L * n;
    if (done && !stopped)
        done = precision_recall(&floor, &stopped, &f->other, &f->reference, eval_piece_goes_on,
                                &piece, err);
    eval_run_end(run);
    if (!done) return false;
    if (stopped) {
        eval_run_partial(run, section);
        return true;
    }
    eval_run_figure(section, "precision", of.precision, of.precision_error, n);
    eval_run_figure(section, "precision_floor", floor.precision, floor.precision_error, n);
    eval_run_figure(section, "recall", of.recall, of.recall_error, n);
    eval_run_figure(section, "recall_floor", floor.recall, floor.recall_error, n);
    return true;
}

bool eval_features_compare(EvalRun *run, Json *section, const EvalThree *f, Err *err)
{
    json_set_number(section, "dimensions", f->samples.dim);
    return compare_frechet(section, f, err) &&
           compare_kernel(section, f, (uint64_t)run->options.seed, err) &&
           compare_precision(run, section, f, err);
}

static bool check_dims(const Features *a, const Features *b, const EvalOptions *o, Err *err)
{
    if (a->dim == b->dim) return true;
    return err_set(err, ERR_DATA,
                   "--features %s has rows of %d numbers, --reference-features %s of %d; both have "
                   "to come from one network",
                   o->features, a->dim, o->reference_features, b->dim);
}

static bool choose_rows(EvalThree *f, const Features *a, const Features *b, uint64_t seed, Err *err)
{
    EvalHalves h;
    if (!eval_halves_choose(&h, a->count, b->count, seed, err)) return false;
    bool done = features_choose(&f->samples, a, h.samples, h.count, err) &&
                features_choose(&f->reference, b, h.reference, h.count, err) &&
                features_choose(&f->other, b, h.other, h.count, err);
    eval_halves_release(&h);
    return done;
}

bool eval_features(EvalRun *run, Err *err)
{
    const EvalOptions *o = &run->options;
    Features a = {0}, b = {0};
    EvalThree f = {0};
    bool done = features_read(&a, o->features, err) &&
                features_read(&b, o->reference_features, err) && check_dims(&a, &b, o, err) &&
                choose_rows(&f, &a, &b, (uint64_t)o->seed, err);
    features_release(&a), features_release(&b);
    if (done) {
        Json *section = eval_run_section(run, "features");
        json_set_string(section, "samples", o->features);
        json_set_string(section, "reference", o->reference_features);
        done = eval_features_compare(run, section, &f, err);
    }
    eval_three_release(&f);
    return done;
}
