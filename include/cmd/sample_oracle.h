/*
 * ddpm sample --oracle: the exact denoiser of a config's training images (diffusion/oracle.h) in a
 * network's place. There is no model; what is to be known of one follows from the config.
 */
#ifndef DDPM_CMD_SAMPLE_ORACLE_H
#define DDPM_CMD_SAMPLE_ORACLE_H

#include "cmd/sample_options.h"
#include "diffusion/oracle.h"
#include "eval/network.h"
#include "train/datasets.h"
#include "train/generate.h"
#include "train/provenance.h"
#include "train/source.h"

#include <stdio.h>

/* Images at once where nothing else is asked for: the set is gone through once for all of them. */
enum { SAMPLE_ORACLE_BATCH = 128 };

typedef struct {
    Config config; /* as it is given */
    Datasets sets;
    EvalImages train;
    ImageSource images;
    Arena arena;
    Schedule schedule;
    Oracle oracle;
} SampleOracle;

/* Refuse options that have nothing to mean with --oracle, or without it; the message says why.
 * ERR_USAGE. */
bool sample_oracle_check(const SampleOptions *options, Err *err);

/* Read the config. `source` gets its name as the folder, and what it says as of a model that is the
 * denoiser: which predicts x_0, has learned no variance (fixed_small stands in), and is of all
 * images, whatever their class. */
bool sample_oracle_open(SampleOracle *o, Source *source, const SampleOptions *options, Err *err);

/* Read the training images (of which those held out are none), and make a generator of batches of
 * at most `batch`; `config` is the source's. Both stay where they are, as long as the generator. */
bool sample_oracle_load(SampleOracle *o, Generator *generator, const Config *config,
                        const SamplerConfig *sampler, int batch, Err *err);

/* One line: "the exact denoiser of 60,000 images and their mirror images". */
void sample_oracle_announce(FILE *to, const SampleOracle *o);

/* Add what the images are drawn with: Denoiser, Data CRC-32. */
void sample_oracle_describe(Provenance *how, const SampleOracle *o);

void sample_oracle_release(SampleOracle *o);

#endif
