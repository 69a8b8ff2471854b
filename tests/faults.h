/*
 * Faults for the tests of what is done about them: the k-th allocation, or the next call of a
 * function of the C library. Included by one file of a test program, whose allocations, those of
 * the libraries that it calls too, are then counted.
 *
 * Only where the C library can be asked for its own functions and no sanitizer stands in its place;
 * elsewhere FAULTS is false, and tests of faults are skipped.
 */
#ifndef DDPM_TESTS_FAULTS_H
#define DDPM_TESTS_FAULTS_H

#include "support.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    atomic_long asked, live; /* allocations since fault_memory; blocks that are not given back */
    long fail_at;            /* which of them fails; 0: none */
    const char *call;        /* the function that fails the next time; NULL: none */
    int reason;              /* errno then */
} faults;

/* The k-th allocation from here on fails; 0: none does. */
static inline void fault_memory(long k)
{
    faults.fail_at = k;
    atomic_store(&faults.asked, 0);
}

/* The next call of the function fails, once. */
static inline void fault_call(const char *name, int reason)
{
    faults.reason = reason;
    faults.call = name;
}

/* Whether that call has come. */
static inline bool fault_happened(void)
{
    return !faults.call;
}

#if defined(__GLIBC__) && !SANITIZED
enum { FAULTS = true };

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static bool no_memory(void)
{
    if (atomic_fetch_add(&faults.asked, 1) + 1 != faults.fail_at) return false;
    errno = ENOMEM;
    return true;
}

static void *given(void *block)
{
    if (block) atomic_fetch_add(&faults.live, 1);
    return block;
}

void *malloc(size_t size)
{
    return no_memory() ? NULL : given(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return no_memory() ? NULL : given(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (no_memory()) return NULL;
    void *grown = __libc_realloc(block, size);
    return block ? grown : given(grown);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return no_memory() ? NULL : given(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (no_memory()) return ENOMEM;
    *block = given(__libc_memalign(alignment, size));
    return *block ? 0 : ENOMEM;
}

void free(void *block)
{
    if (block) atomic_fetch_sub(&faults.live, 1);
    __libc_free(block);
}

static bool fails(const char *name)
{
    if (!faults.call || strcmp(faults.call, name) != 0) return false;
    faults.call = NULL;
    errno = faults.reason;
    return true;
}

/* The C library's own function of that name; ISO C has no cast to it. */
static void find_next(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(function, &symbol, sizeof symbol);
}

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*next)(const char *, const char *);
    find_next(&next, "fopen");
    return fails("fopen") ? NULL : next(path, mode);
}

/* With _FORTIFY_SOURCE the first two are called by other names. */
size_t fread(void *out, size_t size, size_t count, FILE *stream)
{
    size_t (*next)(void *, size_t, size_t, FILE *);
    find_next(&next, "fread");
    return fails("fread") ? 0 : next(out, size, count, stream);
}

size_t __fread_chk(void *out, size_t room, size_t size, size_t count, FILE *stream);
size_t __fread_chk(void *out, size_t room, size_t size, size_t count, FILE *stream)
{
    size_t (*next)(void *, size_t, size_t, size_t, FILE *);
    find_next(&next, "__fread_chk");
    return fails("fread") ? 0 : next(out, room, size, count, stream);
}

ssize_t pread(int file, void *out, size_t size, off_t offset)
{
    ssize_t (*next)(int, void *, size_t, off_t);
    find_next(&next, "pread");
    return fails("pread") ? -1 : next(file, out, size, offset);
}

ssize_t __pread_chk(int file, void *out, size_t size, off_t offset, size_t room);
ssize_t __pread_chk(int file, void *out, size_t size, off_t offset, size_t room)
{
    ssize_t (*next)(int, void *, size_t, off_t, size_t);
    find_next(&next, "__pread_chk");
    return fails("pread") ? -1 : next(file, out, size, offset, room);
}

/* Nothing here makes a file with a mode of its own. */
int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...);
    find_next(&next, "open");
    return fails("open") ? -1 : next(path, flags, 0666);
}

FILE *tmpfile(void)
{
    FILE *(*next)(void);
    find_next(&next, "tmpfile");
    return fails("tmpfile") ? NULL : next();
}

int fseek(FILE *stream, long offset, int whence)
{
    int (*next)(FILE *, long, int);
    find_next(&next, "fseek");
    return fails("fseek") ? -1 : next(stream, offset, whence);
}

int fseeko(FILE *stream, off_t offset, int whence)
{
    int (*next)(FILE *, off_t, int);
    find_next(&next, "fseeko");
    return fails("fseeko") ? -1 : next(stream, offset, whence);
}

int fsync(int file)
{
    int (*next)(int);
    find_next(&next, "fsync");
    return fails("fsync") ? -1 : next(file);
}

int fstat(int file, struct stat *status)
{
    int (*next)(int, struct stat *);
    find_next(&next, "fstat");
    return fails("fstat") ? -1 : next(file, status);
}

int flock(int file, int operation)
{
    int (*next)(int, int);
    find_next(&next, "flock");
    return fails("flock") ? -1 : next(file, operation);
}

int pipe(int ends[2])
{
    int (*next)(int[2]);
    find_next(&next, "pipe");
    return fails("pipe") ? -1 : next(ends);
}

int remove(const char *path)
{
    int (*next)(const char *);
    find_next(&next, "remove");
    return fails("remove") ? -1 : next(path);
}

int rename(const char *from, const char *to)
{
    int (*next)(const char *, const char *);
    find_next(&next, "rename");
    return fails("rename") ? -1 : next(from, to);
}

struct dirent *readdir(DIR *folder)
{
    struct dirent *(*next)(DIR *);
    find_next(&next, "readdir");
    return fails("readdir") ? NULL : next(folder);
}

ssize_t write(int file, const void *data, size_t size)
{
    ssize_t (*next)(int, const void *, size_t);
    find_next(&next, "write");
    return fails("write") ? -1 : next(file, data, size);
}

pid_t waitpid(pid_t process, int *status, int options)
{
    pid_t (*next)(pid_t, int *, int);
    find_next(&next, "waitpid");
    return fails("waitpid") ? -1 : next(process, status, options);
}

#else
enum { FAULTS = false };
#endif

/* Make each allocation of `attempt` fail once: it says that the machine refused, or does without,
 * and gives back all that it was given. */
static inline void starve(bool (*attempt)(Err *err))
{
    Err err = {0};
    bool done = attempt(&err); /* once in peace, for what the C library keeps */
    if (!done) fail_msg("%s", err.text);
    for (long k = 1;; k++) {
        long before = atomic_load(&faults.live);
        err = (Err){0};
        fault_memory(k);
        done = attempt(&err);
        long asked = atomic_load(&faults.asked);
        fault_memory(0);
        /* OpenMP keeps some of what it takes for work that gets done */
        if (!done) assert_int_equal(atomic_load(&faults.live), before);
        if (asked < k) {
            assert_true(done && k > 1);
            return;
        }
        if (!done && (err.kind != ERR_FAILED || !err.text[0]))
            fail_msg("allocation %ld: kind %d: %s", k, err.kind, err.text);
    }
}

#endif
