#include "train/state.h"

#include "train/optimiser.h"

#include <math.h>
#include <string.h>

enum { ARRAYS = 3 }; /* beside the averages */

size_t train_state_bytes(const ParamTable *table, int emas)
{
    return (size_t)(ARRAYS + emas) * memory_round(table->floats * sizeof(float));
}

bool train_state_init(TrainState *s, const ParamTable *table, int emas, uint64_t seed, Err *err)
{
    size_t bytes = memory_round(table->floats * sizeof(float));
    *s = (TrainState){.emas = emas};
    if (!arena_init(&s->arena, train_state_bytes(table, emas),
                    "weights, Adam's moments and their averages", err))
        return false;
    s->weights = arena_take(&s->arena, bytes);
    s->adam_m = arena_take(&s->arena, bytes);
    s->adam_v = arena_take(&s->arena, bytes);
    for (int i = 0; i < emas; i++) s->ema[i] = arena_take(&s->arena, bytes);
    params_draw(s->weights, table, seed);
    train_state_restart_emas(s, table);
    return true;
}

void train_state_restart_emas(TrainState *s, const ParamTable *table)
{
    for (int i = 0; i < s->emas; i++)
        memcpy(s->ema[i], s->weights, table->floats * sizeof *s->weights);
}

void train_state_release(TrainState *s)
{
    arena_release(&s->arena);
    *s = (TrainState){0};
}

bool train_state_finite(const TrainState *s, const ParamTable *table)
{
    const float *arrays[ARRAYS] = {s->weights, s->adam_m, s->adam_v};
    bool finite = true;
    for (int i = 0; i < ARRAYS; i++)
        finite = finite && isfinite(gradient_norm(arrays[i], table->floats));
    for (int i = 0; i < s->emas; i++)
        finite = finite && isfinite(gradient_norm(s->ema[i], table->floats));
    return finite;
}
