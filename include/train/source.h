/*
 * Models to be sampled or started from: which folder is meant, what it holds, and its weights.
 */
#ifndef DDPM_TRAIN_SOURCE_H
#define DDPM_TRAIN_SOURCE_H

#include "base/file.h"
#include "model/unet.h"
#include "train/config.h"

#include <time.h>

/* SOURCE_CONFIG: no model at all, what it would be of a config; never what source_open finds. */
typedef enum { SOURCE_CHECKPOINT, SOURCE_DIFFUSERS, SOURCE_CONFIG } SourceKind;

typedef struct {
    SourceKind kind;
    char folder[FILE_PATH];  /* the checkpoint or the diffusers folder itself */
    char weights[FILE_PATH]; /* its safetensors file */
    Config config;           /* of a diffusers folder: what its files say, defaults for the rest */
    uint64_t step, updates;  /* of a checkpoint */
    bool chain_assumed;      /* no file says what chain it was trained for: the default */
    char run[FILE_PATH];     /* whose `latest` was meant, or empty; this link, of that time */
    uint64_t link;
    struct timespec linked;
} Source;

/*
 * What `path` holds: a run folder (its latest checkpoint), a checkpoint, a diffusers pipeline
 * (model_index.json; all in one folder too), a U-Net with its weights in one folder, told apart by
 * `_class_name`. NULL: the run under runs/ whose `latest` is newest. ERR_DATA names what was looked
 * for. The chain of a U-Net is what the scheduler_config.json says that is in scheduler/, beside
 * it, or in the pipeline or checkpoint that it is the unet/ of, whatever else that lacks; where
 * model_index.json or ddpm.json is there and it is not, or checksums.json lists it or the index and
 * they are not there, is ERR_DATA.
 *
 * A run that is being trained removes its older checkpoints. Where that was the one that is meant,
 * while it was read here or by the functions below, and `latest` names another of the same model
 * and averages now, `source` becomes that one.
 */
bool source_open(Source *source, const char *path, Err *err);

/* Whether the network has an output for the variance where one is `learned`, and none where it is
 * not: a diffusers folder says both, each in a file of its own. */
bool source_check_outputs(const Source *source, bool learned, Err *err);

/* Whether the folder is a run's, with a checkpoint (checkpoint_exists) or without. */
bool source_is_run(const char *folder);

/* The folder to name for the model that `file` belongs to: that above unet/ or scheduler/ of a
 * checkpoint or pipeline, or else the file's own. */
void source_folder_of(char folder[FILE_PATH], const char *file);

/* Which weights of a model: a place in train.ema_decay, or those that were trained. Only
 * checkpoints of this program have more than the first. */
enum { SOURCE_FIRST_EMA = 0, SOURCE_RAW = -1 };

/* The place of the average of this rate. ERR_USAGE: the message lists those that there are. */
bool source_find_ema(int *which, const Source *source, double rate, Err *err);

/* Whether the file of weights is there and can hold a network made from source->config.model: asked
 * before memory is taken, since a few bytes of a stranger's config can describe any network.
 * ERR_DATA. */
bool source_check_size(Source *source, const Unet *unet, Err *err);

/* The weights [unet_params->floats] of a network made from source->config.model. */
bool source_weights(float *weights, Source *source, const Unet *unet, int which, Err *err);

/* The run folder under `runs` whose latest checkpoint is newest. ERR_DATA if there is none. */
bool source_newest_run(char run[FILE_PATH], const char *runs, Err *err);

#endif
