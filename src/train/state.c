#include "train/state.h"

#include "train/optimiser.h"

#include <math.h>
#include <string.h>

bool train_state_init(TrainState *s, const ParamTable *table, uint64_t seed, Err *err)
{
    size_t bytes = memory_round(table->floats * sizeof(float));
    *s = (TrainState){0};
    if (!arena_init(&s->arena, 4 * bytes, "weights, Adam's moments and the EMA", err)) return false;
    s->weights = arena_take(&s->arena, bytes);
    s->adam_m = arena_take(&s->arena, bytes);
    s->adam_v = arena_take(&s->arena, bytes);
    s->ema = arena_take(&s->arena, bytes);
    params_draw(s->weights, table, seed);
    memcpy(s->ema, s->weights, table->floats * sizeof *s->ema);
    return true;
}

void train_state_release(TrainState *s)
{
    arena_release(&s->arena);
    *s = (TrainState){0};
}

bool train_state_finite(const TrainState *s, const ParamTable *table)
{
    const float *arrays[] = {s->weights, s->adam_m, s->adam_v, s->ema};
    bool finite = true;
    for (int i = 0; i < 4; i++)
        finite = finite && isfinite(gradient_norm(arrays[i], table->floats));
    return finite;
}
