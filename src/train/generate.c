#include "train/generate.h"

bool generator_init(Generator *g, Unet *unet, const float *weights,
                    const DiffusionConfig *diffusion, const SamplerConfig *config, int classes,
                    int batch, Err *err)
{
    const ModelConfig *model = unet_config(unet);
    *g = (Generator){
        .unet = unet, .weights = weights, .config = *config, .batch = batch, .classes = classes};
    g->size = (size_t)model->height * (size_t)model->width * (size_t)model->channels;
    size_t rows = memory_round((size_t)batch * sizeof(float));
    if (!arena_init(&g->fixed, schedule_bytes(diffusion->timesteps) + 2 * rows, "the schedule",
                    err) ||
        !arena_init(&g->variable, sampler_bytes(config, batch, g->size), "the sampler", err)) {
        generator_release(g);
        return false;
    }
    schedule_init(&g->schedule, &g->fixed, diffusion);
    g->t = arena_take(&g->fixed, (size_t)batch * sizeof *g->t);
    g->labels = arena_take(&g->fixed, (size_t)batch * sizeof *g->labels);
    return true;
}

void generator_release(Generator *g)
{
    arena_release(&g->fixed);
    arena_release(&g->variable);
}

/* The network is fed the 0-based step. */
void generator_denoise(void *context, float *out, const float *x_t, int t, int n)
{
    Generator *g = context;
    for (int i = 0; i < n; i++) g->t[i] = (float)(t - 1);
    UnetInput input = {x_t, g->t, g->classes > 0 ? g->labels : NULL, n};
    unet_forward(g->unet, out, input, g->weights, NULL);
}

int32_t generator_class(uint32_t image, int classes)
{
    return (int32_t)(image % (uint32_t)classes);
}

void generator_start(Generator *g, Sampler *sampler, const float *x_T, uint32_t first_image, int n)
{
    g->config.first_image = first_image;
    for (int i = 0; i < n && g->classes > 0; i++)
        g->labels[i] = generator_class(first_image + (uint32_t)i, g->classes);
    g->variable.used = 0;
    sampler_init(sampler, &g->variable, &g->config, &g->schedule, x_T, n, g->size);
}

/* Room for what sampler_entries gives. */
static int *timesteps_of(Generator *g)
{
    g->variable.used = 0;
    return arena_take(&g->variable, (size_t)g->config.steps * sizeof(int));
}

int generator_steps(Generator *g)
{
    int entries = sampler_entries(timesteps_of(g), &g->config, g->schedule.T);
    return g->config.start > 0 ? g->config.start : entries;
}

int generator_calls(Generator *g)
{
    return sampler_calls(timesteps_of(g), &g->config, &g->schedule);
}

bool generator_batch(Generator *g, float *out, const float *x_T, uint32_t first_image, int n,
                     GeneratorProgress progress, void *context)
{
    Sampler sampler;
    bool more = true, going = true;
    generator_start(g, &sampler, x_T, first_image, n);
    while (more && going) {
        more = sampler_step(&sampler, generator_denoise, g);
        going = !progress || progress(context, sampler.calls);
    }
    if (going) sampler_result(out, &sampler);
    return going;
}
