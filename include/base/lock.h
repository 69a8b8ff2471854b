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
    int folder; /* that the file is in, by descriptor: its path may name another one day */
    char path[FILE_PATH];
} Lock;

/* Lock the file `path`, which is made if need be. ERR_FAILED: another process has it, which the
 * message names by its number, or the file cannot be made. */
bool lock_take(Lock *lock, const char *path, Err *err);

/* Whether the path still names the file. It does not once the file was removed, or a folder above
 * it moved away, and then it keeps nobody out. */
bool lock_is_held(const Lock *lock);

/* Whether the folder that the path names now is the one that the lock was taken in. */
bool lock_folder_is_same(const Lock *lock);

/* Remove the file if the lock is held, and let others take it. Harmless where it was not taken. */
void lock_release(Lock *lock);

#endif
