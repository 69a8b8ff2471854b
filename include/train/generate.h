/*
 * Samples of a network: the reverse chain of diffusion/sampler.h with the U-Net as its denoiser, of
 * the classes that are asked for, and more or less guided by them.
 *
 * Classifier-free guidance (Ho & Salimans 2022): the network is asked twice in one batch, with the
 * image's class, c, and with the row for no class, u, and the sampler is given
 *
 *     u + W (c - u)
 *
 * Their eq. 6 has w = W - 1. W = 1 is the class alone, W = 0 none; both take one call for an image.
 * That holds for whatever the network predicts: at a given x_t, epsilon, x_0, v and the mean are
 * affine functions of one another, and W and 1 - W add up to 1, so that mixing one mixes them all
 * alike. A learned variance is that of c (of u where W = 0).
 */
#ifndef DDPM_TRAIN_GENERATE_H
#define DDPM_TRAIN_GENERATE_H

#include "base/memory.h"
#include "diffusion/sampler.h"
#include "model/unet.h"

typedef struct {
    int count; /* the model's classes, 0 .. count - 1; 0: none, and the rest is not read */
    const int32_t *list; /* image i of a run is of class list[i mod listed]; NULL: of i mod count */
    int listed;
    double guidance; /* W >= 0; other than 1 needs the row `count` of the embedding: no class */
    int from, to;    /* W only for t in from .. to, elsewhere 1 (Kynkaanniemi et al. 2024); to 0:
                      * at each t */
} Conditioning;

/* The class of image `image` of a run, or -1: of none, because the model has none or W is 0. */
int32_t conditioning_class(const Conditioning *conditioning, uint32_t image);

/* Images that the network is given at once for a batch of `batch`: as many, or twice that. */
int conditioning_rows(const Conditioning *conditioning, int batch);

/* A step of a batch, as one who watches sees it. */
typedef struct {
    int step; /* 0 at x_T */
    int t;    /* of x_t, 1 .. T */
    int n;
    const float *x_t; /* [n,size], before the step */
    const float *x_0; /* [n,size], as it was predicted from x_t, clipped where that is asked for */
} GeneratorView;

typedef struct {
    void (*see)(void *context, const GeneratorView *view); /* NULL: nobody watches */
    void *context;
    float *x_t, *x_0; /* [batch,size] for the views */
} GeneratorWatch;

/* What is asked in the place of a network. It says what config->prediction names, and no variance.
 */
typedef struct {
    Denoiser ask; /* NULL: a network */
    void *context;
    size_t size; /* floats of an image */
} GeneratorDenoiser;

typedef struct {
    Unet *unet; /* NULL where there is a denoiser */
    const float *weights;
    GeneratorDenoiser denoiser;
    SamplerConfig config; /* first_image is set by each batch */
    Conditioning conditioning;
    int batch;       /* images at once */
    size_t size;     /* floats of an image */
    size_t out_size; /* floats of the network's output for one */
    Schedule schedule;
    Arena fixed;          /* the schedule, t, and what the network is given for a doubled batch */
    Arena variable;       /* a batch's sampler */
    float *t;             /* [rows] */
    int32_t *labels;      /* [rows]: the images' classes, then as often that of none */
    float *twice, *both;  /* [rows,size], [rows,out_size]; NULL where no batch is doubled */
    GeneratorWatch watch; /* of generator_batch; may be set after generator_init */
    int bad_t;            /* where a batch met numbers that are not finite; 0: nowhere */
} Generator;

/* `unet` is reserved for at least conditioning_rows of `batch` images and, with `weights` and the
 * conditioning's list, outlives the generator. config->steps is resolved (not 0), and has passed
 * sampler_check. */
bool generator_init(Generator *g, Unet *unet, const float *weights,
                    const DiffusionConfig *diffusion, const SamplerConfig *config,
                    const Conditioning *conditioning, int batch, Err *err);
void generator_release(Generator *g);

/* The same of a denoiser that is no network, without classes. */
bool generator_init_denoiser(Generator *g, const GeneratorDenoiser *denoiser,
                             const DiffusionConfig *diffusion, const SamplerConfig *config,
                             int batch, Err *err);

/* The timesteps of the chain, ascending, and how many there are; they lie in the arena of a batch,
 * so not during one, and until the next. */
const int *generator_timesteps(Generator *g, int *entries);

/* Steps of each batch, without repeats, and the network calls that they take. Not during a batch.
 */
int generator_steps(Generator *g);
int generator_calls(Generator *g);

/* Called after each step of a batch; false stops it. */
typedef bool (*GeneratorProgress)(void *context, int calls_done);

/* out [n,h,w,channels], n at most the batch: images first_image .. first_image + n - 1 of the run.
 * `x_T` [n,h,w,channels] or NULL to draw it. Returns whether it came to its end: it was not stopped
 * by `progress`, and all numbers were finite (generator_check tells which). */
bool generator_batch(Generator *g, float *out, const float *x_T, uint32_t first_image, int n,
                     GeneratorProgress progress, void *context);

/* Whether all numbers of the last batch were finite. ERR_DIVERGED says at which t they were not. */
bool generator_check(const Generator *g, Err *err);

/* ---- what generator_batch is made of, for walks of another kind ---- */

/* Initialise the sampler of such a batch, which stays until the next. */
void generator_start(Generator *g, Sampler *sampler, const float *x_T, uint32_t first_image, int n);

/* A Denoiser: what the network, or the denoiser in its place, says of the x_t of that batch. `g` is
 * the Generator. */
void generator_denoise(void *g, float *out, const float *x_t, int t, int n);

/* Whether to go on after a step: `progress` (NULL: nobody) says so, and all numbers are finite. */
bool generator_goes_on(const Generator *g, const Sampler *sampler, GeneratorProgress progress,
                       void *context);

/* What such a walk ends in, [n,size]. Returns whether it is finite. */
bool generator_end(Generator *g, float *out, const Sampler *sampler);

#endif
