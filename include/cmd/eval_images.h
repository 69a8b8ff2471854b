/*
 * The samples that `ddpm eval` judges, and as many of the data's images to compare them with. All
 * are held in memory, as bytes, and so are features of them, as floats: these grow with the number
 * of images; what the figures take besides is in blocks of a fixed size or stated with them.
 */
#ifndef DDPM_CMD_EVAL_IMAGES_H
#define DDPM_CMD_EVAL_IMAGES_H

#include "cmd/eval_run.h"
#include "eval/features.h"

/* Of fewer samples no distance says anything. */
enum { EVAL_FEWEST = 4 };

/* run->samples, where they come from --samples: before the long work, for they may be refused.
 * ERR_USAGE for one picture of many images; ERR_DATA for images of another size, or too few. */
bool eval_images_read(EvalRun *run, Err *err);

/*
 * The section "samples" and, where they have not been read, run->samples, once: drawn as `ddpm
 * sample --seed S -n N` draws them. A signal stops drawing: fewer are there then, perhaps none, and
 * the report is partial.
 */
bool eval_images_open(EvalRun *run, Err *err);

/*
 * Three sets of one size: samples, and two halves of a choice of reference images (or of rows) that
 * share none: what samples are compared with, and what stands in their place for the floor. Places
 * in the two sets, drawn from `seed` (RNG_SUBSET).
 */
typedef struct {
    int count; /* all samples, or half of the reference where that is less */
    const uint32_t *samples, *reference, *other; /* [count] */
    uint32_t *memory;
} EvalHalves;

/* ERR_DATA where `count` would be less than EVAL_FEWEST. eval_halves_release frees them. */
bool eval_halves_choose(EvalHalves *halves, int samples, int reference, uint64_t seed, Err *err);
void eval_halves_release(EvalHalves *halves);

#endif
