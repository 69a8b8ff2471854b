/*
 * What diffusion.timestep_sampler = importance remembers, as a file of a checkpoint:
 * losses F64 [T, TIMESTEP_HISTORY] and counts I32 [T].
 */
#ifndef DDPM_TRAIN_LOSS_HISTORY_H
#define DDPM_TRAIN_LOSS_HISTORY_H

#include "base/err.h"
#include "diffusion/timestep_sampler.h"

/* Under its name only when whole. */
bool loss_history_write(const char *path, const TimestepHistory *history, Err *err);

/* ERR_DATA unless both tensors are there, of that shape, with finite losses and counts in 0 ..
 * TIMESTEP_HISTORY. */
bool loss_history_read(TimestepHistory *history, const char *path, Err *err);

#endif
