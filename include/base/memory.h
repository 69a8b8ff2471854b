/*
 * Memory: plain blocks that name what they are for when there is none left, and arenas, which are
 * one 64-byte aligned block handed out piece by piece and never grown. Nothing is allocated during
 * a training or sampling step; sizes are planned before and taken once.
 */
#ifndef DDPM_BASE_MEMORY_H
#define DDPM_BASE_MEMORY_H

#include "base/err.h"

#include <stddef.h>

#define MEMORY_ALIGN 64

/* `count` zeroed elements of `size` bytes, 64-byte aligned; free() them. NULL and `err` (which
 * names `what` and how much was asked for) if there is no room (memory_fits) or the product
 * overflows. A count of 0 gives a block that may be freed but not read. */
void *memory_new(size_t count, size_t size, const char *what, Err *err);

/* Say in `err` (ERR_FAILED) that there is no memory for the `bytes` that `what` needs. Always
 * returns false. */
bool memory_refused(size_t bytes, const char *what, Err *err);

/* The bytes that this process may have at most: the machine's memory, or what a control group or
 * RLIMIT_AS leaves of it. What is taken beyond it is not refused by the system but ends in a kill,
 * later. */
size_t memory_limit(void);

/* What the control groups (Linux, versions 1 and 2) leave, SIZE_MAX if all: the least limit of the
 * groups that the file `groups` lists and of those that they are in. Folders of groups begin at
 * `root`. Of this process: /sys/fs/cgroup and /proc/self/cgroup. */
size_t memory_group_limit(const char *root, const char *groups);

/* The bytes of memory that this process has written to and not given back; 0 where the system does
 * not tell. What it shares is not counted. */
size_t memory_held(void);

/* Refuse `bytes` more where what is held leaves no room for them below memory_limit, by a message
 * as memory_check's. Fewer than 64 MiB are not looked at. */
bool memory_fits(size_t bytes, const char *what, Err *err);

/* Refuse what needs more than memory_limit before any of it is taken: ERR_FAILED says how much both
 * are, and `remedy`. */
bool memory_check(size_t bytes, const char *what, const char *remedy, Err *err);

/* `bytes` rounded up to whole cache lines. */
size_t memory_round(size_t bytes);

typedef struct {
    unsigned char *base;
    size_t size, used; /* bytes */
} Arena;

/* Take `bytes` (zeroed) for `what`. */
bool arena_init(Arena *arena, size_t bytes, const char *what, Err *err);
void arena_release(Arena *arena);

/* The next `bytes`, 64-byte aligned. That they fit is the caller's plan: an assert checks it. */
void *arena_take(Arena *arena, size_t bytes);

#endif
