#include "cmd/eval_memorised.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/moments.h"
#include "base/whole.h"
#include "cmd/eval_images.h"
#include "cmd/interrupt.h"
#include "data/grid.h"
#include "eval/nearest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double COPY = 1 / 3.0, QUANTILE = 0.01;

/* Of fewer held-out images one in a hundred is the least of them, which says nothing. */
enum { FEWEST_OF_QUANTILE = 100 };
enum { LISTED = 8, PAIRS = 64, PAIR_COLUMNS = 16, HELD_OUT = 1000 };

/* Images and their neighbours among the training images. */
typedef struct {
    const Dataset *set;
    NearestImages *found; /* [set->count], of which the first `count` are done */
    double *ratios;       /* [count] */
    int count;
    double scale; /* from a squared distance to a mean square of a byte */
} Judged;

static void judged_release(Judged *j)
{
    free(j->found);
    free(j->ratios);
}

/* Of exact copies of an image that is there twice it is 0 / 0: a copy all the same. */
static double ratio_of(const NearestImages *found)
{
    if (found->nearest.distance == 0) return 0;
    return sqrt((double)found->nearest.distance / (double)found->next.distance);
}

static bool judge(Judged *j, EvalRun *run, const Dataset *set, const char *verb, Err *err)
{
    *j = (Judged){.set = set, .scale = 1.0 / ((double)set->height * set->width * set->channels)};
    j->found = memory_new((size_t)set->count, sizeof *j->found, "the nearest images", err);
    j->ratios =
        j->found ? memory_new((size_t)set->count, sizeof *j->ratios, "their ratios", err) : NULL;
    if (!j->ratios) return false;
    eval_run_begin(run, verb, "images", set->count);
    bool done = nearest_images(j->found, &j->count, set, &run->sets.train,
                               run->source.config.data.flip, eval_run_goes_on, run, err);
    eval_run_end(run);
    for (int i = 0; done && i < j->count; i++) j->ratios[i] = ratio_of(&j->found[i]);
    return done;
}

/* ---- figures ---- */

/* The root mean square difference of a byte. */
static Moments distances(const Judged *j)
{
    Moments m = {0};
    for (int i = 0; i < j->count; i++)
        moments_add(&m, sqrt((double)j->found[i].nearest.distance * j->scale));
    return m;
}

static Moments ratios(const Judged *j)
{
    Moments m = {0};
    for (int i = 0; i < j->count; i++) moments_add(&m, j->ratios[i]);
    return m;
}

static void set_share(Json *section, const char *key, const Judged *j, double threshold)
{
    int below = 0, n = j->count;
    for (int i = 0; i < n; i++) below += j->ratios[i] < threshold;
    double share = n > 0 ? (double)below / n : (double)NAN;
    eval_run_figure(section, key, share, moments_share_error(share, n), n);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the nearest pairs ---- */

typedef struct {
    double ratio;
    int index;
} Ranked;

static int by_ratio(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    return x->ratio != y->ratio ? ascending(&x->ratio, &y->ratio) : x->index - y->index;
}

/* The samples by their ratios, the least first; free() them. */
static Ranked *rank(const Judged *j, Err *err)
{
    Ranked *ranked = memory_new((size_t)j->count, sizeof *ranked, "the order of the samples", err);
    if (!ranked) return NULL;
    for (int i = 0; i < j->count; i++) ranked[i] = (Ranked){j->ratios[i], i};
    qsort(ranked, (size_t)j->count, sizeof *ranked, by_ratio);
    return ranked;
}

static void report_nearest(Json *section, const Judged *j, const Ranked *ranked)
{
    Json *list = json_new_list();
    for (int i = 0; i < whole_min(LISTED, j->count); i++) {
        const NearestImages *found = &j->found[ranked[i].index];
        Json *row = json_new_object();
        json_set_number(row, "sample", ranked[i].index);
        json_set_number(row, "training_image", found->nearest.index);
        json_set_bool(row, "mirrored", found->nearest.mirrored);
        json_set_number(row, "distance", sqrt((double)found->nearest.distance * j->scale));
        json_set_number(row, "ratio", ranked[i].ratio);
        json_add(list, row);
    }
    json_set(section, "nearest", list);
}

/* A training image as it was nearest. */
static void copy_neighbour(uint8_t *out, const Dataset *set, Neighbour n)
{
    size_t pixel = (size_t)set->channels, width = (size_t)set->width;
    const uint8_t *image = dataset_image(set, n.index);
    for (size_t i = 0; i < (size_t)set->height * width; i++) {
        size_t mirrored = i / width * width + width - 1 - i % width;
        memcpy(out + i * pixel, image + (n.mirrored ? mirrored : i) * pixel, pixel);
    }
}

static bool write_pairs(const char *path, const Judged *j, const Ranked *ranked,
                        const Dataset *train, Err *err)
{
    GridDims dims = {2 * whole_min(PAIRS, j->count), train->height, train->width, train->channels,
                     PAIR_COLUMNS};
    size_t image = (size_t)train->height * (size_t)train->width * (size_t)train->channels;
    uint8_t *pairs = memory_new((size_t)dims.count, image, "pairs of images", err);
    Image grid = {0};
    if (!pairs) return false;
    for (int i = 0; i < dims.count / 2; i++) {
        uint8_t *at = pairs + 2 * (size_t)i * image;
        memcpy(at, dataset_image(j->set, ranked[i].index), image);
        copy_neighbour(at + image, train, j->found[ranked[i].index].nearest);
    }
    const PngText text = {"Pairs", "a sample, and to its right the training image nearest to it"};
    bool done = grid_make(&grid, pairs, dims, err) && image_write(path, &grid, &text, 1, err);
    image_release(&grid);
    free(pairs);
    return done;
}

/* ---- the report ---- */

static bool report_pairs(EvalRun *run, Json *section, const Judged *samples, Err *err)
{
    const char *path = run->options.pairs;
    Ranked *ranked = rank(samples, err);
    if (!ranked) return false;
    report_nearest(section, samples, ranked);
    bool done = !path || write_pairs(path, samples, ranked, &run->sets.train, err);
    if (done && path) json_set_string(section, "pairs", path);
    free(ranked);
    return done;
}

/* What QUANTILE of the ratios of held-out images are below, and how many samples are. */
static bool report_threshold(Json *section, const Judged *samples, const Judged *new, Err *err)
{
    Ranked *ranked = rank(new, err);
    if (!ranked) return false;
    double threshold = ranked[(int)(QUANTILE * new->count)].ratio;
    free(ranked);
    eval_run_figure(section, "threshold_1_in_100_held_out", threshold, (double)NAN, new->count);
    set_share(section, "share_of_ratios_below_threshold", samples, threshold);
    return true;
}

/* `new` NULL: there are no images that were not trained on. */
static bool report(EvalRun *run, const Judged *samples, const Judged *new, double seconds, Err *err)
{
    Json *section = eval_run_section(run, "memorised");
    Moments distance = distances(samples), ratio = ratios(samples);
    json_set_number(section, "training_images", run->sets.train.count);
    json_set_bool(section, "mirrored_too", run->source.config.data.flip);
    eval_run_moments(section, "nearest_distance", &distance);
    if (new) {
        distance = distances(new);
        eval_run_moments(section, "nearest_distance_of_held_out", &distance);
    }
    eval_run_moments(section, "ratio_to_next_nearest", &ratio);
    if (new) {
        ratio = ratios(new);
        eval_run_moments(section, "ratio_of_held_out", &ratio);
    }
    set_share(section, "share_of_ratios_below_one_third", samples, COPY);
    if (new) set_share(section, "share_of_held_out_below_one_third", new, COPY);
    if (new &&new->count >= FEWEST_OF_QUANTILE && !report_threshold(section, samples, new, err))
        return false;
    json_set_number(section, "seconds", seconds);
    if (interrupt_signal() != 0) eval_run_partial(run, section);
    return report_pairs(run, section, samples, err);
}

/* As many as the samples, and HELD_OUT at least, of those that were not trained on, evenly chosen.
 */
static bool choose_new(Dataset *out, const EvalRun *run, Err *err)
{
    const Dataset *set = &run->sets.validation;
    int wanted = run->samples.count > HELD_OUT ? run->samples.count : HELD_OUT;
    int n = whole_min(wanted, set->count);
    return dataset_choose_spread(out, set, 0, 1, n, err);
}

static bool check_set(const EvalRun *run, Err *err)
{
    if (run->sets.train.count > 1) return true;
    return err_set(err, ERR_DATA,
                   "--memorised: there is one training image, and so no next nearest");
}

bool eval_memorised(EvalRun *run, Err *err)
{
    Judged samples = {0}, new = {0};
    Dataset held_out = {0};
    bool compared = run->sets.validation.count > 0;
    if (!check_set(run, err) || !eval_images_open(run, err)) return false;
    if (run->samples.count == 0) return true; /* a signal came */
    double start = clock_seconds();
    bool done = judge(&samples, run, &run->samples, "nearest", err);
    double seconds = clock_seconds() - start;
    compared = compared && interrupt_signal() == 0;
    if (done && compared)
        done = choose_new(&held_out, run, err) && judge(&new, run, &held_out, "held-out", err);
    done =
        done && (samples.count == 0 || report(run, &samples, compared ? &new : NULL, seconds, err));
    judged_release(&samples), judged_release(&new);
    dataset_release(&held_out);
    return done;
}
