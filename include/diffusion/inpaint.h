/*
 * Filling in part of an image: RePaint, Lugmayr et al. 2022, algorithm 1.
 *
 * After each reverse step what is known of the image is put in place at the noise level that was
 * reached, x ~ q(x_{t-1} | x_0), so that the rest is denoised in its sight; and so that the rest,
 * which was drawn without knowing what would be put beside it, comes to agree with it, the walk
 * goes up again and down, some times over (their section 4.2):
 *
 *     the level l is the number of entries still to walk: from K, with pure noise, down to 0
 *     at the levels 1, 1 + j, 1 + 2j, .. that are at least j below K the walk goes up by j, r - 1
 *     times in all, by x_{l+j} ~ q(x_{l+j} | x_l)
 *
 * with j the jump length (at most K - 1 counts) and r how often each stretch is sampled; 10 and 10
 * in the paper, of K = 250. r = 1 never goes up.
 */
#ifndef DDPM_DIFFUSION_INPAINT_H
#define DDPM_DIFFUSION_INPAINT_H

#include "diffusion/sampler.h"

typedef struct {
    Sampler *sampler;
    const float *x_0;    /* [size], read where it is known */
    const uint8_t *fill; /* [size], 1: to be filled in; 0: known */
    int jump;            /* j, or 0 where the chain has no room for one */
    int resample;        /* r */
    int turn;            /* the level where the walk goes up again, while `jumps` < r - 1 */
    int jumps;           /* done at that level */
} Inpaint;

/* j of a walk of `entries`: jump_length, or what there is room for. */
int inpaint_jump(int entries, int jump_length);

/* How often the network is called to walk `entries`. jump_length, resample >= 1. */
int64_t inpaint_calls(int entries, int jump_length, int resample);

/* `sampler` is initialised, with all its images to be filled in alike, has not stepped, and is
 * ddpm or ddim: dpm++ takes its last prediction for one of the same path, which it is not. It is
 * kept, as are x_0 and fill. */
void inpaint_init(Inpaint *inpaint, Sampler *sampler, const float *x_0, const uint8_t *fill,
                  int jump_length, int resample);

/* One step down, the known pixels, and a jump where one is due. Whether steps are left; when none
 * is, the known pixels are x_0 exactly. Noise: of the known pixels stream RNG_KNOWN, of a jump
 * RNG_JUMP, at (seed, image, original t of the level reached); part: how often the walk went up
 * from the last turn, which is that of RNG_SAMPLER_NOISE too. */
bool inpaint_step(Inpaint *inpaint, Denoiser denoise, void *context);

#endif
