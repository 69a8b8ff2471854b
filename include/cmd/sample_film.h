/*
 * What is seen of a reverse chain on its way down: --show-steps K, a grid with a strip for each
 * image, and --trajectory DIR, a grid for each step.
 */
#ifndef DDPM_CMD_SAMPLE_FILM_H
#define DDPM_CMD_SAMPLE_FILM_H

#include "cmd/sample_edit.h"
#include "cmd/sample_output.h"

typedef struct {
    const SampleOutput *output;
    const char *folder; /* of the frames, or NULL */
    int moments;        /* K; 0: no strips */
    int steps;          /* that are walked */
    int at;             /* images before this batch */
    float *x_t, *x_0;   /* [batch,size] of the step that is seen */
    float *strips;      /* [count,2,K,size]: above x_t, below x_0 */
    int *timesteps;     /* [K] of the strips' columns */
    bool failed;        /* a frame could not be written: */
    Err err;
} SampleFilm;

/* Refuse what cannot be shown: strips that are no grid, frames of an output that goes on or of
 * batches, walks that go up again. Before the model is loaded. ERR_USAGE. */
bool sample_film_check(const SampleOptions *options, const SampleOutput *output, EditKind edit,
                       Err *err);

/* Watch `generator`, whose walk is set. The film and the output stay where they are. ERR_USAGE for
 * more moments than there are steps, a grid that is too large, a folder that holds frames. */
bool sample_film_open(SampleFilm *film, const SampleOptions *options, const SampleOutput *output,
                      Generator *generator, Err *err);

/* The next batch begins `at` images after the run's first. */
void sample_film_batch(SampleFilm *film, int at);

/* The last frame: `images` [count,h,w,c]. False too where an earlier one had failed. */
bool sample_film_end(SampleFilm *film, const float *images, Err *err);

/* The strips, in place of sample_output_write. */
bool sample_film_write_strips(SampleFilm *film, Err *err);

void sample_film_release(SampleFilm *film);

#endif
