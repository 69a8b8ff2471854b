/*
 * The folder of a training run: its name, who may write to it, and the run that it held before.
 */
#ifndef DDPM_TRAIN_RUN_FOLDER_H
#define DDPM_TRAIN_RUN_FOLDER_H

#include "base/lock.h"

#include <stdint.h>

/* A name for a new run: runs/<stem>, or runs/<stem>-2, -3, ... if that exists. */
bool run_new_folder(char folder[FILE_PATH], const char *stem, Err *err);

/* The last of runs/<stem>, -2, -3, ... that has a checkpoint. ERR_DATA if none has. */
bool run_last_folder(char folder[FILE_PATH], const char *stem, Err *err);

/* Whether the folder holds what a run writes. */
bool run_exists(const char *folder);

/* Whether nothing is lost by a run that starts afresh in the folder where checkpoint_exists says
 * that there is none: ERR_DATA where there are checkpoints that `latest` does not lead to. */
bool run_check_latest(const char *folder, Err *err);

/* Make the folder if need be, and lock it, so that no other process trains in it; released by
 * lock_release, or when the process ends, however it does. ERR_FAILED names the one that does. */
bool run_lock(Lock *lock, const char *folder, Err *err);

/* Before the run writes into its folder, whose newest checkpoint is that of step `saved` (0: it has
 * none). Where the lock was lost, since its file was removed or the folder moved away, it is taken
 * anew. ERR_FAILED: another process has it, or what is there now is another run's, or of another
 * process that trained on meanwhile. */
bool run_keep_lock(Lock *lock, const char *folder, uint64_t saved, Err *err);

/* Put back what was set aside by a run that was killed on the way, before it had set aside the
 * checkpoints. For a folder that is locked. */
bool run_mend(const char *folder, Err *err);

/* Move what the folder holds into its .replaced/, to wait there until the new run has a checkpoint.
 * What waits there already stays, unless the folder holds a run with checkpoints, newer ones. */
bool run_set_aside(const char *folder, Err *err);

/* The new run has one: the old is not needed any more. */
bool run_forget_replaced(const char *folder, Err *err);

/* The new run came to nothing: the old one back in its place. */
void run_restore(const char *folder);

#endif
