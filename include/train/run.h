/*
 * A training run in its folder: steps, metrics, grids of samples, checkpoints.
 *
 *     <run>/config.json    resolved, as the run was last started
 *          /metrics.jsonl  a line each train.log_every steps
 *          /samples/step-00001000.png
 *          /checkpoints/   train/checkpoint.h
 */
#ifndef DDPM_TRAIN_RUN_H
#define DDPM_TRAIN_RUN_H

#include "base/lock.h"
#include "train/trainer.h"

/* What the run tells its caller, and asks it. Each may be called at any time between two steps. */
typedef struct {
    void *context;
    void (*step)(void *context, const StepReport *report);
    void (*note)(void *context, const char *text);   /* "samples/step-00001000.png" and such */
    void (*remark)(void *context, const char *text); /* what is worth knowing of the training */
    void (*warn)(void *context, const char *text);   /* something failed that training survives */
    bool (*stop)(void *context);                     /* whether to save and return */
    bool (*show)(void *context); /* whether to save and draw a grid now, and go on; once each */
} RunObserver;

typedef enum { RUN_DONE, RUN_STOPPED, RUN_OUT_OF_TIME } RunEnd;

typedef struct {
    double max_seconds;        /* 0: no limit */
    double start;              /* what clock_seconds was when they began */
    const Dataset *validation; /* looked at each train.validate_every steps; NULL or empty: none */
    bool replace;              /* the run that the folder holds; it is gone once the new one has a
                                * checkpoint, and back in its place if that never happens */
    Lock *lock;                /* the folder's (run_lock), to be kept; NULL: nobody else is there */
} RunOptions;

/* Train from trainer_state's step to config->train.steps in the folder, which is made if need be.
 * Stops early, with a checkpoint, when the observer says so or `max_seconds` (0: none) would be
 * over before the next step and checkpoint are; a validation, evaluation or grid that is under way
 * is dropped then. ERR_FAILED, and nothing more is written, once the folder is another process's.
 * ERR_DIVERGED after train.max_bad_steps bad steps in a row: the last checkpoint stays as it
 * was. */
bool run_train(RunEnd *end, Trainer *trainer, const Config *config, const char *folder,
               RunOptions options, const RunObserver *observer, Err *err);

#endif
