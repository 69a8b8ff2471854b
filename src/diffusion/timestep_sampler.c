/*
 * Strata are found in whole numbers, so that every machine draws the same; u_0 has 24 bits, with
 * which T u_0 batch fits 64. Importance draws by inverting the cumulative sum of p with 53 bits: a
 * p of 1e-9 is still a p.
 */
#include "diffusion/timestep_sampler.h"

#include "base/rng.h"
#include "diffusion/schedule.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double uniform_part = 0.001;

/* ---- history ---- */

size_t timestep_history_bytes(int T)
{
    size_t n = (size_t)T;
    return memory_round(n * TIMESTEP_HISTORY * sizeof(double)) + memory_round(n * sizeof(int));
}

void timestep_history_init(TimestepHistory *history, Arena *arena, int T)
{
    size_t losses = (size_t)T * TIMESTEP_HISTORY * sizeof *history->losses;
    size_t counts = (size_t)T * sizeof *history->counts;
    *history = (TimestepHistory){T, arena_take(arena, losses), arena_take(arena, counts)};
    memset(history->losses, 0, losses);
    memset(history->counts, 0, counts);
}

void timestep_history_add(TimestepHistory *history, int entry, double loss)
{
    assert(entry >= 0 && entry < history->T);
    double *losses = history->losses + (size_t)entry * TIMESTEP_HISTORY;
    int *count = &history->counts[entry];
    if (*count == TIMESTEP_HISTORY)
        memmove(losses, losses + 1, (TIMESTEP_HISTORY - 1) * sizeof *losses);
    else
        ++*count;
    losses[*count - 1] = loss;
}

static bool is_full(const TimestepHistory *history)
{
    for (int i = 0; i < history->T; i++)
        if (history->counts[i] < TIMESTEP_HISTORY) return false;
    return true;
}

static double root_mean_square(const double *losses)
{
    double sum = 0;
    for (int k = 0; k < TIMESTEP_HISTORY; k++) sum += losses[k] * losses[k];
    return sqrt(sum / TIMESTEP_HISTORY);
}

/* ---- draws ---- */

size_t timestep_draws_bytes(TimestepSampler kind, int T)
{
    return kind == TIMESTEP_IMPORTANCE ? 2 * memory_round((size_t)T * sizeof(double)) : 0;
}

void timestep_draws_init(TimestepDraws *draws, Arena *arena, TimestepSampler kind,
                         const TimestepHistory *history, int T, int batch, uint64_t seed)
{
    assert(T <= SCHEDULE_MAX_T && batch <= 1 << 20);
    assert((kind == TIMESTEP_IMPORTANCE) == (history != NULL));
    *draws =
        (TimestepDraws){.kind = kind, .T = T, .batch = batch, .seed = seed, .history = history};
    if (kind != TIMESTEP_IMPORTANCE) return;
    draws->p = arena_take(arena, (size_t)T * sizeof *draws->p);
    draws->cumulative = arena_take(arena, (size_t)T * sizeof *draws->cumulative);
}

/* False where no p follows: the history is not full yet, or all its losses are 0. */
static bool find_p(TimestepDraws *d)
{
    double sum = 0, total = 0;
    if (!is_full(d->history)) return false;
    for (int i = 0; i < d->T; i++)
        sum += d->p[i] = root_mean_square(d->history->losses + (size_t)i * TIMESTEP_HISTORY);
    if (!(sum > 0)) return false;
    for (int i = 0; i < d->T; i++) {
        d->p[i] = (1.0 - uniform_part) * d->p[i] / sum + uniform_part / d->T;
        d->cumulative[i] = total += d->p[i];
    }
    return true;
}

void timestep_draws_start(TimestepDraws *draws, uint32_t step)
{
    draws->step = step;
    draws->weighted = draws->kind == TIMESTEP_IMPORTANCE && find_p(draws);
}

static RngKey key_of(const TimestepDraws *d, int position)
{
    return (RngKey){
        .seed = d->seed, .image = (uint32_t)position, .step = d->step, .stream = RNG_TIMESTEP};
}

static int draw_stratum(const TimestepDraws *d, int position)
{
    uint64_t one = (uint64_t)1 << 24, batch = (uint64_t)d->batch;
    uint64_t u_0 = rng_below((uint32_t)one, 0, key_of(d, 0));
    uint64_t u = (u_0 * batch + (uint64_t)position * one) % (batch * one);
    return (int)((uint64_t)d->T * u / (batch * one));
}

static int draw_important(const TimestepDraws *d, int position)
{
    uint32_t bits[4];
    rng_bits(bits, 1, 0, key_of(d, position));
    double u = ((double)(bits[0] >> 5) * 0x1p26 + (double)(bits[1] >> 6)) * 0x1p-53;
    double at = u * d->cumulative[d->T - 1];
    int low = 0, high = d->T - 1; /* the first whose cumulative p is above */
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (d->cumulative[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

TimestepDraw timestep_draw(const TimestepDraws *d, int position)
{
    assert(position >= 0 && position < d->batch);
    if (d->kind == TIMESTEP_STRATIFIED) return (TimestepDraw){draw_stratum(d, position), 1};
    if (!d->weighted)
        return (TimestepDraw){(int)rng_below((uint32_t)d->T, 0, key_of(d, position)), 1};
    int entry = draw_important(d, position);
    return (TimestepDraw){entry, 1.0 / (d->T * d->p[entry])};
}
