/*
 * Checkpoints: folders that are diffusers pipelines (the first EMA) and hold all of TrainState
 * besides:
 *
 *     checkpoints/step-00001000/model_index.json
 *                               unet/config.json, unet/diffusion_pytorch_model.safetensors
 *                               scheduler/scheduler_config.json
 *                               ddpm.json               the resolved config and the counters
 *                               training.safetensors    raw.NAME, adam_m.NAME, adam_v.NAME, and
 *                                                       ema.RATE.NAME of each EMA but the first
 *                               loss_history.safetensors  with timestep_sampler = importance alone
 *                               checksums.json          of all these (train/checksums.h)
 *     checkpoints/latest -> step-00001000
 *
 * Written under a temporary name, synced, renamed: at any instant `latest` names a whole one. Each
 * file is checked against checksums.json before it is read; what differs is ERR_DATA.
 */
#ifndef DDPM_TRAIN_CHECKPOINT_H
#define DDPM_TRAIN_CHECKPOINT_H

#include "base/file.h"
#include "train/config.h"
#include "train/state.h"

/* What a checkpoint's ddpm.json says. */
typedef struct {
    Config config;
    uint64_t step, images, updates;
    int bad_steps;
    char blas_core[64]; /* the processor whose kernels BLAS used: bits differ between them */
} CheckpointInfo;

/* Write the checkpoint of `state` into the run folder `run` and point `latest` at it. Numbers that
 * are not finite are refused as ERR_DIVERGED. The name of its folder is put into `path` unless
 * NULL. */
bool checkpoint_write(char path[FILE_PATH], const char *run, const Config *config,
                      const ParamTable *table, const TrainState *state, Err *err);

/* Remove those of the run that `config`'s keep_checkpoints and keep_every do not keep, those beyond
 * step `newest`, and what a crash left. One that cannot be removed is an error once the others are
 * gone. */
bool checkpoint_prune(const char *run, const TrainConfig *config, uint64_t newest, Err *err);

/* Whether the folder is a checkpoint of this program. */
bool checkpoint_is(const char *folder);

/* Whether the run folder has one that `latest` names. */
bool checkpoint_exists(const char *run);

/* The newest of the checkpoints that are in the run's folder, whether `latest` names it or not, and
 * whether it is one, or only what is left of one. *name is empty if there are none. ERR_FAILED
 * where nobody can tell. */
bool checkpoint_newest(char name[FILE_PATH], bool *whole, const char *run, Err *err);

bool checkpoint_info(CheckpointInfo *info, const char *folder, Err *err);

/* All arrays and counters of the checkpoint into `state`, which has as many averages. */
bool checkpoint_read(TrainState *state, const ParamTable *table, const char *folder, Err *err);

/* One array of weights alone: the average number `which` of train.ema_decay, or CHECKPOINT_RAW,
 * those that were trained. */
enum { CHECKPOINT_RAW = -1 };
bool checkpoint_weights(float *weights, const ParamTable *table, const char *folder, int which,
                        Err *err);

#endif
