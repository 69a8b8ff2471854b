/*
 * The child is made by _Fork where there is one: fork() calls what libraries have registered for
 * it, and OpenBLAS then stops its threads. Up to its end the child calls only what may be called
 * after a fork of many threads.
 *
 * seccomp's strict mode leaves read, write, exit and the return from a signal, and with no file
 * open only the latter two do anything. A process that has a filter already, as all have in most
 * containers, is refused strict mode: there a filter of our own leaves but exit.
 *
 * The kernel ends a child that has used up its processor time, and there is nothing else that it
 * could wait for; so the parent needs no clock. That it is done the child says in the shared
 * memory, because a parent that was started with SIGCHLD ignored is not told how it ended.
 */
#include "base/sandbox.h"

#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

/* Valgrind and ThreadSanitizer call the system when they like, on behalf of the child, which would
 * be ended: without walls it works. */
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif
#ifndef __has_feature /* clang's way to say it */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define IS_WATCHED 1
#else
#define IS_WATCHED RUNNING_ON_VALGRIND
#endif

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
#define HAS_FORK_ALONE 1
#endif
#endif

/* At the front of the mapping: a page of its own, so that what is shared is aligned. */
enum { FRONT = 1 << 12 };
typedef struct {
    volatile int started; /* the errno of the walls, where they are a must, or STARTED */
    volatile int done;
} Front;
enum { STARTED = -1, DONE = 0x600D };

enum { NO_WALLS = SANDBOX_WALLS_IF_ANY + 1 };

/* A memory map is made for one child, and no other is to have it. */
static void inherit(const Sandbox *box, bool yes)
{
#ifdef MADV_DONTFORK
    madvise(box->map, box->map_size, yes ? MADV_DOFORK : MADV_DONTFORK);
#else
    (void)box, (void)yes;
#endif
}

bool sandbox_open(Sandbox *box, size_t size, const char *what, Err *err)
{
    *box = (Sandbox){0};
    if (!memory_fits(size, what, err)) return false;
    size_t whole = size <= SIZE_MAX / 2 ? size + FRONT : 0;
    void *map = MAP_FAILED;
    if (whole > 0)
        map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (map == MAP_FAILED) return memory_refused(size, what, err);
    *box = (Sandbox){(char *)map + FRONT, size, map, whole};
    inherit(box, false);
    return true;
}

void sandbox_close(Sandbox *box)
{
    if (box->map) munmap(box->map, box->map_size);
    *box = (Sandbox){0};
}

/* ---- in the child ---- */

#ifdef __linux__

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* No call but exit; numbers of calls mean something by their architecture alone. */
static int put_up_filter(void)
{
#ifdef ARCHITECTURE
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        return 0;
#endif
    return errno;
}

/* 0, or the errno. */
static int put_up_walls(void)
{
    if (IS_WATCHED || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0) return 0;
    return put_up_filter();
}

/* Not to outlive the parent, and to leave no picture of its memory. */
static void belong(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
}

/* The library's _exit is exit_group(2), which is behind the walls. */
static void end(void)
{
    syscall(SYS_exit, 0);
}

#else

static int put_up_walls(void)
{
    return ENOSYS;
}

static void belong(void)
{
}

static void end(void)
{
    _exit(0);
}

#endif

static void close_files(void)
{
    struct rlimit limit;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 0U, UINT_MAX, 0U) == 0) return;
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) limit.rlim_cur = 65536;
    for (int file = 0; file < (int)limit.rlim_cur; file++) close(file);
}

/* The soft limit is what tells, the hard one what ends a child that does not listen. */
static void set_limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit before;
    if (getrlimit(resource, &before) == 0 && before.rlim_max < hard) {
        hard = before.rlim_max;
        if (soft >= hard) soft = hard > 0 ? hard - 1 : 0;
    }
    setrlimit(resource, &(struct rlimit){soft, hard});
}

static void set_limits(int seconds)
{
    struct sigaction ends = {.sa_handler = SIG_DFL};
    sigset_t time_over;
    set_limit(RLIMIT_CORE, 0, 0);
    set_limit(RLIMIT_CPU, (rlim_t)seconds, (rlim_t)seconds + 1);
    sigaction(SIGXCPU, &ends, NULL);
    sigemptyset(&time_over);
    sigaddset(&time_over, SIGXCPU);
    sigprocmask(SIG_UNBLOCK, &time_over, NULL);
}

static void live(const Sandbox *box, SandboxWork *work, const void *input, int seconds, int walls)
{
    Front *front = box->map;
    belong();
    close_files();
    set_limits(seconds);
    int missing = walls == NO_WALLS ? 0 : put_up_walls();
    front->started = missing && walls == SANDBOX_WALLS ? missing : STARTED;
    if (front->started == STARTED) {
        work(box->shared, box->size, input);
        front->done = DONE;
    }
    for (;;) end();
}

/* ---- in the parent ---- */

static pid_t fork_alone(void)
{
#ifdef HAS_FORK_ALONE
    return _Fork();
#else
    return fork();
#endif
}

/* The child, with all signals blocked: the handlers are the parent's. One at a time, so that none
 * is made while another's memory is there to be inherited. */
static pid_t start(const Sandbox *box, SandboxWork *work, const void *input, int seconds, int walls)
{
    sigset_t all, before;
    pid_t child;
    int reason;
    sigfillset(&all);
#pragma omp critical(sandbox_start)
    {
        inherit(box, true);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        child = fork_alone();
        if (child == 0) live(box, work, input, seconds, walls);
        reason = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        inherit(box, false);
    }
    errno = reason;
    return child;
}

/* The signal that ended it; 0 if none did, or nobody knows. */
static int wait_for_end(pid_t child)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR) continue;
    return ended == child && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static SandboxEnd run(const Sandbox *box, SandboxWork *work, const void *input, int seconds,
                      int walls)
{
    Front *front = box->map;
    front->started = front->done = 0;
    pid_t child = start(box, work, input, seconds, walls);
    if (child < 0) return (SandboxEnd){SANDBOX_FAILED, errno};
    int signal = wait_for_end(child), started = front->started;
    if (started > 0) return (SandboxEnd){SANDBOX_MISSING, started};
    if (signal == SIGXCPU) return (SandboxEnd){SANDBOX_TIME_OVER, 0};
    if (front->done == DONE) return (SandboxEnd){SANDBOX_DONE, 0};
    return (SandboxEnd){SANDBOX_CRASHED, signal};
}

static void do_nothing(void *shared, size_t size, const void *input)
{
    (void)shared, (void)size, (void)input;
}

/* Whether a filter around this process ends who asks for walls. Asked of a child that has seen no
 * input: one that has could have made its end look so. */
static bool walls_are_death(const Sandbox *box)
{
    SandboxEnd end = run(box, do_nothing, NULL, 1, SANDBOX_WALLS);
    return end.how == SANDBOX_CRASHED && end.code == SIGSYS;
}

SandboxEnd sandbox_run(const Sandbox *box, SandboxWork *work, const void *input, int seconds,
                       SandboxWalls walls)
{
    assert(seconds >= 1);
    SandboxEnd end = run(box, work, input, seconds, (int)walls);
    if (end.how != SANDBOX_CRASHED || end.code != SIGSYS || !walls_are_death(box)) return end;
    if (walls == SANDBOX_WALLS) return (SandboxEnd){SANDBOX_MISSING, EPERM};
    return run(box, work, input, seconds, NO_WALLS);
}
