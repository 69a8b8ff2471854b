/*
 * The scheduler_config.json of diffusers' DDPMScheduler, to and from DiffusionConfig.
 */
#ifndef DDPM_TRAIN_SCHEDULER_H
#define DDPM_TRAIN_SCHEDULER_H

#include "base/json.h"
#include "diffusion/config.h"

/* Schedules that diffusers has no name for (constant, jsd), and betas that were given, are written
 * out as trained_betas; zero_terminal_snr is rescale_betas_zero_snr.
 * `clip`: whether samples' x_0 is clipped. The caller frees *json, of which json_write says where
 * there was no memory to build it; false with `err` if there was none for a schedule. */
bool scheduler_write(Json **json, const DiffusionConfig *config, bool clip, Err *err);

/* What the betas follow from (num_train_timesteps; beta_schedule, beta_start, beta_end, or
 * trained_betas) has to be there, as diffusers always writes it; of other keys a missing one means
 * diffusers' default. trained_betas are config->betas but for those of constant and jsd, which are
 * known again. Of a learned variance the loss is said to be hybrid. What this program does not
 * have, and a key that no sampler of diffusers has, as a misspelt one, is refused by name, as
 * ERR_DATA; `origin` is the file. Sets all of *config that makes a chain. */
bool scheduler_read(DiffusionConfig *config, bool *clip, const Json *json, const char *origin,
                    Err *err);

#endif
