/*
 * The walk up and down is not planned ahead: turns are used up from the top of the chain to its
 * bottom, so that the level of the current one and the jumps made there say all.
 */
#include "diffusion/inpaint.h"

#include "base/rng.h"

#include <assert.h>
#include <math.h>

int inpaint_jump(int entries, int jump_length)
{
    return jump_length < entries ? jump_length : entries - 1;
}

int64_t inpaint_calls(int entries, int jump_length, int resample)
{
    int64_t jump = inpaint_jump(entries, jump_length);
    int64_t turns = jump > 0 ? (entries - 1) / jump : 0;
    return entries + turns * jump * (resample - 1);
}

void inpaint_init(Inpaint *inpaint, Sampler *sampler, const float *x_0, const uint8_t *fill,
                  int jump_length, int resample)
{
    assert(jump_length >= 1 && resample >= 1);
    assert(sampler->config.kind == SAMPLER_DDPM || sampler->config.kind == SAMPLER_DDIM);
    int entries = sampler->left, jump = inpaint_jump(entries, jump_length);
    *inpaint = (Inpaint){sampler, x_0, fill, jump, resample, 0, 0};
    if (jump > 0) inpaint->turn = 1 + ((entries - 1) / jump - 1) * jump;
}

/* Normals for one image, in its part of network_in, which is free between the network's calls. */
static const float *draw(const Inpaint *p, int image, int t, RngStream stream)
{
    Sampler *s = p->sampler;
    RngKey key = {.seed = s->config.seed,
                  .image = s->config.first_image + (uint32_t)image,
                  .step = (uint32_t)t,
                  .stream = stream,
                  .part = (uint32_t)p->jumps};
    float *noise = s->network_in + (size_t)image * s->size;
    rng_normal(noise, s->size, key);
    return noise;
}

static void put_known(const Inpaint *p, int image)
{
    Sampler *s = p->sampler;
    double *x = s->x_t + (size_t)image * s->size;
    if (s->left == 0) {
        for (size_t k = 0; k < s->size; k++)
            if (!p->fill[k]) x[k] = (double)p->x_0[k];
        return;
    }
    double alpha_bar = s->chain.alpha_bar[s->left - 1];
    double a = sqrt(alpha_bar), b = sqrt(1.0 - alpha_bar);
    const float *noise = draw(p, image, s->chain.timestep[s->left - 1], RNG_KNOWN);
    for (size_t k = 0; k < s->size; k++)
        if (!p->fill[k]) x[k] = a * (double)p->x_0[k] + b * (double)noise[k];
}

/* q(x_t | x_s) of t > s is the product of the steps between, of which each is a normal. */
static void go_up(const Inpaint *p, int image, int to)
{
    Sampler *s = p->sampler;
    double *x = s->x_t + (size_t)image * s->size;
    double ratio = s->chain.alpha_bar[to - 1] / s->chain.alpha_bar[s->left - 1];
    double a = sqrt(ratio), b = sqrt(1.0 - ratio);
    const float *noise = draw(p, image, s->chain.timestep[to - 1], RNG_JUMP);
    for (size_t k = 0; k < s->size; k++) x[k] = a * x[k] + b * (double)noise[k];
}

/* At a turn: up, or on to the next turn. */
static void turn(Inpaint *p)
{
    Sampler *s = p->sampler;
    if (p->jumps == p->resample - 1) {
        p->turn -= p->jump;
        p->jumps = 0;
        return;
    }
    int to = s->left + p->jump;
#pragma omp parallel for schedule(static)
    for (int image = 0; image < s->n; image++) go_up(p, image, to);
    s->left = to;
    p->jumps++;
}

bool inpaint_step(Inpaint *inpaint, Denoiser denoise, void *context)
{
    Sampler *s = inpaint->sampler;
    s->part = (uint32_t)inpaint->jumps;
    sampler_step(s, denoise, context);
#pragma omp parallel for schedule(static)
    for (int image = 0; image < s->n; image++) put_known(inpaint, image);
    if (s->left > 0 && s->left == inpaint->turn) turn(inpaint);
    return s->left > 0;
}
