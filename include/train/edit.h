/*
 * Samples that are made of images, not of noise alone, with a Generator's network.
 */
#ifndef DDPM_TRAIN_EDIT_H
#define DDPM_TRAIN_EDIT_H

#include "diffusion/inpaint.h"
#include "diffusion/invert.h"
#include "train/generate.h"

/* Let the generator walk only the last `strength` (0 .. 1) of its chain's entries, rounded, at
 * least one. Not during a batch. */
void edit_start(Generator *g, double strength);

/* Alpha-bar at the entry that edit_start (or else the chain) has the walk begin at. Not during a
 * batch. */
double edit_alpha_bar(Generator *g);

/* Where a walk begins that is to end near `x_0` [size] (SDEdit, Meng et al. 2022, algorithm 1): for
 * images first_image .. first_image + n - 1 of the run x_t [n, size] ~ q(x_t | x_0) at the entry
 * that edit_start chose. The noise is what would otherwise be x_T (sampler_draw_x_T). */
void edit_diffuse(float *x_t, Generator *g, const float *x_0, uint32_t first_image, int n);

/* Images of which a part is given (diffusion/inpaint.h). */
typedef struct {
    const float *x_0;    /* [size] */
    const uint8_t *fill; /* [size], 1 where it is to be filled in */
    int jump_length, resample;
} Inpainting;

/* Network calls of a batch. Not during one. */
int64_t edit_inpaint_calls(Generator *g, const Inpainting *inpainting);

/* As generator_batch; the sampler is ddpm or ddim. */
bool edit_inpaint(Generator *g, float *out, const Inpainting *inpainting, const float *x_T,
                  uint32_t first_image, int n, GeneratorProgress progress, void *context);

/* Network calls of edit_invert. */
int64_t edit_invert_calls(Generator *g, int iterations);

/* The x_t [n, size] where edit_start (or else the chain) begins and from which ddim with eta 0
 * leads to the images x_0 [n, size] (diffusion/invert.h), as images 0 .. n - 1 of the run, n at
 * most the batch. Returns as generator_batch. */
bool edit_invert(Generator *g, float *x_t, const float *x_0, int n, int iterations,
                 GeneratorProgress progress, void *context);

#endif
