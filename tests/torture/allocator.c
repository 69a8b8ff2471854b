/*
 * A library to be preloaded, which lets one allocation of a program fail: the k-th of those that
 * the program itself asks for, and the libraries that work for it alone (cJSON, zlib), not those of
 * the C library, OpenMP or BLAS, which have their own ways to end.
 *
 *     FAIL_AT=k      which of them, from 1 on; 0 or not set: none
 *     FAIL_REPORT=F  at its end the process adds a line to the file F: how many it asked for, and
 *                    how many of them it never gave back
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_RANGES = 16, MAX_LIVE = 1 << 16 };

/* What belongs to the program, and what it was given and has not given back. */
static struct {
    struct {
        uintptr_t from, to;
    } ranges[MAX_RANGES];
    int count;
    unsigned long asked, fail_at;
    const char *report;
    const void *live[MAX_LIVE];
    unsigned long lost; /* that found no place in `live` */
    bool ready;
    pthread_mutex_t lock;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* `live` is open addressing. A place that was emptied is marked so, and what lies behind it is
 * found.
 */
static const char emptied;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *block);

static bool is_the_programs(const char *name)
{
    return name[0] == 0 || strstr(name, "/libcjson") || strstr(name, "/libz.so");
}

static int add_ranges(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    if (!is_the_programs(info->dlpi_name)) return 0;
    for (int i = 0; i < info->dlpi_phnum && state.count < MAX_RANGES; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        state.ranges[state.count].from = info->dlpi_addr + part->p_vaddr;
        state.ranges[state.count++].to = info->dlpi_addr + part->p_vaddr + part->p_memsz;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("FAIL_AT");
    state.fail_at = at ? strtoul(at, NULL, 10) : 0;
    state.report = getenv("FAIL_REPORT");
    dl_iterate_phdr(add_ranges, NULL);
    state.ready = true;
}

__attribute__((destructor)) static void end(void)
{
    char line[96];
    unsigned long live = state.lost;
    state.ready = false;
    if (!state.report) return;
    for (int i = 0; i < MAX_LIVE; i++) live += state.live[i] && state.live[i] != &emptied;
    int length = snprintf(line, sizeof line, "asked %lu, not given back %lu\n", state.asked, live);
    int file = open(state.report, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file >= 0 && write(file, line, (size_t)length) == length) close(file);
}

static bool is_ours(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    for (int i = 0; state.ready && i < state.count; i++)
        if (at >= state.ranges[i].from && at < state.ranges[i].to) return true;
    return false;
}

/* Whether the call of `caller` is the one to fail. */
static bool fails(const void *caller)
{
    if (!is_ours(caller)) return false;
    unsigned long number = __atomic_add_fetch(&state.asked, 1, __ATOMIC_RELAXED);
    if (number == state.fail_at) errno = ENOMEM;
    return number == state.fail_at;
}

static size_t slot(const void *block)
{
    return (size_t)(((uintptr_t)block >> 4) * 2654435761u % MAX_LIVE);
}

static void *remember(void *block, const void *caller)
{
    if (!block || !is_ours(caller)) return block;
    pthread_mutex_lock(&state.lock);
    size_t at = slot(block), tries = 0;
    while (state.live[at] && state.live[at] != &emptied && ++tries < MAX_LIVE)
        at = (at + 1) % MAX_LIVE;
    if (tries == MAX_LIVE)
        state.lost++;
    else
        state.live[at] = block;
    pthread_mutex_unlock(&state.lock);
    return block;
}

static void forget(const void *block)
{
    if (!block || !state.ready) return;
    pthread_mutex_lock(&state.lock);
    size_t at = slot(block), tries = 0;
    while (state.live[at] && state.live[at] != block && ++tries < MAX_LIVE)
        at = (at + 1) % MAX_LIVE;
    if (state.live[at] == block) state.live[at] = &emptied;
    pthread_mutex_unlock(&state.lock);
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    return fails(CALLER) ? NULL : remember(__libc_malloc(size), CALLER);
}

void *calloc(size_t count, size_t size)
{
    return fails(CALLER) ? NULL : remember(__libc_calloc(count, size), CALLER);
}

void *realloc(void *block, size_t size)
{
    if (fails(CALLER)) return NULL;
    forget(block);
    return remember(__libc_realloc(block, size), CALLER);
}

void *aligned_alloc(size_t align, size_t size)
{
    return fails(CALLER) ? NULL : remember(__libc_memalign(align, size), CALLER);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fails(CALLER) ? NULL : remember(__libc_malloc(size), CALLER);
    return copy ? memcpy(copy, text, size) : NULL;
}

FILE *open_memstream(char **text, size_t *size)
{
    FILE *(*next)(char **, size_t *);
    void *symbol = dlsym(RTLD_NEXT, "open_memstream");
    memcpy(&next, &symbol, sizeof next); /* ISO C has no cast from one to the other */
    return fails(CALLER) ? NULL : next(text, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    if (fails(CALLER)) return ENOMEM;
    *out = remember(__libc_memalign(align, size), CALLER);
    return *out ? 0 : ENOMEM;
}

void free(void *block)
{
    forget(block);
    __libc_free(block);
}
