#include "base/memory.h"

#include "base/file.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the address translation of x86-64 and of arm64 knows as one large page. */
enum { HUGE_PAGE = 2 << 20 };

/* What is below is not looked at: the limits are files. */
enum { LARGE = 64 << 20 };

size_t memory_round(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

/* aligned_alloc(), on large pages where the block fills some: the network's arrays are hundreds of
 * MiB and are walked with long strides, which small pages make slow (tests/bench/SPEED.md). A
 * system that refuses gives small pages, and nothing else changes. */
static void *allocate(size_t bytes)
{
    if (bytes < HUGE_PAGE) return aligned_alloc(MEMORY_ALIGN, bytes);
    void *block; /* not aligned_alloc(), which wants whole pages in C11 */
    if (posix_memalign(&block, HUGE_PAGE, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

/* The number in a file of the kernel's; SIZE_MAX if there is none ("max"). */
static size_t read_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long value;
    bool there = file && fscanf(file, "%llu", &value) == 1;
    if (file) fclose(file);
    return there && value < SIZE_MAX ? (size_t)value : SIZE_MAX;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The least of the limits `name` of the group `path` below `root` and of those that it is in; up to
 * the root itself, which is all that a container may see of them. `path` is used up. */
static size_t least_limit(const char *root, char *path, const char *name)
{
    char file[FILE_PATH], *end = path;
    Err ignored;
    for (size_t least = SIZE_MAX;; *end = 0) {
        if (file_path(file, &ignored, "%s%s/%s", root, path, name))
            least = smaller(least, read_limit(file));
        end = strrchr(path, '/');
        if (!end) return least;
    }
}

/* Whether `name` is in a list with commas. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; *at; at += strspn(at, ",")) {
        size_t here = strcspn(at, ",");
        if (here == length && memcmp(at, name, length) == 0) return true;
        at += here;
    }
    return false;
}

/* By "number:controllers:/path"; version 2 has the number 0 and lists none. */
static size_t line_limit(const char *root, char *line)
{
    char folder[FILE_PATH], *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
    Err ignored;
    if (!path) return SIZE_MAX;
    *list++ = *path++ = 0;
    if (strcmp(line, "0") == 0 && !*list) return least_limit(root, path, "memory.max");
    if (!is_listed(list, "memory") || !file_path(folder, &ignored, "%s/memory", root))
        return SIZE_MAX;
    return least_limit(folder, path, "memory.limit_in_bytes");
}

size_t memory_group_limit(const char *root, const char *groups)
{
    char line[FILE_PATH], v2[] = "0::", v1[] = "1:memory:";
    size_t limit = smaller(line_limit(root, v2), line_limit(root, v1));
    FILE *file = fopen(groups, "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        limit = smaller(limit, line_limit(root, line));
    }
    if (file) fclose(file);
    return limit;
}

size_t memory_limit(void)
{
    struct rlimit space;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t limit = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        limit = smaller(limit, (size_t)space.rlim_cur);
    return smaller(limit, memory_group_limit("/sys/fs/cgroup", "/proc/self/cgroup"));
}

size_t memory_held(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    size_t resident, shared;
    long page = sysconf(_SC_PAGESIZE);
    bool there = file && fscanf(file, "%*u %zu %zu", &resident, &shared) == 2;
    if (file) fclose(file);
    return there && page > 0 && resident > shared ? (resident - shared) * (size_t)page : 0;
}

bool memory_check(size_t bytes, const char *what, const char *remedy, Err *err)
{
    size_t limit = memory_limit();
    if (bytes <= limit) return true;
    return err_set(err, ERR_FAILED, "%s: needs %.0f MiB of memory, and there are %.0f MiB; %s",
                   what, (double)bytes / 1048576, (double)limit / 1048576, remedy);
}

bool memory_fits(size_t bytes, const char *what, Err *err)
{
    if (bytes < LARGE) return true;
    size_t limit = memory_limit(), held = memory_held();
    if (bytes <= limit && held <= limit - bytes) return true;
    return err_set(err, ERR_FAILED,
                   "%s: needs %.0f MiB of memory beside the %.0f MiB that are taken, and there are "
                   "%.0f MiB; ask for less (fewer or smaller images)",
                   what, (double)bytes / 1048576, (double)held / 1048576, (double)limit / 1048576);
}

bool memory_refused(size_t bytes, const char *what, Err *err)
{
    const char remedy[] = "free some, or ask for less";
    if (bytes < 1 << 20)
        return err_set(err, ERR_FAILED, "%s: no memory for %zu bytes; %s", what, bytes, remedy);
    return err_set(err, ERR_FAILED, "%s: no memory for %.1f MiB; %s", what, (double)bytes / 1048576,
                   remedy);
}

/* Zeros, so that the system has given what it promised. */
static void *take(size_t bytes, const char *what, Err *err)
{
    if (!memory_fits(bytes, what, err)) return NULL;
    void *block = allocate(bytes);
    if (block)
        memset(block, 0, bytes);
    else
        memory_refused(bytes, what, err);
    return block;
}

/* One after the other: each is seen by the next. */
static void *take_large(size_t bytes, const char *what, Err *err)
{
    void *block;
#pragma omp critical(memory_take_large)
    block = take(bytes, what, err);
    return block;
}

void *memory_new(size_t count, size_t size, const char *what, Err *err)
{
    if (size != 0 && count > (PTRDIFF_MAX - MEMORY_ALIGN) / size) {
        err_set(err, ERR_FAILED, "%s: %zu elements of %zu bytes are more than memory can address",
                what, count, size);
        return NULL;
    }
    size_t bytes = memory_round(count * size + (count * size == 0));
    return bytes < LARGE ? take(bytes, what, err) : take_large(bytes, what, err);
}

bool arena_init(Arena *arena, size_t bytes, const char *what, Err *err)
{
    *arena = (Arena){memory_new(bytes, 1, what, err), bytes, 0};
    return arena->base != NULL;
}

void arena_release(Arena *arena)
{
    free(arena->base);
    *arena = (Arena){0};
}

void *arena_take(Arena *arena, size_t bytes)
{
    assert(memory_round(bytes) <= memory_round(arena->size) - arena->used);
    void *piece = arena->base + arena->used;
    arena->used += memory_round(bytes);
    return piece;
}
