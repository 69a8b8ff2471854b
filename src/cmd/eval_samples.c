/*
 * All of it at one number of images, for most of these figures depend on it: that of the samples,
 * or half of the training images.
 */
#include "cmd/eval_samples.h"

#include "base/clock.h"
#include "cmd/eval_images.h"
#include "cmd/interrupt.h"
#include "eval/sliced_wasserstein.h"

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
    if (of->partial || floor->partial || floor->levels == 0) eval_run_partial(run);
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

/* ---- what is asked for ---- */

static bool compare(EvalRun *run, const Dataset *const sets[3], Err *err)
{
    double start = clock_seconds();
    if (!compare_patches(run, sets[0], sets[1], sets[2], err)) return false;
    json_set_number(json_edit(run->report, "samples"), "seconds", clock_seconds() - start);
    return true;
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
