/*
 * Random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy
 * as 1, 2, 3"), a function from (key, counter) to 128 bits with no state. What is drawn depends on
 * what it is for, not on what was drawn before: no draw depends on the batch split, on the number
 * of threads, on resuming, or on a grid being sampled in between.
 *
 *     key      the seed, 64 bits
 *     counter  { element / 4, image, step, stream | part << 8 }
 *
 * `image` is the index of a sample or the position in a training batch, `step` the training step
 * or the original t, `part` tells apart uses of one stream (the block whose dropout it is).
 */
#ifndef DDPM_BASE_RNG_H
#define DDPM_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Only ever appended to: a number that changes changes every run's results. */
typedef enum {
    RNG_INIT,          /* initial weights; image and step hold a hash of the tensor's name */
    RNG_SHUFFLE,       /* the order of an epoch; step holds the epoch */
    RNG_FLIP,          /* whether a training image is mirrored */
    RNG_TIMESTEP,      /* t of a training image */
    RNG_NOISE,         /* epsilon of a training image */
    RNG_DROPOUT,       /* part holds the block */
    RNG_X_T,           /* where a sample starts */
    RNG_SAMPLER_NOISE, /* the noise of a sampling step; step holds the original t */
    RNG_SHAPES,        /* the procedural data set; image holds the index of the image */
    RNG_LABEL_DROPOUT, /* whether a training image's class is withheld */
    RNG_SPLIT,         /* which images are held out of training */
    RNG_VALIDATION,    /* epsilon of a validation image; step holds 0 */
    RNG_KNOWN,         /* noise of what is known of an image; step holds the original t */
    RNG_JUMP,          /* noise of a jump up the chain; step holds the original t it leads to */
    RNG_EVAL_NOISE,    /* epsilon of an image that is evaluated; step holds t, part which draw */
    RNG_EVAL_TIMESTEP, /* the t that it is evaluated at */
    RNG_PATCH,         /* where patches are cut; image, step holds the level, part the set */
    RNG_DIRECTION,     /* directions of projection; image holds its index, step the level */
    RNG_SUBSET,        /* images to measure with; part tells apart whose */
} RngStream;

typedef struct {
    uint64_t seed;
    uint32_t image, step;
    RngStream stream;
    uint32_t part; /* below 2^24 */
} RngKey;

/* Words [4 first_block, 4 (first_block + blocks)) of the stream of `key`. */
void rng_bits(uint32_t *out, size_t blocks, uint32_t first_block, RngKey key);

/* `n` uniforms in [0, 1), multiples of 2^-24, from element 0 on. */
void rng_uniform(float *out, size_t n, RngKey key);

/* `n` standard normals from element 0 on, by Box-Muller with our own log, sin and cos, which use
 * only additions and multiplications (this file is compiled without fused multiply-add) and the
 * correctly rounded division and square root: every machine draws the same bits. */
void rng_normal(float *out, size_t n, RngKey key);

/* A whole number in [0, limit), limit >= 1, from the 64 bits of element `index`; its bias is below
 * 2^-32. */
uint32_t rng_below(uint32_t limit, uint32_t index, RngKey key);

/* order [count] = a permutation of 0 .. count - 1, each as probable as any other (Fisher and Yates;
 * Knuth, The Art of Computer Programming, 3.4.2, algorithm P). */
void rng_order(uint32_t *order, uint32_t count, RngKey key);

#endif
