#include "train/trainer.h"

#include "base/whole.h"
#include "data/loader.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"
#include "diffusion/schedule.h"
#include "diffusion/timestep_sampler.h"
#include "train/optimiser.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What one micro-batch needs; all [micro_batch, ...]. */
typedef struct {
    float *x_0, *epsilon, *x_t, *target;
    float *output, *gradient; /* of output_size each; the loss with respect to the output */
    float *t;
    int *entry;     /* t - 1 */
    double *weight; /* of the image's loss in the batch's, for how t was drawn */
    int32_t *labels;
    double *loss, *noise_error;
} Micro;

/* What the losses of a batch were, for a history that only applied steps are in. */
typedef struct {
    int *entry;
    double *loss; /* not weighted */
} Record;

struct Trainer {
    const Config *config;
    Unet *unet;
    TrainState state;
    Loader loader;
    Schedule schedule;
    TimestepDraws draws;
    TimestepHistory history;
    Micro micro;
    Record record;
    float *gradients;         /* zeros between steps */
    Arena arena;              /* schedule, micro-batch and gradients */
    size_t size, output_size; /* floats of an image and of what the network puts out for it */
    bool stepped;             /* so that there is a batch */
};

/* ---- memory ---- */

static size_t image_size(const ModelConfig *model, int channels)
{
    return (size_t)model->height * (size_t)model->width * (size_t)channels;
}

int trainer_micro_batch(const Config *config)
{
    const TrainConfig *c = &config->train;
    return c->micro_batch < c->batch_size ? c->micro_batch : c->batch_size;
}

static bool remembers(const Config *config)
{
    return config->diffusion.timestep_sampler == TIMESTEP_IMPORTANCE;
}

static size_t draws_bytes(const Config *config)
{
    int T = config->diffusion.timesteps;
    size_t batch = (size_t)config->train.batch_size;
    size_t record = memory_round(batch * sizeof(int)) + memory_round(batch * sizeof(double));
    return timestep_draws_bytes(config->diffusion.timestep_sampler, T) +
           (remembers(config) ? timestep_history_bytes(T) + record : 0);
}

static size_t step_bytes(const Config *config, const ParamTable *table)
{
    const ModelConfig *m = &config->model;
    size_t n = (size_t)trainer_micro_batch(config), size = n * image_size(m, m->channels);
    size_t output_size = n * image_size(m, m->out_channels);
    return schedule_bytes(config->diffusion.timesteps) + draws_bytes(config) +
           4 * memory_round(size * sizeof(float)) + 2 * memory_round(output_size * sizeof(float)) +
           3 * memory_round(n * sizeof(float)) + 3 * memory_round(n * sizeof(double)) +
           memory_round(table->floats * sizeof(float));
}

static void take_micro(Micro *m, Arena *arena, size_t n, size_t size, size_t output_size)
{
    float **images[] = {&m->x_0, &m->epsilon, &m->x_t, &m->target};
    for (int i = 0; i < 4; i++) *images[i] = arena_take(arena, n * size * sizeof(float));
    m->output = arena_take(arena, n * output_size * sizeof(float));
    m->gradient = arena_take(arena, n * output_size * sizeof(float));
    m->t = arena_take(arena, n * sizeof *m->t);
    m->entry = arena_take(arena, n * sizeof *m->entry);
    m->weight = arena_take(arena, n * sizeof *m->weight);
    m->labels = arena_take(arena, n * sizeof *m->labels);
    m->loss = arena_take(arena, n * sizeof *m->loss);
    m->noise_error = arena_take(arena, n * sizeof *m->noise_error);
}

static void take_draws(Trainer *tr)
{
    const Config *c = tr->config;
    const TimestepHistory *history = remembers(c) ? &tr->history : NULL;
    size_t batch = (size_t)c->train.batch_size;
    if (history) {
        timestep_history_init(&tr->history, &tr->arena, c->diffusion.timesteps);
        tr->record.entry = arena_take(&tr->arena, batch * sizeof *tr->record.entry);
        tr->record.loss = arena_take(&tr->arena, batch * sizeof *tr->record.loss);
    }
    timestep_draws_init(&tr->draws, &tr->arena, c->diffusion.timestep_sampler, history,
                        c->diffusion.timesteps, c->train.batch_size, c->train.seed);
}

/* Of the network `unet`, which has gradients. */
static bool memory_of(size_t *bytes, const Unet *unet, const Config *config, Err *err)
{
    const ParamTable *table = unet_params(unet);
    bool ok = unet_memory(bytes, unet, trainer_micro_batch(config), UNET_TRAIN, err);
    *bytes += step_bytes(config, table) + train_state_bytes(table, config->train.emas);
    return ok;
}

static bool prepare(Trainer *tr, const Dataset *set, Err *err)
{
    const Config *c = tr->config;
    const ParamTable *table = unet_params(tr->unet);
    size_t bytes;
    if (!memory_of(&bytes, tr->unet, c, err) ||
        !memory_check(bytes + dataset_bytes(set), "training",
                      "a smaller train.micro_batch or model.base_channels needs less", err))
        return false;
    if (!arena_init(&tr->arena, step_bytes(c, table), "gradients and a batch", err)) return false;
    schedule_init(&tr->schedule, &tr->arena, &c->diffusion);
    take_micro(&tr->micro, &tr->arena, (size_t)trainer_micro_batch(c), tr->size, tr->output_size);
    tr->gradients = arena_take(&tr->arena, table->floats * sizeof(float));
    take_draws(tr);
    if (!unet_reserve(tr->unet, trainer_micro_batch(c), UNET_TRAIN, err) ||
        !train_state_init(&tr->state, table, c->train.emas, c->train.seed, err))
        return false;
    tr->state.history = remembers(c) ? &tr->history : NULL;
    return loader_init(&tr->loader, set, c->train.seed, c->data.flip, err);
}

Trainer *trainer_new(const Config *config, const Dataset *set, Err *err)
{
    Trainer *tr = memory_new(1, sizeof *tr, "the trainer", err);
    if (!tr) return NULL;
    tr->config = config;
    const ModelConfig *m = &config->model;
    assert(m->out_channels == loss_output_channels(&config->diffusion, m->channels));
    tr->size = image_size(m, m->channels);
    tr->output_size = image_size(m, m->out_channels);
    tr->unet = unet_new(&config->model, true, err);
    if (tr->unet && prepare(tr, set, err)) return tr;
    trainer_free(tr);
    return NULL;
}

void trainer_free(Trainer *tr)
{
    if (!tr) return;
    loader_release(&tr->loader);
    train_state_release(&tr->state);
    arena_release(&tr->arena);
    unet_free(tr->unet);
    free(tr);
}

bool trainer_memory(size_t *bytes, const Config *config, Err *err)
{
    Unet *unet = unet_new(&config->model, true, err);
    if (!unet) return false;
    bool ok = memory_of(bytes, unet, config, err);
    unet_free(unet);
    return ok;
}

Unet *trainer_unet(Trainer *tr)
{
    return tr->unet;
}

TrainState *trainer_state(Trainer *tr)
{
    return &tr->state;
}

/* ---- a step ---- */

/* x_0, epsilon, t and class of the `n` images from `first` on in the batch. */
static void draw_micro(Trainer *tr, int first, int n)
{
    Micro *m = &tr->micro;
    uint32_t step = (uint32_t)tr->state.step;
    uint64_t seed = tr->config->train.seed;
    loader_batch(&tr->loader, m->x_0, tr->config->data.labels ? m->labels : NULL,
                 tr->state.images + (uint64_t)first, step, first, n);
    if (tr->config->data.labels)
        loader_drop_labels(&tr->loader, m->labels, tr->config->model.num_classes - 1,
                           tr->config->train.label_dropout, step, first, n);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        RngKey key = {
            .seed = seed, .image = (uint32_t)(first + i), .step = step, .stream = RNG_NOISE};
        TimestepDraw draw = timestep_draw(&tr->draws, first + i);
        m->entry[i] = draw.entry;
        m->weight[i] = draw.weight;
        rng_normal(m->epsilon + (size_t)i * tr->size, tr->size, key);
    }
}

static void make_inputs(Trainer *tr, int n)
{
    Micro *m = &tr->micro;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * tr->size;
        int entry = m->entry[i];
        m->t[i] = (float)entry;
        diffuse(m->x_t + at, m->x_0 + at, m->epsilon + at, tr->schedule.alpha_bar[entry], tr->size);
        predict_target(m->target + at, m->x_0 + at, m->epsilon + at, m->x_t + at,
                       tr->config->diffusion.prediction, &tr->schedule, entry, tr->size);
    }
}

static LossImage image_of(const Trainer *tr, int i)
{
    const Micro *m = &tr->micro;
    const ModelConfig *model = &tr->config->model;
    size_t at = (size_t)i * tr->size;
    return (LossImage){.pixels = (size_t)model->height * (size_t)model->width,
                       .channels = model->channels,
                       .x_0 = m->x_0 + at,
                       .x_t = m->x_t + at,
                       .target = m->target + at,
                       .output = m->output + (size_t)i * tr->output_size};
}

/* The loss of each image, and the gradient of the batch's weighted mean of them. */
static void loss_and_gradient(Trainer *tr, int n)
{
    Micro *m = &tr->micro;
    const Config *c = tr->config;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        LossImage image = image_of(tr, i);
        m->loss[i] = loss_image(m->gradient + (size_t)i * tr->output_size, &image, &c->diffusion,
                                &tr->schedule, m->entry[i], c->train.batch_size / m->weight[i]);
    }
}

typedef struct {
    double loss, quarter_loss[LOSS_QUARTERS], quarter_weight[LOSS_QUARTERS];
    const char *bad; /* where the first loss that is not finite comes from */
} Sums;

int trainer_quarter(int entry, int T)
{
    return (int)((int64_t)entry * LOSS_QUARTERS / T);
}

static const char *bad_in_forward(const Trainer *tr)
{
    const char *block = unet_first_bad(tr->unet, tr->micro.output);
    return block ? block : "the loss";
}

/* Of the images from `first` on in the batch. */
static void add_losses(Sums *sums, Trainer *tr, int first, int n)
{
    for (int i = 0; i < n; i++) {
        int quarter = trainer_quarter(tr->micro.entry[i], tr->schedule.T);
        double loss = tr->micro.loss[i], weight = tr->micro.weight[i];
        if (!isfinite(loss) && !sums->bad) sums->bad = bad_in_forward(tr);
        sums->loss += weight * loss;
        sums->quarter_loss[quarter] += weight * loss;
        sums->quarter_weight[quarter] += weight;
        if (!tr->state.history) continue;
        tr->record.entry[first + i] = tr->micro.entry[i];
        tr->record.loss[first + i] = loss;
    }
}

/* Forward and backward of the images of the micro-batch, which starts at `first` in the batch. */
static void run_micro(Trainer *tr, Sums *sums, int first, int n)
{
    Micro *m = &tr->micro;
    make_inputs(tr, n);
    RngKey dropout = {
        .seed = tr->config->train.seed, .image = (uint32_t)first, .step = (uint32_t)tr->state.step};
    UnetInput input = {m->x_t, m->t, tr->config->data.labels ? m->labels : NULL, n};
    unet_forward(tr->unet, m->output, input, tr->state.weights, &dropout);
    loss_and_gradient(tr, n);
    add_losses(sums, tr, first, n);
    unet_backward(tr->unet, tr->gradients, NULL, m->gradient);
}

/* Of a gradient, once clipped: Adam's second moments are sums of squares in floats. */
static const double MOST_GRADIENT = 1e18;

static bool usable_gradient(const Trainer *tr, const Block *block, double scale)
{
    const Param *params = unet_params(tr->unet)->list + block->param;
    for (int i = 0; i < block->params; i++)
        if (!(scale * gradient_norm(tr->gradients + params[i].offset, params[i].count) <=
              MOST_GRADIENT))
            return false;
    return true;
}

/* The loss is fine: the backward pass spreads bad numbers towards the input, so the last bad block
 * in the list is the first that met them. */
static const char *bad_in_backward(const Trainer *tr, double scale)
{
    const Topology *t = unet_topology(tr->unet);
    for (int i = t->count - 1; i >= 0; i--)
        if (!usable_gradient(tr, &t->list[i], scale)) return t->list[i].name;
    return "the gradient's norm";
}

static void apply(Trainer *tr, StepReport *report, double scale)
{
    const TrainConfig *c = &tr->config->train;
    TrainState *s = &tr->state;
    double decays[TRAIN_MAX_EMAS];
    Optimised arrays = {s->weights, s->adam_m, s->adam_v, tr->gradients, .emas = s->emas};
    AdamStep adam = {.scale = scale,
                     .rate = report->learning_rate,
                     .weight_decay = c->weight_decay,
                     .updates = s->updates};
    for (int i = 0; i < s->emas; i++) {
        arrays.ema[i] = s->ema[i];
        decays[i] = ema_decay_at(c->ema_decay[i], c->ema_warmup, s->updates);
    }
    optimiser_update(arrays, unet_params(tr->unet)->floats, adam, decays);
    for (int i = 0; s->history && i < c->batch_size; i++)
        timestep_history_add(s->history, tr->record.entry[i], tr->record.loss[i]);
    s->updates++;
    s->bad_steps = 0;
}

static void clear_gradients(Trainer *tr)
{
    memset(tr->gradients, 0, unet_params(tr->unet)->floats * sizeof *tr->gradients);
}

static void finish(Trainer *tr, StepReport *report, const Sums *sums)
{
    TrainState *s = &tr->state;
    const TrainConfig *c = &tr->config->train;
    *report = (StepReport){.step = s->step, .loss = sums->loss / c->batch_size};
    for (int q = 0; q < LOSS_QUARTERS; q++)
        report->quarter_loss[q] = sums->quarter_weight[q] > 0
                                      ? sums->quarter_loss[q] / sums->quarter_weight[q]
                                      : (double)NAN;
    report->grad_norm = gradient_norm(tr->gradients, unet_params(tr->unet)->floats);
    report->learning_rate = learning_rate_at(
        &(LearningRate){c->learning_rate, c->warmup_steps, c->learning_rate_decay, c->steps},
        s->step);
    double scale = clip_factor(report->grad_norm, c->grad_clip);
    report->applied = isfinite(report->loss) && scale * report->grad_norm <= MOST_GRADIENT;
    if (report->applied) {
        apply(tr, report, scale);
    } else {
        report->bad = sums->bad ? sums->bad : bad_in_backward(tr, scale);
        clear_gradients(tr);
        s->bad_steps++;
    }
    s->step++;
    s->images += (uint64_t)c->batch_size;
}

/* A batch given outright instead of drawn. */
typedef struct {
    const float *x_0, *epsilon;
    const int *t;
} Given;

static void copy_micro(Trainer *tr, const Given *given, int first, int n)
{
    size_t at = (size_t)first * tr->size, bytes = (size_t)n * tr->size * sizeof(float);
    memcpy(tr->micro.x_0, given->x_0 + at, bytes);
    memcpy(tr->micro.epsilon, given->epsilon + at, bytes);
    for (int i = 0; i < n; i++) {
        tr->micro.entry[i] = given->t[first + i] - 1;
        tr->micro.weight[i] = 1;
    }
}

/* `given` is NULL where the batch is drawn. */
static void step(Trainer *tr, StepReport *report, const Given *given)
{
    const TrainConfig *c = &tr->config->train;
    Sums sums = {0};
    timestep_draws_start(&tr->draws, (uint32_t)tr->state.step);
    for (int first = 0; first < c->batch_size; first += c->micro_batch) {
        int n = whole_min(c->micro_batch, c->batch_size - first);
        if (given)
            copy_micro(tr, given, first, n);
        else
            draw_micro(tr, first, n);
        run_micro(tr, &sums, first, n);
    }
    finish(tr, report, &sums);
    tr->stepped = true;
}

void trainer_step(Trainer *tr, StepReport *report)
{
    step(tr, report, NULL);
}

void trainer_step_on(Trainer *tr, StepReport *report, const float *x_0, const float *epsilon,
                     const int *t)
{
    step(tr, report, &(Given){x_0, epsilon, t});
}

/* ---- without training ---- */

TrainerBatch trainer_batch(Trainer *tr)
{
    Micro *m = &tr->micro;
    return (TrainerBatch){tr->size,  m->x_0,  m->epsilon,    m->entry,
                          m->labels, m->loss, m->noise_error};
}

/* With x_t given, an error of x_0 is sqrt(SNR) times as large an error of epsilon (Ho et al. 2020,
 * eq. 4), and x_0 is linear in the prediction. */
static double noise_error(const LossImage *image, const DiffusionConfig *config, const Schedule *s,
                          int entry)
{
    DiffusionConfig simple = *config;
    double weights[2];
    simple.loss = LOSS_SIMPLE;
    predict_weights(weights, config->prediction, s, entry);
    double squared = loss_image(NULL, image, &simple, s, entry, 1);
    return s->snr[entry] * weights[0] * weights[0] * squared;
}

void trainer_evaluate(Trainer *tr, const float *weights, int n)
{
    Micro *m = &tr->micro;
    const DiffusionConfig *diffusion = &tr->config->diffusion;
    make_inputs(tr, n);
    UnetInput input = {m->x_t, m->t, tr->config->data.labels ? m->labels : NULL, n};
    unet_forward(tr->unet, m->output, input, weights, NULL);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        LossImage image = image_of(tr, i);
        m->loss[i] = loss_image(NULL, &image, diffusion, &tr->schedule, m->entry[i], 1);
        m->noise_error[i] = noise_error(&image, diffusion, &tr->schedule, m->entry[i]);
    }
}

const char *trainer_bad_block(Trainer *tr)
{
    if (!tr->stepped) return NULL;
    trainer_evaluate(tr, tr->state.weights, 1);
    return isfinite(tr->micro.loss[0]) ? NULL : bad_in_forward(tr);
}
