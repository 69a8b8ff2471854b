/*
 * The options of `ddpm sample` that begin at images: what they mean, which go together, and the
 * batches that they ask for.
 */
#ifndef DDPM_CMD_SAMPLE_EDIT_H
#define DDPM_CMD_SAMPLE_EDIT_H

#include "cmd/sample_options.h"
#include "train/edit.h"
#include "train/provenance.h"

typedef enum { EDIT_NONE, EDIT_INIT, EDIT_INPAINT } EditKind;

typedef struct {
    EditKind kind;
    const SampleOptions *options;
    Generator *generator;
    float *x_0;    /* [size], the image */
    float *x_t;    /* [batch, size], where a batch begins */
    uint8_t *fill; /* [size], what the mask says */
    Inpainting inpainting;
} SampleEdit;

/* Refuse options that do not go together or lack another; the message says why. ERR_USAGE. */
bool sample_edit_check(const SampleOptions *options, Err *err);

/* Where --sampler or --steps are not given and the option of this file is better served by others
 * than the config's: put them into `sampler`. */
void sample_edit_sampler(SamplerConfig *sampler, const SampleOptions *options,
                         const Config *config);

/* How many images are drawn where --count is not given, by a config that says `count`. */
int sample_edit_count(const SampleOptions *options, int count);

/* Read the images that the options name, for the model of `source`. */
bool sample_edit_open(SampleEdit *edit, const SampleOptions *options, const Config *config,
                      Err *err);

/* Ready for batches of at most `batch` images; `generator` is initialised, outlives the edit, and
 * its walk is set. */
bool sample_edit_prepare(SampleEdit *edit, Generator *generator, int batch, Err *err);

/* Network calls of a batch. */
int64_t sample_edit_calls(SampleEdit *edit);

/* Add what the images were made from: the image's CRC-32, Strength, ... */
void sample_edit_describe(Provenance *how, const SampleEdit *edit);

/* As generator_batch; without an option of this file it is that. */
bool sample_edit_batch(SampleEdit *edit, float *out, const float *x_T, uint32_t first_image, int n,
                       GeneratorProgress progress, void *context);

void sample_edit_release(SampleEdit *edit);

#endif
