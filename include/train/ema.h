/*
 * How long an exponential moving average of the weights remembers. After n updates it carries the
 * weights of update k with the weight (1 - d_k) d_{k+1} .. d_{n-1}, where d_k is the decay of
 * update k (ema_decay_at), so that what it carries of all updates before a is d_a .. d_{n-1}.
 */
#ifndef DDPM_TRAIN_EMA_H
#define DDPM_TRAIN_EMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EMA_RATE_TEXT = 32 };

/* The rate with the fewest digits that give it back: "0.999". Names of tensors and messages have
 * it so. */
const char *ema_rate_text(char out[EMA_RATE_TEXT], double decay);

/* What the average carries of the first tenth of `updates` and of the weights it started from: the
 * product of the decays from update floor(updates / 10) on. In closed form: with `warmup` the
 * product of (1 + k) / (10 + k) over k = a .. b-1 is that of (a + i) / (b + i) over i = 1 .. 9. */
double ema_early_share(double decay, bool warmup, uint64_t updates);

/* Above this, an average is a mixture with a network that knew much less. */
#define EMA_EARLY_MOST 0.01

/* Whether it carries more than that. `text` then says so, and from which update on it will not:
 * "the EMA 0.9999 still carries ...". */
bool ema_is_early(char *text, size_t size, double decay, bool warmup, uint64_t updates);

#endif
