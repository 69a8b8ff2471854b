#include "train/edit.h"

#include "diffusion/predict.h"

#include <math.h>

void edit_start(Generator *g, double strength)
{
    int entries;
    generator_timesteps(g, &entries);
    int start = (int)floor(strength * entries + 0.5);
    g->config.start = start > 0 ? start : 1;
}

double edit_alpha_bar(Generator *g)
{
    int entries;
    const int *timesteps = generator_timesteps(g, &entries);
    int start = g->config.start > 0 ? g->config.start : entries;
    return g->schedule.alpha_bar[timesteps[start - 1] - 1];
}

void edit_diffuse(float *x_t, Generator *g, const float *x_0, uint32_t first_image, int n)
{
    double alpha_bar = edit_alpha_bar(g);
    sampler_draw_x_T(x_t, n, g->size, g->config.seed, first_image);
    for (int i = 0; i < n; i++) {
        float *x = x_t + (size_t)i * g->size;
        diffuse(x, x_0, x, alpha_bar, g->size);
    }
}

int64_t edit_inpaint_calls(Generator *g, const Inpainting *inpainting)
{
    return inpaint_calls(generator_steps(g), inpainting->jump_length, inpainting->resample);
}

bool edit_inpaint(Generator *g, float *out, const Inpainting *inpainting, const float *x_T,
                  uint32_t first_image, int n, GeneratorProgress progress, void *context)
{
    Sampler sampler;
    Inpaint inpaint;
    bool more = true, going = true;
    generator_start(g, &sampler, x_T, first_image, n);
    inpaint_init(&inpaint, &sampler, inpainting->x_0, inpainting->fill, inpainting->jump_length,
                 inpainting->resample);
    while (more && going) {
        more = inpaint_step(&inpaint, generator_denoise, g);
        going = generator_goes_on(g, &sampler, progress, context);
    }
    return going && generator_end(g, out, &sampler);
}

int64_t edit_invert_calls(Generator *g, int iterations)
{
    return (int64_t)generator_steps(g) * iterations;
}

bool edit_invert(Generator *g, float *x_t, const float *x_0, int n, int iterations,
                 GeneratorProgress progress, void *context)
{
    Sampler sampler;
    bool more = true, going = true;
    generator_start(g, &sampler, x_0, 0, n);
    invert_init(&sampler);
    while (more && going) {
        more = invert_step(&sampler, iterations, generator_denoise, g);
        going = generator_goes_on(g, &sampler, progress, context);
    }
    return going && generator_end(g, x_t, &sampler);
}
