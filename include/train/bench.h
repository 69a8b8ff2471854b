/*
 * How fast a machine trains and samples a config's network: whole steps, timed on made-up images.
 */
#ifndef DDPM_TRAIN_BENCH_H
#define DDPM_TRAIN_BENCH_H

#include "train/config.h"

typedef enum {
    BENCH_TRAIN,  /* trainer_step: draw, forward, backward, clip, Adam, EMA; train.batch_size
                   * images in micro-batches */
    BENCH_SAMPLE, /* one forward pass, its filters prepared, of as many images as a micro-batch */
} BenchKind;

/* The names of the kinds: "train", "sample". */
extern const char *const bench_names[];

typedef struct {
    int images;          /* of a step */
    double best, median; /* seconds of a step */
    double flop;         /* of a step, counted as plain convolutions: two for each of unet_macs, and
                          * three times that for training */
    int blocks;
    /* Seconds of the best step in each block's calls [blocks]; `backward` is 0 for sampling. What
     * `best` has beyond them is outside of the network: drawing, the loss, the optimiser. */
    double *forward, *backward;
} Bench;

/* Told of each step, the first (which warms up and is not counted) included. */
typedef void BenchObserver(void *context, int steps_done);

/* Time `repeat` steps after one more. `config` has passed config_check; its data is not read.
 * `observer` may be NULL. The memory that the steps took is free again on return. */
bool bench_run(Bench *bench, BenchKind kind, const Config *config, int repeat,
               BenchObserver *observer, void *context, Err *err);
void bench_release(Bench *bench);

#endif
