/*
 * Code that is given what strangers made, run in a process of its own that can do nothing but
 * compute: it crashes, loops or is taken over alone.
 *
 * It has a copy of this process's memory, no open file, all signals blocked, and one system call:
 * to end. What it hands back is in memory that both share, and is as little to be trusted as what
 * it was given: the caller checks every number that it finds there.
 */
#ifndef DDPM_BASE_SANDBOX_H
#define DDPM_BASE_SANDBOX_H

#include "base/err.h"

#include <stddef.h>

typedef struct {
    void *shared; /* [size] bytes, zeros at first, aligned as pages are; no other child has them */
    size_t size;
    void *map; /* all that is mapped */
    size_t map_size;
} Sandbox;

/* Address space for `size` bytes, which takes memory only where it is written to; but all of it has
 * to fit (memory_fits). ERR_FAILED says how much `what` found no room for. */
bool sandbox_open(Sandbox *box, size_t size, const char *what, Err *err);
void sandbox_close(Sandbox *box);

/* Runs in the child: no allocation, no file, no call to the system. What `input` points to is as it
 * was when the child was started. */
typedef void SandboxWork(void *shared, size_t size, const void *input);

typedef enum {
    SANDBOX_WALLS,       /* under seccomp or not at all */
    SANDBOX_WALLS_IF_ANY /* where the system has no seccomp, in a process of its own alone */
} SandboxWalls;

typedef enum {
    SANDBOX_DONE,      /* the work returned */
    SANDBOX_CRASHED,   /* `code` is the signal that ended it: 9 (SIGKILL) and 31 (SIGSYS) are what a
                          call to the system comes to; 0 if it is not known */
    SANDBOX_TIME_OVER, /* it computed for too long */
    SANDBOX_MISSING,   /* there is no seccomp, `code` is its errno; the work was not started */
    SANDBOX_FAILED     /* there is no process to be had, `code` is the errno */
} SandboxHow;

typedef struct {
    SandboxHow how;
    int code;
} SandboxEnd;

/* Do the work and wait for its end. The limit is on seconds of processor time (1 and more): all
 * that the child can spend, and the same on a busy machine or after a pause by Ctrl-Z. Threads may
 * call this side by side, each with a box of its own. */
SandboxEnd sandbox_run(const Sandbox *box, SandboxWork *work, const void *input, int seconds,
                       SandboxWalls walls);

#endif
