#include "train/generate.h"

#include <math.h>
#include <string.h>

int32_t conditioning_class(const Conditioning *c, uint32_t image)
{
    if (c->count == 0 || (c->guidance == 0.0 && c->to == 0)) return -1;
    return c->list ? c->list[image % (uint32_t)c->listed] : (int32_t)(image % (uint32_t)c->count);
}

static bool is_doubled(const Conditioning *c)
{
    return c->count > 0 && c->guidance != 0.0 && c->guidance != 1.0;
}

int conditioning_rows(const Conditioning *c, int batch)
{
    return is_doubled(c) ? 2 * batch : batch;
}

/* W at `t`. */
static double guidance_at(const Conditioning *c, int t)
{
    return c->to == 0 || (t >= c->from && t <= c->to) ? c->guidance : 1.0;
}

/* ---- memory ---- */

static size_t fixed_bytes(const Generator *g, int T)
{
    size_t rows = (size_t)conditioning_rows(&g->conditioning, g->batch);
    size_t doubled = memory_round(rows * g->size * sizeof(float)) +
                     memory_round(rows * g->out_size * sizeof(float));
    return schedule_bytes(T) + memory_round(2 * (size_t)g->batch * sizeof(int32_t)) +
           memory_round(rows * sizeof(float)) + (is_doubled(&g->conditioning) ? doubled : 0);
}

static void take_fixed(Generator *g, const DiffusionConfig *diffusion)
{
    size_t rows = (size_t)conditioning_rows(&g->conditioning, g->batch);
    schedule_init(&g->schedule, &g->fixed, diffusion);
    g->t = arena_take(&g->fixed, rows * sizeof *g->t);
    g->labels = arena_take(&g->fixed, 2 * (size_t)g->batch * sizeof *g->labels);
    if (!is_doubled(&g->conditioning)) return;
    g->twice = arena_take(&g->fixed, rows * g->size * sizeof *g->twice);
    g->both = arena_take(&g->fixed, rows * g->out_size * sizeof *g->both);
}

static bool take_memory(Generator *g, const DiffusionConfig *diffusion, Err *err)
{
    if (!arena_init(&g->fixed, fixed_bytes(g, diffusion->timesteps), "the schedule", err) ||
        !arena_init(&g->variable, sampler_bytes(&g->config, g->batch, g->size), "the sampler",
                    err)) {
        generator_release(g);
        return false;
    }
    take_fixed(g, diffusion);
    return true;
}

bool generator_init(Generator *g, Unet *unet, const float *weights,
                    const DiffusionConfig *diffusion, const SamplerConfig *config,
                    const Conditioning *conditioning, int batch, Err *err)
{
    const ModelConfig *model = unet_config(unet);
    size_t pixels = (size_t)model->height * (size_t)model->width;
    *g = (Generator){.unet = unet,
                     .weights = weights,
                     .config = *config,
                     .conditioning = *conditioning,
                     .batch = batch,
                     .size = pixels * (size_t)model->channels,
                     .out_size = pixels * (size_t)model->out_channels};
    return take_memory(g, diffusion, err);
}

bool generator_init_denoiser(Generator *g, const GeneratorDenoiser *denoiser,
                             const DiffusionConfig *diffusion, const SamplerConfig *config,
                             int batch, Err *err)
{
    *g = (Generator){.denoiser = *denoiser,
                     .config = *config,
                     .conditioning = {.guidance = 1},
                     .batch = batch,
                     .size = denoiser->size,
                     .out_size = denoiser->size};
    return take_memory(g, diffusion, err);
}

void generator_release(Generator *g)
{
    arena_release(&g->fixed);
    arena_release(&g->variable);
}

/* ---- the network ---- */

/* Its output at x_t [rows,size], for the classes labels [rows]; it is fed the 0-based step. */
static void ask(Generator *g, float *out, const float *x_t, const int32_t *labels, int t, int rows)
{
    for (int i = 0; i < rows; i++) g->t[i] = (float)(t - 1);
    UnetInput input = {x_t, g->t, g->conditioning.count > 0 ? labels : NULL, rows};
    unet_forward(g->unet, out, input, g->weights, NULL);
}

/* One image: out = u + W (c - u) in the prediction's channels, and c in those of the variance. */
static void guide(float *out, const float *c, const float *u, double W, const ModelConfig *m)
{
    int pixels = m->height * m->width;
    for (int p = 0; p < pixels; p++)
        for (int k = 0; k < m->out_channels; k++, out++, c++, u++)
            *out = k < m->channels ? *u + (float)W * (*c - *u) : *c;
}

static void ask_doubled(Generator *g, float *out, const float *x_t, int t, int n, double W)
{
    size_t floats = (size_t)n * g->size;
    memcpy(g->twice, x_t, floats * sizeof *x_t);
    memcpy(g->twice + floats, x_t, floats * sizeof *x_t);
    ask(g, g->both, g->twice, g->labels, t, 2 * n);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        const float *c = g->both + (size_t)i * g->out_size;
        guide(out + (size_t)i * g->out_size, c, c + (size_t)n * g->out_size, W,
              unet_config(g->unet));
    }
}

/* Clipping would make pixels of what is no number. */
static void note_bad(Generator *g, const float *x, size_t count, int t)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) finite &= (bool)isfinite(x[i]);
    if (!finite && g->bad_t == 0) g->bad_t = t;
}

static void denoise(Generator *g, float *out, const float *x_t, int t, int n)
{
    double W = guidance_at(&g->conditioning, t);
    if (g->denoiser.ask)
        g->denoiser.ask(g->denoiser.context, out, x_t, t, n);
    else if (g->conditioning.count == 0 || W == 1.0)
        ask(g, out, x_t, g->labels, t, n);
    else if (W == 0.0)
        ask(g, out, x_t, g->labels + n, t, n);
    else
        ask_doubled(g, out, x_t, t, n, W);
}

void generator_denoise(void *context, float *out, const float *x_t, int t, int n)
{
    Generator *g = context;
    denoise(g, out, x_t, t, n);
    note_bad(g, out, (size_t)n * g->out_size, t);
}

/* ---- a batch ---- */

void generator_start(Generator *g, Sampler *sampler, const float *x_T, uint32_t first_image, int n)
{
    const Conditioning *c = &g->conditioning;
    g->config.first_image = first_image;
    g->bad_t = 0;
    for (int i = 0; i < n; i++) {
        g->labels[i] = conditioning_class(c, first_image + (uint32_t)i);
        g->labels[n + i] = c->count;
    }
    g->variable.used = 0;
    sampler_init(sampler, &g->variable, &g->config, &g->schedule, x_T, n, g->size);
}

/* Room for what sampler_entries gives. */
static int *timesteps_of(Generator *g)
{
    g->variable.used = 0;
    return arena_take(&g->variable, (size_t)g->config.steps * sizeof(int));
}

const int *generator_timesteps(Generator *g, int *entries)
{
    int *timesteps = timesteps_of(g);
    *entries = sampler_entries(timesteps, &g->config, g->schedule.T);
    return timesteps;
}

int generator_steps(Generator *g)
{
    int entries;
    generator_timesteps(g, &entries);
    return g->config.start > 0 ? g->config.start : entries;
}

int generator_calls(Generator *g)
{
    return sampler_calls(timesteps_of(g), &g->config, &g->schedule);
}

/* One step, which `watch` is shown, if there is somebody. */
static bool step(Generator *g, Sampler *sampler, int number)
{
    const GeneratorWatch *w = &g->watch;
    if (!w->see) return sampler_step(sampler, generator_denoise, g);
    GeneratorView view = {number, sampler->chain.timestep[sampler->left - 1], sampler->n, w->x_t,
                          w->x_0};
    sampler_result(w->x_t, sampler);
    bool more = sampler_step(sampler, generator_denoise, g);
    for (size_t k = 0; k < (size_t)sampler->n * g->size; k++) w->x_0[k] = (float)sampler->x_0[k];
    w->see(w->context, &view);
    return more;
}

bool generator_goes_on(const Generator *g, const Sampler *sampler, GeneratorProgress progress,
                       void *context)
{
    return g->bad_t == 0 && (!progress || progress(context, sampler->calls));
}

bool generator_end(Generator *g, float *out, const Sampler *sampler)
{
    sampler_result(out, sampler);
    note_bad(g, out, (size_t)sampler->n * g->size, sampler->chain.timestep[0]);
    return g->bad_t == 0;
}

bool generator_check(const Generator *g, Err *err)
{
    return g->bad_t == 0 ||
           err_set(err, ERR_DIVERGED,
                   "at t = %d of %d what the network puts out, or what follows from it, is not "
                   "finite: its weights are damaged, or its training diverged; take an older "
                   "checkpoint",
                   g->bad_t, g->schedule.T);
}

bool generator_batch(Generator *g, float *out, const float *x_T, uint32_t first_image, int n,
                     GeneratorProgress progress, void *context)
{
    Sampler sampler;
    bool more = true, going = true;
    generator_start(g, &sampler, x_T, first_image, n);
    for (int number = 0; more && going; number++) {
        more = step(g, &sampler, number);
        going = generator_goes_on(g, &sampler, progress, context);
    }
    return going && generator_end(g, out, &sampler);
}
