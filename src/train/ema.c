#include "train/ema.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *ema_rate_text(char out[EMA_RATE_TEXT], double decay)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, EMA_RATE_TEXT, "%.*g", digits, decay);
        if (strtod(out, NULL) == decay) break;
    }
    return out;
}

double ema_early_share(double decay, bool warmup, uint64_t updates)
{
    double first = floor((double)updates / 10), last = (double)updates, share = 1;
    /* the first update whose decay is not that of the warm-up any more */
    double warm = warmup ? fmax(0, ceil((10 * decay - 1) / (1 - decay))) : 0;
    double end = fmin(warm, last);
    if (first < end) {
        for (int i = 1; i <= 9; i++) share *= (first + i) / (end + i);
        first = end;
    }
    return share * pow(decay, last - first);
}

/* The share falls with the updates but for the first few, in which the tenth is none. */
static uint64_t updates_needed(double decay, bool warmup)
{
    uint64_t low = 0, high = 1;
    for (; ema_early_share(decay, warmup, high) > EMA_EARLY_MOST; high *= 2) low = high;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (ema_early_share(decay, warmup, middle) > EMA_EARLY_MOST)
            low = middle;
        else
            high = middle;
    }
    return high;
}

bool ema_is_early(char *text, size_t size, double decay, bool warmup, uint64_t updates)
{
    char rate[EMA_RATE_TEXT];
    double percent = 100 * ema_early_share(decay, warmup, updates);
    if (!(percent > 100 * EMA_EARLY_MOST)) return false;
    snprintf(text, size,
             "the EMA %s still carries %.*f %% of the first tenth of its %" PRIu64
             " updates; from %" PRIu64 " on it is below 1 %%",
             ema_rate_text(rate, decay), percent < 9.95 ? 1 : 0, percent, updates,
             updates_needed(decay, warmup));
    return true;
}
