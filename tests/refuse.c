#include "refuse.h"

#include "support.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static bool install(struct sock_filter *code, size_t length)
{
    struct sock_fprog program = {(unsigned short)length, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Arguments are 64 bits, and the low half comes first on all machines that this is tested on. */
static bool answer_call(int call, int first, unsigned answer)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)first, 0, first >= 0),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return install(code, sizeof code / sizeof *code);
}

bool test_refuse_call(int call, int first, int reason)
{
    return answer_call(call, first, SECCOMP_RET_ERRNO | (unsigned)reason);
}

bool test_have_filter(void)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    return install(code, 1);
}

bool test_refuse_seccomp(void)
{
    return test_refuse_call(SYS_prctl, PR_SET_SECCOMP, EINVAL);
}

bool test_forbid_seccomp(void)
{
    return answer_call(SYS_prctl, PR_SET_SECCOMP, SECCOMP_RET_KILL_PROCESS);
}

#else

bool test_refuse_call(int call, int first, int reason)
{
    return (void)call, (void)first, (void)reason, false;
}

bool test_have_filter(void)
{
    return false;
}

bool test_refuse_seccomp(void)
{
    return true; /* it has none */
}

bool test_forbid_seccomp(void)
{
    return false;
}

#endif

bool test_limit_memory(size_t more)
{
    struct rlimit limit;
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    bool known = file && fscanf(file, "%zu", &pages) == 1 && getrlimit(RLIMIT_AS, &limit) == 0;
    if (file) fclose(file);
    limit.rlim_cur = (rlim_t)(pages * (size_t)sysconf(_SC_PAGESIZE) + more);
    return known && setrlimit(RLIMIT_AS, &limit) == 0;
}

void test_need_walls(void)
{
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
    skip();
#endif
}

/* Where lines are counted (gcov); who leaves by _exit has to say so itself. */
void __gcov_dump(void) __attribute__((weak));

bool test_in_child(bool (*holds)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        bool held = holds();
        if (__gcov_dump) __gcov_dump();
        _exit(held ? 0 : 1);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
