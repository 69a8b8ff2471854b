#include "base/parallel.h"
#include "base/sandbox.h"
#include "refuse.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 1 << 16, NUMBERS = SIZE / sizeof(int) };

static volatile int *const nowhere = (volatile int *)64; /* nothing is mapped there */

/* Poisoned, so that what the child has not written shows. */
static Sandbox open_box(void)
{
    Sandbox box;
    Err err;
    if (!sandbox_open(&box, SIZE, "work", &err)) fail_msg("%s", err.text);
    assert_int_equal(box.size, SIZE);
    for (size_t i = 0; i < SIZE; i++) assert_int_equal(((char *)box.shared)[i], 0);
    memset(box.shared, 0xEE, SIZE);
    return box;
}

/* ---- what children do ---- */

static void count_up(void *shared, size_t size, const void *input)
{
    int *numbers = shared;
    for (size_t i = 0; i < size / sizeof(int); i++) numbers[i] = *(const int *)input + (int)i;
}

static void write_nowhere(void *shared, size_t size, const void *input)
{
    (void)shared, (void)size;
    **(volatile int *const *)input = 1;
}

static void trap(void *shared, size_t size, const void *input)
{
    (void)shared, (void)size, (void)input;
    __builtin_trap();
}

static void open_a_file(void *shared, size_t size, const void *input)
{
    (void)shared, (void)size;
    open(input, O_WRONLY | O_CREAT, 0600);
}

static void go_on_for_ever(void *shared, size_t size, const void *input)
{
    (void)size, (void)input;
    for (volatile int *number = shared;;) *number = 7;
}

static void write_to_file(void *shared, size_t size, const void *input)
{
    (void)size;
    *(long *)shared = write(*(const int *)input, "x", 1);
}

static void read_other_box(void *shared, size_t size, const void *input)
{
    (void)size;
    *(char *)shared = *(const volatile char *)((const Sandbox *)input)->shared;
}

/* ---- */

static SandboxEnd run(SandboxWork *work, const void *input)
{
    Sandbox box = open_box();
    SandboxEnd end = sandbox_run(&box, work, input, 1, SANDBOX_WALLS);
    sandbox_close(&box);
    assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* no child is left */
    return end;
}

static void work_is_done(void **state)
{
    (void)state;
    Sandbox box = open_box();
    for (int first = 3; first < 100; first *= 5) {
        SandboxEnd end = sandbox_run(&box, count_up, &first, 1, SANDBOX_WALLS);
        assert_int_equal(end.how, SANDBOX_DONE);
        for (int i = 0; i < (int)NUMBERS; i++) assert_int_equal(((int *)box.shared)[i], first + i);
    }
    sandbox_close(&box);
    sandbox_close(&box);
}

static void crashes_are_told(void **state)
{
    (void)state;
    SandboxEnd end = run(write_nowhere, &nowhere);
    assert_int_equal(end.how, SANDBOX_CRASHED);
    assert_int_equal(end.code, SIGSEGV);
    end = run(trap, NULL);
    assert_int_equal(end.how, SANDBOX_CRASHED);
    assert_true(end.code == SIGILL || end.code == SIGTRAP);
}

static void a_call_to_the_system_is_the_end(void **state)
{
    (void)state;
    test_need_walls();
    char *folder = test_temp_folder(), *path = test_path(folder, "made");
    SandboxEnd end = run(open_a_file, path);
    assert_int_equal(end.how, SANDBOX_CRASHED);
    assert_true(end.code == SIGKILL || end.code == SIGSYS);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path), test_remove_folder(folder);
}

static void no_file_is_open(void **state)
{
    (void)state;
    Sandbox box = open_box();
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    SandboxEnd end = sandbox_run(&box, write_to_file, &ends[1], 1, SANDBOX_WALLS);
    /* strict mode lets it try */
    assert_true(end.how == SANDBOX_DONE || end.code == SIGSYS);
    if (end.how == SANDBOX_DONE) assert_int_equal(*(long *)box.shared, -1);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    sandbox_close(&box);
}

static void an_endless_loop_ends(void **state)
{
    (void)state;
    assert_int_equal(run(go_on_for_ever, NULL).how, SANDBOX_TIME_OVER);
}

static void no_child_has_the_box_of_another(void **state)
{
    (void)state;
    Sandbox other = open_box();
    SandboxEnd end = run(read_other_box, &other);
    assert_int_equal(end.how, SANDBOX_CRASHED);
    assert_int_equal(end.code, SIGSEGV);
    sandbox_close(&other);
}

static void too_large_a_box_is_an_error(void **state)
{
    (void)state;
    Sandbox box;
    Err err;
    assert_false(sandbox_open(&box, (size_t)1 << 60, "work", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "work: needs 1099511627776 MiB of memory"));
    assert_null(box.shared);
    assert_false(sandbox_open(&box, SIZE_MAX, "work", &err));
    sandbox_close(&box);
}

static void threads_run_their_own(void **state)
{
    (void)state;
    enum { RUNS = 64 };
    int wrong = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : wrong)
    for (int run = 0; run < RUNS; run++) {
        Sandbox box;
        Err err;
        if (!sandbox_open(&box, SIZE, "work", &err)) {
            wrong++;
            continue;
        }
        SandboxEnd end = run % 4 == 3 ? sandbox_run(&box, write_nowhere, &nowhere, 1, SANDBOX_WALLS)
                                      : sandbox_run(&box, count_up, &run, 1, SANDBOX_WALLS);
        wrong += end.how != (run % 4 == 3 ? SANDBOX_CRASHED : SANDBOX_DONE);
        wrong += run % 4 != 3 && ((int *)box.shared)[NUMBERS - 1] != run + (int)NUMBERS - 1;
        sandbox_close(&box);
    }
    assert_int_equal(wrong, 0);
}

/* ---- on other systems ---- */

static SandboxEnd run_once(SandboxWork *work, const void *input, SandboxWalls walls)
{
    Sandbox box;
    Err err;
    if (!sandbox_open(&box, SIZE, "work", &err)) return (SandboxEnd){SANDBOX_FAILED, -1};
    SandboxEnd end = sandbox_run(&box, work, input, 1, walls);
    if (end.how == SANDBOX_DONE && work == count_up && ((int *)box.shared)[1] != 8) end.code = -1;
    sandbox_close(&box);
    return end;
}

static bool is(SandboxEnd end, SandboxHow how, int code)
{
    return end.how == how && end.code == code;
}

static bool has_no_seccomp(void)
{
    int seven = 7;
    return test_refuse_seccomp() &&
           run_once(count_up, &seven, SANDBOX_WALLS).how == SANDBOX_MISSING &&
           is(run_once(count_up, &seven, SANDBOX_WALLS_IF_ANY), SANDBOX_DONE, 0) &&
           is(run_once(write_nowhere, &nowhere, SANDBOX_WALLS_IF_ANY), SANDBOX_CRASHED, SIGSEGV) &&
           run_once(go_on_for_ever, NULL, SANDBOX_WALLS_IF_ANY).how == SANDBOX_TIME_OVER;
}

static bool ends_who_asks_for_seccomp(void)
{
    int seven = 7;
    return test_forbid_seccomp() &&
           run_once(count_up, &seven, SANDBOX_WALLS).how == SANDBOX_MISSING &&
           is(run_once(count_up, &seven, SANDBOX_WALLS_IF_ANY), SANDBOX_DONE, 0) &&
           run_once(go_on_for_ever, NULL, SANDBOX_WALLS_IF_ANY).how == SANDBOX_TIME_OVER;
}

static bool has_a_filter(void)
{
    int seven = 7;
    return test_have_filter() && is(run_once(count_up, &seven, SANDBOX_WALLS), SANDBOX_DONE, 0) &&
           is(run_once(open_a_file, "/dev/null", SANDBOX_WALLS), SANDBOX_CRASHED, SIGSYS) &&
           run_once(go_on_for_ever, NULL, SANDBOX_WALLS).how == SANDBOX_TIME_OVER;
}

static bool has_no_process(void)
{
    int seven = 7;
    return test_refuse_call(SYS_clone, -1, EAGAIN) &&
           is(run_once(count_up, &seven, SANDBOX_WALLS), SANDBOX_FAILED, EAGAIN);
}

/* Nobody is told then how a child ended. */
static bool ignores_its_children(void)
{
    int seven = 7;
    signal(SIGCHLD, SIG_IGN);
    return is(run_once(count_up, &seven, SANDBOX_WALLS), SANDBOX_DONE, 0) &&
           is(run_once(write_nowhere, &nowhere, SANDBOX_WALLS), SANDBOX_CRASHED, 0);
}

/* Files, as the limits are, are not to be opened there by a sanitizer, which takes more. */
static bool has_little_memory(void)
{
    struct rlimit before, none = {0};
    Sandbox box;
    Err err;
    if (getrlimit(RLIMIT_AS, &before) != 0) return false;
    none.rlim_max = before.rlim_max;
    bool told = setrlimit(RLIMIT_AS, &none) == 0 &&
                (SANITIZED || (!sandbox_open(&box, 64 << 20, "work", &err) &&
                               strstr(err.text, "work: needs 64 MiB of memory"))) &&
                !sandbox_open(&box, 60 << 20, "work", &err) &&
                strstr(err.text, "work: no memory for 60.0 MiB");
    return setrlimit(RLIMIT_AS, &before) == 0 && told;
}

static bool has_less_time(void)
{
    struct rlimit limit = {2, 2};
    Sandbox box;
    Err err;
    return setrlimit(RLIMIT_CPU, &limit) == 0 && sandbox_open(&box, SIZE, "work", &err) &&
           is(sandbox_run(&box, go_on_for_ever, NULL, 99, SANDBOX_WALLS), SANDBOX_TIME_OVER, 0);
}

/* ---- who belongs to whom ---- */

/* Into memory that is not the box's, which nobody but the child sees before it ends. */
static void say_and_go_on(void *shared, size_t size, const void *input)
{
    **(volatile int *const *)input = 1;
    go_on_for_ever(shared, size, NULL);
}

static void end_parent(pid_t parent, const volatile int *child_runs)
{
    for (int i = 0; i < 60000 && !*child_runs; i++) usleep(1000);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
}

/* The child is left to this process, which sees it end long before its time is over. */
static bool child_ends_with_parent(void)
{
    int status = 0,
        *said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (said == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return false;
    pid_t parent = fork();
    if (parent == 0) _exit(run_once(say_and_go_on, &said, SANDBOX_WALLS).how);
    end_parent(parent, said);
    return waitpid(-1, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void tell_dumpable(void *shared, size_t size, const void *input)
{
    (void)size, (void)input;
    *(int *)shared = prctl(PR_GET_DUMPABLE);
}

/* Asked without walls: with them it could not be. */
static bool child_leaves_no_dump(void)
{
    Sandbox box = open_box();
    bool alone = test_refuse_seccomp() && prctl(PR_GET_DUMPABLE) == 1;
    SandboxEnd end = sandbox_run(&box, tell_dumpable, NULL, 1, SANDBOX_WALLS_IF_ANY);
    return alone && is(end, SANDBOX_DONE, 0) && *(int *)box.shared == 0;
}

static void a_child_belongs_to_its_parent(void **state)
{
    (void)state;
    assert_true(test_in_child(child_ends_with_parent));
    assert_true(test_in_child(child_leaves_no_dump));
}

static void other_walls(void **state)
{
    (void)state;
    test_need_walls();
    assert_true(test_in_child(has_no_seccomp));
    assert_true(test_in_child(ends_who_asks_for_seccomp));
    assert_true(test_in_child(has_a_filter));
}

static void other_systems(void **state)
{
    (void)state;
    assert_true(test_in_child(has_no_process));
    assert_true(test_in_child(ignores_its_children));
    assert_true(test_in_child(has_little_memory));
    assert_true(test_in_child(has_less_time));
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_done),
        cmocka_unit_test(crashes_are_told),
        cmocka_unit_test(a_call_to_the_system_is_the_end),
        cmocka_unit_test(no_file_is_open),
        cmocka_unit_test(an_endless_loop_ends),
        cmocka_unit_test(no_child_has_the_box_of_another),
        cmocka_unit_test(too_large_a_box_is_an_error),
        cmocka_unit_test(a_child_belongs_to_its_parent),
        cmocka_unit_test(other_walls),
        cmocka_unit_test(other_systems),
        cmocka_unit_test(threads_run_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
