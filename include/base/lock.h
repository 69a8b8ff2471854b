/*
 * One process at a time: a file that is locked for as long as the process that took it lives, so
 * that a crash releases it (flock(2)).
 */
#ifndef DDPM_BASE_LOCK_H
#define DDPM_BASE_LOCK_H

#include "base/file.h"

typedef struct {
    bool taken;
    bool held; /* not taken, for another process has it */
    int descriptor;
    char path[FILE_PATH];
} Lock;

/* Lock the file `path`, which is made if need be. ERR_FAILED: another process has it, which the
 * message names by its number, or the file cannot be made. */
bool lock_take(Lock *lock, const char *path, Err *err);

/* Remove the file, and let others take it. Harmless where it was not taken. */
void lock_release(Lock *lock);

#endif
