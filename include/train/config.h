/*
 * The configuration of a run, as JSON and as a struct. One table has every key; reading, --set,
 * the recorded config, the list of keys and the nearest key for a typo all walk it.
 */
#ifndef DDPM_TRAIN_CONFIG_H
#define DDPM_TRAIN_CONFIG_H

#include "base/err.h"
#include "base/json.h"
#include "data/config.h"
#include "diffusion/config.h"
#include "diffusion/sampler.h"
#include "model/config.h"
#include "train/keys.h"
#include "train/optimiser.h"

#include <stdint.h>

typedef struct {
    int steps; /* in all, those before a resume included */
    int batch_size, micro_batch;
    double learning_rate;
    RateDecay learning_rate_decay; /* from the end of warmup_steps on, to 0 at `steps` */
    int warmup_steps;              /* the rate rises linearly over these */
    double weight_decay;           /* AdamW's, of all parameters; 0: Adam */
    double label_dropout;          /* of the images, so many are trained on without their class */
    double grad_clip;              /* the global norm is cut to this; 0: never */
    int emas; /* averages of the weights, at least one; samples are drawn from the first */
    double ema_decay[TRAIN_MAX_EMAS]; /* their decays, no two the same */
    bool ema_warmup;                  /* the decay of update n is at most (1 + n) / (10 + n) */
    uint64_t seed;
    int max_bad_steps; /* in a row, before training stops as diverged */
    int log_every, validate_every, sample_every, checkpoint_every; /* steps; 0: not on the way */
    int validate_images;
    int evaluate_every, evaluate_images; /* as the validation's, of train/evaluation.h */
    int keep_checkpoints, keep_every;
} TrainConfig;

typedef struct {
    SamplerKind sampler;
    int steps; /* 0 (null in JSON): T for ddpm, 50 for the others */
    bool clip;
    int count;
} SampleConfig;

typedef struct {
    DataConfig data;
    ModelConfig model;
    DiffusionConfig diffusion;
    TrainConfig train;
    SampleConfig sample;
} Config;

/* The paper's values for CIFAR-10; data.path is empty. */
Config config_default(void);

/* Every key, in the order in which it is written. */
const Key *config_keys(size_t *count);

/* Put the keys that `json` has into *config; the others stay. `origin` (a file's name) opens each
 * message. ERR_USAGE for a key that does not exist (the nearest is named), a wrong type, a value
 * out of range; *config is then as it was. */
bool config_parse(Config *config, const Json *json, const char *origin, Err *err);

/* Defaults, then the file. ERR_USAGE for all that may be wrong with it. */
bool config_read(Config *config, const char *path, Err *err);

/* "train.steps=100", as config_parse. The value is JSON; a string needs no quotes, but has to be
 * UTF-8, or a run's config.json could not be read again. */
bool config_set(Config *config, const char *assignment, Err *err);

/* Every key. The caller gives it to json_free. */
Json *config_write(const Config *config);

/* The classes of the images: the rows of the class embedding (model.num_classes), without the last
 * one where that stands for no class, as it does where training drops labels. 0: none. */
int config_classes(const Config *config);

/* The steps of sampling that a config means where it says null: T for ddpm, 50 (at most T) for the
 * others. sample.steps counts for sample.sampler alone. */
int config_sample_steps(const Config *config, SamplerKind kind);

/* How the config's own samples are drawn, from the seed train.seed. */
SamplerConfig config_sampler(const Config *config);

/* Refuse what each key allows alone but not all of them together. ERR_USAGE. */
bool config_check(const Config *config, Err *err);

/* The path of the first key that may not change on resume and whose values differ, or NULL: those
 * of data, model and diffusion, but for data.validation where no image is held out of training, and
 * what decides which images are, and what the rows of the class embedding mean. */
const char *config_frozen_difference(const Config *a, const Config *b);

/* Where the config `name` is: as it stands, or, if it is a bare file name, in configs/ and in the
 * installed share folder. ERR_USAGE: the message names the places that were looked at. */
bool config_find(char *out, size_t size, const char *name, Err *err);

#endif
