#include "eval/likelihood.h"

#include "base/clock.h"
#include "diffusion/bound.h"

#include <assert.h>

typedef struct {
    const EvalModel *model;
    const EvalImages *images;
    double seconds;
} Asked;

static void ask(void *context, float *out, const float *x_t, const int *t, const int *image, int n)
{
    Asked *asked = context;
    double start = clock_seconds();
    eval_network_on(asked->model, asked->images, out, x_t, t, image, n);
    asked->seconds += clock_seconds() - start;
}

long likelihood_rows(const LikelihoodOptions *options, const DiffusionConfig *diffusion)
{
    return (long)options->images * (options->budget ? options->budget : diffusion->timesteps);
}

bool likelihood_measure(Likelihood *out, const EvalModel *model, const Dataset *set,
                        const LikelihoodOptions *options,
                        bool (*progress)(void *context, long done), void *context, Err *err)
{
    const ModelConfig *m = unet_config(model->unet);
    assert(set->height == m->height && set->width == m->width && set->channels == m->channels);
    double start = clock_seconds();
    Schedule schedule = {.T = model->diffusion->timesteps};
    BoundConfig config = {.diffusion = model->diffusion,
                          .schedule = &schedule,
                          .pixels = (size_t)m->height * (size_t)m->width,
                          .channels = m->channels,
                          .rows = model->rows,
                          .budget = options->budget,
                          .clip = options->clip,
                          .seed = options->seed};
    *out = (Likelihood){.T = schedule.T};
    if (!arena_init(&out->arena, schedule_bytes(schedule.T) + bound_bytes(&config),
                    "the rows of a bound", err))
        return false;
    schedule_init(&schedule, &out->arena, model->diffusion);
    EvalImages images = {set, options->images, false};
    ImageSource source = eval_images(&images);
    Asked asked = {model, &images, 0};
    Bound bound;
    bound_init(&bound, &out->arena, &config);
    out->partial = !bound_run(&bound, &source, ask, &asked, progress, context);
    out->total = bound.total, out->prior = bound.prior, out->decoder = bound.decoder;
    out->by_t = bound.by_t, out->rows = bound.asked;
    out->network_seconds = asked.seconds, out->seconds = clock_seconds() - start;
    return true;
}

void likelihood_release(Likelihood *likelihood)
{
    arena_release(&likelihood->arena);
}
