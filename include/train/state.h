/*
 * What training is at any instant: all of it is in a checkpoint, and nothing else is needed to go
 * on bit for bit.
 */
#ifndef DDPM_TRAIN_STATE_H
#define DDPM_TRAIN_STATE_H

#include "base/memory.h"
#include "diffusion/timestep_sampler.h"
#include "model/params.h"
#include "train/config.h"

#include <stdint.h>

typedef struct {
    uint64_t step;    /* steps done, those whose numbers were bad included */
    uint64_t images;  /* training images seen: which of them comes next */
    uint64_t updates; /* updates of the weights, of Adam and of the EMA: bad steps make none */
    int bad_steps;    /* the last ones in a row */
    float *weights, *adam_m, *adam_v; /* [table->floats] each */
    int emas;
    float *ema[TRAIN_MAX_EMAS]; /* likewise; in the order of train.ema_decay */
    TimestepHistory *history;   /* of diffusion.timestep_sampler = importance, else NULL; the
                                 * trainer's, not in the arena */
    Arena arena;                /* where they lie */
} TrainState;

/* Step 0: weights drawn from `seed`, `emas` averages equal to them, zero moments. */
bool train_state_init(TrainState *state, const ParamTable *table, int emas, uint64_t seed,
                      Err *err);
void train_state_release(TrainState *state);

/* Bytes of its arrays. */
size_t train_state_bytes(const ParamTable *table, int emas);

/* Start from the weights that are there now: every average becomes equal to them. */
void train_state_restart_emas(TrainState *state, const ParamTable *table);

/* Whether every weight, moment and average is finite. */
bool train_state_finite(const TrainState *state, const ParamTable *table);

#endif
