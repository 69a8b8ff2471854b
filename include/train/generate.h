/*
 * Samples of a network: the reverse chain of diffusion/sampler.h with the U-Net as its denoiser.
 */
#ifndef DDPM_TRAIN_GENERATE_H
#define DDPM_TRAIN_GENERATE_H

#include "base/memory.h"
#include "diffusion/sampler.h"
#include "model/unet.h"

typedef struct {
    Unet *unet;
    const float *weights;
    SamplerConfig config; /* first_image is set by each batch */
    int batch;            /* images at once */
    int classes;          /* that samples are of, 0 .. classes-1; 0: none */
    size_t size;          /* floats of an image */
    Schedule schedule;
    Arena fixed;    /* the schedule and t */
    Arena variable; /* a batch's sampler */
    float *t;
    int32_t *labels;
} Generator;

/* `unet` is reserved for at least `batch` images and, with `weights`, outlives the generator.
 * `classes`: config_classes of the model, which the row for no class is none of. config->steps is
 * resolved (not 0), and has passed sampler_check. */
bool generator_init(Generator *g, Unet *unet, const float *weights,
                    const DiffusionConfig *diffusion, const SamplerConfig *config, int classes,
                    int batch, Err *err);
void generator_release(Generator *g);

/* The class that image `image` of a run is drawn of, by a model with `classes` of them: image
 * modulo classes. */
int32_t generator_class(uint32_t image, int classes);

/* Steps of each batch, without repeats, and the network calls that they take. Not during a batch.
 */
int generator_steps(Generator *g);
int generator_calls(Generator *g);

/* Called after each step of a batch; false stops it. */
typedef bool (*GeneratorProgress)(void *context, int calls_done);

/* out [n,h,w,channels], n at most the batch: images first_image .. first_image + n - 1 of the run.
 * `x_T` [n,h,w,channels] or NULL to draw it. Returns whether it came to its end. */
bool generator_batch(Generator *g, float *out, const float *x_T, uint32_t first_image, int n,
                     GeneratorProgress progress, void *context);

/* ---- what generator_batch is made of, for walks of another kind ---- */

/* Initialise the sampler of such a batch, which stays until the next. */
void generator_start(Generator *g, Sampler *sampler, const float *x_T, uint32_t first_image, int n);

/* A Denoiser: the network's output at the x_t of that batch. `g` is the Generator. */
void generator_denoise(void *g, float *out, const float *x_t, int t, int n);

#endif
