/*
 * What training is at any instant: all of it is in a checkpoint, and nothing else is needed to go
 * on bit for bit.
 */
#ifndef DDPM_TRAIN_STATE_H
#define DDPM_TRAIN_STATE_H

#include "base/memory.h"
#include "model/params.h"

#include <stdint.h>

typedef struct {
    uint64_t step;    /* steps done, those whose numbers were bad included */
    uint64_t images;  /* training images seen: which of them comes next */
    uint64_t updates; /* updates of the weights, of Adam and of the EMA: bad steps make none */
    int bad_steps;    /* the last ones in a row */
    float *weights, *adam_m, *adam_v, *ema; /* [table->floats] each */
    Arena arena;                            /* where they lie */
} TrainState;

/* Step 0: weights drawn from `seed`, the EMA equal to them, zero moments. */
bool train_state_init(TrainState *state, const ParamTable *table, uint64_t seed, Err *err);
void train_state_release(TrainState *state);

/* Whether every weight, moment and average is finite. */
bool train_state_finite(const TrainState *state, const ParamTable *table);

#endif
