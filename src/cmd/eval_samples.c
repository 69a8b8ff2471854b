/*
 * All of it at one number of images, for most of these figures depend on it: that of the samples,
 * or half of the training images.
 */
#include "cmd/eval_samples.h"

#include "base/clock.h"
#include "cmd/eval_classifier.h"
#include "cmd/eval_features.h"
#include "cmd/eval_images.h"
#include "cmd/interrupt.h"
#include "eval/sliced_wasserstein.h"
#include "train/classifier.h"

/* ---- sliced Wasserstein ---- */

/* Levels that both have, as rows of a table. */
static void report_levels(Json *section, const SlicedWasserstein *of,
                          const SlicedWasserstein *floor)
{
    Json *levels = json_new_list();
    for (int i = 0; i < of->levels; i++) {
        const SlicedWassersteinLevel *l = &of->level[i], *f = &floor->level[i];
        Json *row = json_new_object();
        json_set_number(row, "height", l->height);
        json_set_number(row, "width", l->width);
        eval_run_figure(row, "distance", l->distance, l->error, of->images);
        if (i < floor->levels) eval_run_figure(row, "floor", f->distance, f->error, floor->images);
        json_add(levels, row);
    }
    json_set(section, "sliced_wasserstein_levels", levels);
}

/* The floor is not there where a signal came before it. */
static void report_patches(EvalRun *run, const SlicedWasserstein *of,
                           const SlicedWasserstein *floor)
{
    Json *section = json_edit(run->report, "samples");
    eval_run_figure(section, "sliced_wasserstein", of->distance, of->error, of->images);
    if (floor->levels > 0)
        eval_run_figure(section, "sliced_wasserstein_floor", floor->distance, floor->error,
                        floor->images);
    json_set_number(section, "patches_per_image", of->patches);
    report_levels(section, of, floor);
    if (of->partial || floor->partial || floor->levels == 0) eval_run_partial(run, section);
}

static bool compare_patches(EvalRun *run, const Dataset *samples, const Dataset *reference,
                            const Dataset *other, Err *err)
{
    uint64_t seed = (uint64_t)run->options.seed;
    SlicedWasserstein of, floor = {0};
    long steps = sliced_wasserstein_steps(reference);
    EvalPiece piece = {run, 0};
    eval_run_begin(run, "patches", "steps", 2 * steps);
    bool done = sliced_wasserstein(&of, samples, reference, seed, eval_piece_goes_on, &piece, err);
    piece.before = steps;
    if (done && !of.partial && interrupt_signal() == 0)
        done = sliced_wasserstein(&floor, other, reference, seed, eval_piece_goes_on, &piece, err);
    eval_run_end(run);
    if (done) report_patches(run, &of, &floor);
    return done;
}

/* ---- the classifier's ---- */

static bool ask_classifier(EvalThree *f, bool *stopped, EvalRun *run, Classifier *classifier,
                           const Dataset *const sets[3], Err *err)
{
    Features *of[3] = {&f->samples, &f->reference, &f->other};
    EvalPiece piece = {run, 0};
    *stopped = false;
    eval_run_begin(run, "features", "images", 3L * sets[0]->count);
    bool done = true;
    for (int i = 0; done && !*stopped && i < 3; i++) {
        int n = sets[i]->count;
        done = features_new(of[i], n, CONVNET_FEATURES, err);
        if (done)
            *stopped = classifier_features(of[i]->rows, classifier, sets[i], eval_piece_goes_on,
                                           &piece) < n;
        piece.before += n;
    }
    eval_run_end(run);
    return done;
}

static bool compare_by_classifier(EvalRun *run, const Dataset *const sets[3], Err *err)
{
    char path[FILE_PATH];
    Classifier classifier;
    EvalThree f = {0};
    bool stopped;
    if (!eval_classifier_path(path, run, err)) return false;
    if (!file_exists(path) && !run->options.classifier) {
        json_set_string(json_edit(run->report, "samples"), "features",
                        "none: --train-features trains a classifier of the data that makes some");
        return true;
    }
    if (!classifier_read(&classifier, path, sets[0], err)) return false;
    Json *section = eval_run_section(run, "features");
    json_set_string(section, "classifier", path);
    eval_run_figure(section, "test_accuracy", classifier.info.test_accuracy,
                    classifier_accuracy_error(&classifier.info), classifier.info.test_images);
    bool done = ask_classifier(&f, &stopped, run, &classifier, sets, err);
    classifier_release(&classifier);
    if (done && stopped) eval_run_partial(run, section);
    done = done && (stopped || eval_features_compare(run, section, &f, err));
    eval_three_release(&f);
    return done;
}

/* ---- what is asked for ---- */

static bool compare(EvalRun *run, const Dataset *const sets[3], Err *err)
{
    double start = clock_seconds();
    if (!compare_patches(run, sets[0], sets[1], sets[2], err)) return false;
    json_set_number(json_edit(run->report, "samples"), "seconds", clock_seconds() - start);
    return interrupt_signal() != 0 || compare_by_classifier(run, sets, err);
}

bool eval_samples(EvalRun *run, Err *err)
{
    EvalHalves h;
    Dataset samples = {0}, reference = {0}, other = {0};
    const Dataset *const sets[3] = {&samples, &reference, &other};
    if (!eval_images_open(run, err)) return false;
    if (run->samples.count < EVAL_FEWEST) return true; /* a signal came */
    const Dataset *train = &run->sets.train;
    if (!eval_halves_choose(&h, run->samples.count, train->count, (uint64_t)run->options.seed, err))
        return false;
    bool done = dataset_choose(&samples, &run->samples, h.samples, h.count, err) &&
                dataset_choose(&reference, train, h.reference, h.count, err) &&
                dataset_choose(&other, train, h.other, h.count, err) && compare(run, sets, err);
    dataset_release(&samples), dataset_release(&reference), dataset_release(&other);
    eval_halves_release(&h);
    return done;
}
