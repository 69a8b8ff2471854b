#include "train/evaluation.h"

#include "base/clock.h"
#include "base/whole.h"
#include "data/pixels.h"
#include "eval/likelihood.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool evaluation_init(Evaluation *e, Trainer *trainer, const Config *c, const Dataset *set, Err *err)
{
    SamplerConfig sampler = config_sampler(c);
    Conditioning classes = {.count = config_classes(c), .guidance = 1};
    int images = whole_min(c->train.evaluate_images, set->count);
    int batch = whole_min(images, trainer_micro_batch(c));
    *e = (Evaluation){.trainer = trainer, .config = c, .set = set};
    e->samples = (Dataset){images, set->height, set->width, set->channels, 0, NULL, NULL};
    if (!generator_init(&e->generator, trainer_unet(trainer), trainer_state(trainer)->ema[0],
                        &c->diffusion, &sampler, &classes, batch, err))
        return false;
    e->batch = memory_new((size_t)batch * e->generator.size, sizeof *e->batch, "samples", err);
    if (e->batch && dataset_allocate(&e->samples, false, "samples to evaluate", err)) return true;
    evaluation_release(e);
    return false;
}

void evaluation_release(Evaluation *e)
{
    generator_release(&e->generator);
    free(e->batch);
    dataset_release(&e->samples);
    e->batch = NULL;
}

/* ---- whether to go on ---- */

typedef struct {
    bool (*stop)(void *context);
    void *context;
    bool stopped;
} Asked;

static bool goes_on(void *context, long done)
{
    Asked *a = context;
    (void)done;
    a->stopped = a->stopped || (a->stop && a->stop(a->context));
    return !a->stopped;
}

static bool goes_on_sampling(void *context, int calls)
{
    return goes_on(context, calls);
}

/* ---- samples ---- */

static bool draw(Evaluation *e, Asked *asked)
{
    int batch = e->generator.batch, count = e->samples.count;
    for (int first = 0; first < count; first += batch) {
        int n = whole_min(batch, count - first);
        if (!generator_batch(&e->generator, e->batch, NULL, (uint32_t)first, n, goes_on_sampling,
                             asked))
            return false;
        pixels_to_bytes(dataset_image(&e->samples, first), e->batch, (size_t)n * e->generator.size);
    }
    return true;
}

/* The figure of `a` in *out. True too where it was stopped. */
static bool compare(SlicedWasserstein *out, const Dataset *a, const Dataset *b, Asked *asked,
                    Err *err)
{
    return sliced_wasserstein(out, a, b, 0, goes_on, asked, err);
}

/* Once: it is not the network's. */
static bool find_floor(Evaluation *e, Asked *asked, Err *err)
{
    Dataset one = {0}, other = {0};
    SlicedWasserstein w;
    int count = e->samples.count;
    if (e->floor_known) return true;
    e->floor = e->floor_error = (double)NAN;
    bool ok = true;
    if (e->set->count >= 2 * (int64_t)count) {
        ok = dataset_choose_spread(&one, e->set, 0, 2, 2 * count, err) &&
             dataset_choose_spread(&other, e->set, 1, 2, 2 * count, err) &&
             compare(&w, &one, &other, asked, err);
        if (ok) e->floor = w.distance, e->floor_error = w.error;
    }
    e->floor_known = ok && !asked->stopped;
    dataset_release(&one);
    dataset_release(&other);
    return ok;
}

/* ---- likelihood ---- */

EvalModel evaluation_model(const Config *c, Unet *unet, const float *weights, int rows)
{
    int classes = config_classes(c);
    return (EvalModel){.unet = unet,
                       .weights = weights,
                       .diffusion = &c->diffusion,
                       .classes = classes,
                       .no_class_row = classes < c->model.num_classes,
                       .rows = whole_min(rows, EVAL_MOST_ROWS)};
}

static bool measure_bits(EvaluationResult *out, Evaluation *e, Asked *asked, Err *err)
{
    const Config *c = e->config;
    EvalModel model = evaluation_model(c, trainer_unet(e->trainer),
                                       trainer_state(e->trainer)->ema[0], trainer_micro_batch(c));
    LikelihoodOptions options = {
        .images = e->samples.count, .budget = EVALUATION_BUDGET, .clip = c->sample.clip};
    Likelihood bound;
    if (!likelihood_measure(&bound, &model, e->set, &options, goes_on, asked, err)) return false;
    out->bits = bound.total;
    out->prior = bound.prior;
    out->decoder = bound.decoder;
    likelihood_release(&bound);
    return true;
}

bool evaluation_run(EvaluationResult *out, bool *stopped, Evaluation *e,
                    bool (*stop)(void *context), void *context, Err *err)
{
    Asked asked = {stop, context, false};
    double start = clock_seconds();
    *out = (EvaluationResult){.images = e->samples.count};
    bool ok = measure_bits(out, e, &asked, err);
    bool drawn = ok && !asked.stopped && draw(e, &asked);
    if (drawn)
        ok = compare(&out->wasserstein, &e->samples, e->set, &asked, err) &&
             (asked.stopped || find_floor(e, &asked, err));
    else
        ok = ok && (asked.stopped || generator_check(&e->generator, err));
    out->floor = e->floor;
    out->floor_error = e->floor_error;
    out->seconds = clock_seconds() - start;
    *stopped = asked.stopped;
    return ok;
}

void evaluation_text(char out[EVALUATION_TEXT], const EvaluationResult *r)
{
    char floor[96] = "";
    if (!isnan(r->floor))
        snprintf(floor, sizeof floor, " (%.3g +- %.2g of as many of the data)", r->floor,
                 r->floor_error);
    snprintf(out, EVALUATION_TEXT,
             "%d images: %.4g +- %.2g bits/dim; sliced Wasserstein of as many samples %.4g +- "
             "%.2g%s",
             r->images, r->bits.mean, moments_error(&r->bits), r->wasserstein.distance,
             r->wasserstein.error, floor);
}
