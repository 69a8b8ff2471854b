/*
 * Which t each image of a training batch gets. Any way but `uniform` is there to make the loss less
 * noisy; none changes what is minimised, since each image's loss is multiplied by a weight 1 / (T
 * p_t) where p_t, the probability of t, is not 1/T.
 *
 *   uniform     each on its own
 *   stratified  t = floor(T u) + 1, u = mod(u_0 + position / batch, 1), with one u_0 a step: evenly
 *               spread over 1..T, and each uniform by itself
 *                                            (Kingma et al. 2021, appendix I.1)
 *   importance  p_t proportional to sqrt(E[loss_t^2]) over the last ten losses of t, mixed with
 *               0.001 of uniform; uniform until every t has ten
 *                                            (Nichol & Dhariwal 2021, section 3.3 and code)
 *
 * What is drawn follows from (seed, step, position in the batch) and the history alone.
 */
#ifndef DDPM_DIFFUSION_TIMESTEP_SAMPLER_H
#define DDPM_DIFFUSION_TIMESTEP_SAMPLER_H

#include "base/memory.h"
#include "diffusion/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- what importance remembers: part of the state of training ---- */

enum { TIMESTEP_HISTORY = 10 };

typedef struct {
    int T;
    double *losses; /* [T, TIMESTEP_HISTORY], of each t the oldest first; 0 where there is none */
    int *counts;    /* [T], 0 .. TIMESTEP_HISTORY */
} TimestepHistory;

size_t timestep_history_bytes(int T);
void timestep_history_init(TimestepHistory *history, Arena *arena, int T);

/* A loss, before it was weighted, at entry t - 1; the oldest makes place. */
void timestep_history_add(TimestepHistory *history, int entry, double loss);

/* ---- a step's draws ---- */

typedef struct {
    TimestepSampler kind;
    int T, batch;
    uint64_t seed;
    uint32_t step;
    const TimestepHistory *history; /* of importance */
    bool weighted;                  /* whether it is full; else p is not used */
    double *p, *cumulative;         /* [T] */
} TimestepDraws;

typedef struct {
    int entry; /* t - 1 */
    double weight;
} TimestepDraw;

/* What timestep_draws_init takes from an arena. */
size_t timestep_draws_bytes(TimestepSampler kind, int T);

/* For batches of `batch` images, at most 2^20. `history` is for importance alone and may change
 * between steps; NULL for the others. */
void timestep_draws_init(TimestepDraws *draws, Arena *arena, TimestepSampler kind,
                         const TimestepHistory *history, int T, int batch, uint64_t seed);

/* Begin a step; the draws after it are functions of the position. */
void timestep_draws_start(TimestepDraws *draws, uint32_t step);
TimestepDraw timestep_draw(const TimestepDraws *draws, int position);

#endif
