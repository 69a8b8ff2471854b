#include "base/memory.h"

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

size_t memory_limit(void)
{
    struct rlimit space;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t limit = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        limit = smaller(limit, (size_t)space.rlim_cur);
    limit = smaller(limit, read_limit("/sys/fs/cgroup/memory.max"));
    return smaller(limit, read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
}

bool memory_check(size_t bytes, const char *what, const char *remedy, Err *err)
{
    size_t limit = memory_limit();
    if (bytes <= limit) return true;
    return err_set(err, ERR_FAILED, "%s: needs %.0f MiB of memory, and there are %.0f MiB; %s",
                   what, (double)bytes / 1048576, (double)limit / 1048576, remedy);
}

bool memory_refused(size_t bytes, const char *what, Err *err)
{
    const char remedy[] = "free some, or ask for less";
    if (bytes < 1 << 20)
        return err_set(err, ERR_FAILED, "%s: no memory for %zu bytes; %s", what, bytes, remedy);
    return err_set(err, ERR_FAILED, "%s: no memory for %.1f MiB; %s", what, (double)bytes / 1048576,
                   remedy);
}

void *memory_new(size_t count, size_t size, const char *what, Err *err)
{
    if (size != 0 && count > (PTRDIFF_MAX - MEMORY_ALIGN) / size) {
        err_set(err, ERR_FAILED, "%s: %zu elements of %zu bytes are more than memory can address",
                what, count, size);
        return NULL;
    }
    size_t bytes = memory_round(count * size + (count * size == 0));
    /* The system would give it, and end the process once it is written to. */
    if (bytes >= LARGE && !memory_check(bytes, what, "ask for less", err)) return NULL;
    void *block = allocate(bytes);
    if (!block) {
        memory_refused(bytes, what, err);
        return NULL;
    }
    memset(block, 0, bytes);
    return block;
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
