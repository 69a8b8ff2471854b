/*
 * How images were made, as the texts of their PNG files: what draws them again. Nothing in it
 * depends on when, where or how fast that was, so that the same command writes the same bytes.
 *
 *     Software              ddpm 0.1.0
 *     Checkpoint step       4500            of a model of this program
 *     Config CRC-32         9b1e02a7        of what `ddpm info --resolved CHECKPOINT` prints
 *     Weights CRC-32        01f4c83d        the EMA's or the raw ones, as they are in memory
 *     Seed                  0
 *     Sampler, Steps, Spacing, Clip, and Eta or Variance where the sampler has one
 *
 *     Guidance, Guidance interval           where there is some
 *
 * (CRC-32s are zlib's), and what the caller adds.
 */
#ifndef DDPM_TRAIN_PROVENANCE_H
#define DDPM_TRAIN_PROVENANCE_H

#include "data/png.h"
#include "train/config.h"
#include "train/generate.h"

enum { PROVENANCE_MAX = 32, PROVENANCE_VALUE = 160 };

typedef struct {
    struct {
        const char *key; /* must stay */
        char value[PROVENANCE_VALUE];
    } list[PROVENANCE_MAX];
    int count;
} Provenance;

typedef struct {
    const Config *config;
    const uint64_t *step; /* of the checkpoint, or NULL */
    const float *weights; /* [floats]; NULL: there are none, nor their text */
    size_t floats;
    const SamplerConfig *sampler;
    const Conditioning *classes;
    int steps; /* that are really done */
} ProvenanceOf;

bool provenance_init(Provenance *p, const ProvenanceOf *of, Err *err);

/* One more text, its value in the manner of printf; what does not fit is cut. */
void provenance_add(Provenance *p, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What one image has besides: its Index, and its Class if it has one. */
void provenance_add_index(Provenance *p, const Conditioning *classes, uint32_t index);

/* What a grid has of the images first .. first + count - 1: First index, Count, Classes. */
void provenance_add_range(Provenance *p, const Conditioning *classes, uint32_t first, int count);

/* The texts, which point into `p`; returns how many there are. */
int provenance_texts(PngText texts[PROVENANCE_MAX], const Provenance *p);

/* Whether the PNG file `path` says all this of itself, and nothing else. ERR_USAGE names the first
 * difference; ERR_DATA if the file cannot be read. */
bool provenance_check(const Provenance *p, const char *path, Err *err);

#endif
