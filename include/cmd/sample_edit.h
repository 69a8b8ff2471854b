/*
 * The options of `ddpm sample` that are about images: --init, --inpaint, --encode, --interpolate,
 * and the batches that they ask for. They have passed sample_edit_check.
 */
#ifndef DDPM_CMD_SAMPLE_EDIT_H
#define DDPM_CMD_SAMPLE_EDIT_H

#include "cmd/sample_options.h"
#include "train/edit.h"
#include "train/provenance.h"

typedef enum { EDIT_NONE, EDIT_INIT, EDIT_INPAINT, EDIT_ENCODE, EDIT_INTERPOLATE } EditKind;

typedef struct {
    EditKind kind;
    const SampleOptions *options;
    Generator *generator;
    int count;     /* images in all */
    float *x_0;    /* [size] of the image; of --interpolate [2,size] */
    float *ends;   /* [2,size], x_t of the images that are interpolated */
    float *x_t;    /* [batch,size], where a batch begins */
    uint8_t *fill; /* [size], what the mask says */
    Inpainting inpainting;
} SampleEdit;

/* Put into `sampler`, which is what the other options and the config say, what an option of this
 * file needs instead where nothing else was asked for. */
void sample_edit_sampler(SamplerConfig *sampler, const SampleOptions *options,
                         const Config *config);

/* How many images are drawn where --count is not given, by a config that says `count`. */
int sample_edit_count(const SampleOptions *options, int count);

/* Read the images that the options name, for a model of `config`. */
bool sample_edit_open(SampleEdit *edit, const SampleOptions *options, const Config *config,
                      Err *err);

/* Ready for `count` images in batches of at most `batch`; `generator` is initialised, of the chain
 * of `diffusion`, and outlives the edit. ERR_USAGE for an inversion up to alpha-bar 0. */
bool sample_edit_prepare(SampleEdit *edit, Generator *generator, const DiffusionConfig *diffusion,
                         int count, int batch, Err *err);

/* Network calls before the first batch, and of each. */
int64_t sample_edit_calls_before(SampleEdit *edit);
int64_t sample_edit_calls(SampleEdit *edit);

/* Add what the images are made from: CRC-32s, Strength, ... */
void sample_edit_describe(Provenance *how, const SampleEdit *edit);

/* The work before the first batch. Whether it came to its end. */
bool sample_edit_begin(SampleEdit *edit, GeneratorProgress progress, void *context);

/* As generator_batch; without an option of this file it is that. Of --encode, out [1,size] is x_T.
 */
bool sample_edit_batch(SampleEdit *edit, float *out, const float *x_T, uint32_t first_image, int n,
                       GeneratorProgress progress, void *context);

void sample_edit_release(SampleEdit *edit);

#endif
