/*
 * What is timed is what `train` and `sample` call, not a copy of it. Its images are bytes without
 * sense: no kernel's time depends on their values.
 */
#include "train/bench.h"

#include "base/clock.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

const char *const bench_names[] = {"train", "sample", NULL};

/* What a step needs. */
typedef struct {
    BenchKind kind;
    Config config;
    Dataset set;
    Trainer *trainer;
    Unet *unet; /* of sampling; its arrays are in the arena */
    Arena arena;
    float *weights, *y;
    UnetInput input;
} Work;

/* The steps' times as they come. */
typedef struct {
    Bench *bench;
    double *now;     /* [2][blocks], of this step */
    double *seconds; /* [repeat] */
} Times;

/* ---- training ---- */

static bool make_images(Dataset *set, const Config *config, Err *err)
{
    const ModelConfig *m = &config->model;
    *set = (Dataset){.count = config->train.batch_size,
                     .height = m->height,
                     .width = m->width,
                     .channels = m->channels,
                     .classes = config_classes(config)};
    if (!dataset_allocate(set, set->classes > 0, "made-up images", err)) return false;
    size_t bytes = (size_t)set->count * (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    for (size_t i = 0; i < bytes; i++) set->pixels[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24);
    for (int i = 0; i < set->count && set->labels; i++)
        set->labels[i] = (int32_t)(i % set->classes);
    return true;
}

static bool prepare_training(Work *w, Err *err)
{
    if (!make_images(&w->set, &w->config, err)) return false;
    w->trainer = trainer_new(&w->config, &w->set, err);
    return w->trainer != NULL;
}

/* ---- sampling ---- */

static size_t image_floats(const ModelConfig *m, int channels)
{
    return (size_t)m->height * (size_t)m->width * (size_t)channels;
}

static bool take_arrays(Work *w, int n, Err *err)
{
    const ModelConfig *m = &w->config.model;
    size_t weights = unet_params(w->unet)->floats * sizeof(float);
    size_t x_bytes = (size_t)n * image_floats(m, m->channels) * sizeof(float);
    size_t y_bytes = (size_t)n * image_floats(m, m->out_channels) * sizeof(float);
    size_t row = (size_t)n * sizeof(float);
    size_t bytes = memory_round(weights) + memory_round(x_bytes) + memory_round(y_bytes) +
                   2 * memory_round(row);
    if (!arena_init(&w->arena, bytes, "weights and a batch", err)) return false;
    w->weights = arena_take(&w->arena, weights);
    w->y = arena_take(&w->arena, y_bytes);
    float *x = arena_take(&w->arena, x_bytes), *t = arena_take(&w->arena, row);
    int32_t *labels = arena_take(&w->arena, row); /* class 0 */
    rng_normal(x, x_bytes / sizeof *x, (RngKey){.stream = RNG_X_T});
    for (int i = 0; i < n; i++) t[i] = (float)(w->config.diffusion.timesteps / 2);
    w->input = (UnetInput){x, t, m->num_classes > 0 ? labels : NULL, n};
    return true;
}

static bool prepare_sampling(Work *w, Err *err)
{
    int n = trainer_micro_batch(&w->config);
    w->unet = unet_new(&w->config.model, true, err);
    if (!w->unet || !take_arrays(w, n, err)) return false;
    params_draw(w->weights, unet_params(w->unet), w->config.train.seed);
    return unet_reserve(w->unet, n, UNET_SAMPLE, err) && unet_prepare(w->unet, w->weights, err);
}

/* ---- either ---- */

static bool prepare(Work *w, Err *err)
{
    return w->kind == BENCH_TRAIN ? prepare_training(w, err) : prepare_sampling(w, err);
}

static Unet *unet_of(const Work *w)
{
    return w->kind == BENCH_TRAIN ? trainer_unet(w->trainer) : w->unet;
}

static void step(Work *w)
{
    StepReport report;
    if (w->kind == BENCH_TRAIN)
        trainer_step(w->trainer, &report);
    else
        unet_forward(w->unet, w->y, w->input, w->weights, NULL);
}

static void release(Work *w)
{
    trainer_free(w->trainer);
    dataset_release(&w->set);
    unet_free(w->unet);
    arena_release(&w->arena);
}

static void on_call(void *context, int block, bool backward, double seconds)
{
    Times *times = context;
    times->now[(backward ? times->bench->blocks : 0) + block] += seconds;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void timed_step(Times *times, Work *w, int index)
{
    Bench *b = times->bench;
    size_t bytes = (size_t)b->blocks * sizeof *b->forward;
    memset(times->now, 0, 2 * bytes);
    double start = clock_seconds();
    step(w);
    double seconds = clock_seconds() - start;
    times->seconds[index] = seconds;
    if (index > 0 && seconds >= b->best) return;
    b->best = seconds;
    memcpy(b->forward, times->now, bytes);
    memcpy(b->backward, times->now + b->blocks, bytes);
}

static void measure(Times *times, Work *w, int repeat, BenchObserver *observer, void *context)
{
    unet_observe(unet_of(w), (UnetObserver){on_call, times});
    for (int i = -1; i < repeat; i++) {
        if (i < 0)
            step(w);
        else
            timed_step(times, w, i);
        if (observer) observer(context, i + 2);
    }
    qsort(times->seconds, (size_t)repeat, sizeof *times->seconds, by_size);
    int middle = repeat / 2;
    times->bench->median = repeat % 2 ? times->seconds[middle]
                                      : (times->seconds[middle - 1] + times->seconds[middle]) / 2;
}

/* The numbers of the bench that are known before; memory for those that are not. */
static bool take_times(Times *times, const Work *w, int repeat, Err *err)
{
    Bench *b = times->bench;
    const Unet *unet = unet_of(w);
    bool train = w->kind == BENCH_TRAIN;
    b->blocks = unet_topology(unet)->count;
    b->images = train ? w->config.train.batch_size : w->input.n;
    b->flop = (train ? 6.0 : 2.0) * unet_macs(unet) * b->images;
    size_t blocks = (size_t)b->blocks;
    b->forward = memory_new(blocks, sizeof *b->forward, "times", err);
    b->backward = memory_new(blocks, sizeof *b->backward, "times", err);
    times->now = memory_new(2 * blocks, sizeof *times->now, "times", err);
    times->seconds = memory_new((size_t)repeat, sizeof *times->seconds, "times", err);
    return b->forward && b->backward && times->now && times->seconds;
}

bool bench_run(Bench *bench, BenchKind kind, const Config *config, int repeat,
               BenchObserver *observer, void *context, Err *err)
{
    Work work = {.kind = kind, .config = *config};
    Times times = {.bench = bench};
    *bench = (Bench){0};
    bool ok = prepare(&work, err) && take_times(&times, &work, repeat, err);
    if (ok)
        measure(&times, &work, repeat, observer, context);
    else
        bench_release(bench);
    release(&work);
    free(times.now);
    free(times.seconds);
    return ok;
}

void bench_release(Bench *b)
{
    free(b->forward);
    free(b->backward);
    *b = (Bench){0};
}
