#include "base/lock.h"

#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process of its own that takes the lock, says so, and keeps it until it is killed. */
static pid_t start_holder(const char *path)
{
    int pipes[2];
    char word = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        Lock lock;
        Err err;
        word = lock_take(&lock, path, &err) ? 'y' : 'n';
        if (write(pipes[1], &word, 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(pipes[0], &word, 1), 1);
    assert_int_equal(word, 'y');
    close(pipes[0]), close(pipes[1]);
    return child;
}

static void end_holder(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void one_process_at_a_time(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, ".lock"), number[32];
    Lock lock;
    Err err;
    pid_t child = start_holder(path);
    assert_false(lock_take(&lock, path, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_true(lock.held);
    snprintf(number, sizeof number, "process %ld ", (long)child);
    assert_non_null(strstr(err.text, number));
    lock_release(&lock); /* not taken: nothing happens */
    assert_true(file_exists(path));
    assert_int_equal(truncate(path, 0), 0); /* whose is it? */
    assert_false(lock_take(&lock, path, &err));
    assert_non_null(strstr(err.text, "another process has locked it"));
    end_holder(child);
    assert_true(lock_take(&lock, path, &err)); /* a crash released it */
    lock_release(&lock);
    assert_false(file_exists(path));
    free(path);
    test_remove_folder(folder);
}

/* A file that lost its name between two processes is not what the third takes. */
static void a_lock_without_a_name_keeps_nobody_out(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, ".lock");
    Lock lock;
    Err err;
    pid_t child = start_holder(path);
    assert_int_equal(unlink(path), 0);
    assert_true(lock_take(&lock, path, &err));
    lock_release(&lock);
    end_holder(child);
    free(path);
    test_remove_folder(folder);
}

/* Who takes it then is not robbed of it. */
static void a_lock_whose_file_is_gone_is_not_held(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "run/.lock");
    char *run = test_path(folder, "run"), *moved = test_path(folder, "moved");
    Lock lock, other;
    Err err;
    assert_true(file_make_folder(run, &err));
    assert_true(lock_take(&lock, path, &err));
    assert_true(lock_is_held(&lock));
    assert_true(lock_folder_is_same(&lock));
    assert_int_equal(unlink(path), 0);
    assert_false(lock_is_held(&lock));
    assert_true(lock_folder_is_same(&lock));
    assert_int_equal(rename(run, moved), 0);
    assert_false(lock_folder_is_same(&lock));
    assert_true(file_make_folder(run, &err));
    assert_true(lock_take(&other, path, &err));
    assert_false(lock_is_held(&lock));
    assert_false(lock_folder_is_same(&lock));
    lock_release(&lock);
    assert_true(lock_is_held(&other));
    lock_release(&other);
    assert_false(file_exists(path));
    free(path), free(run), free(moved);
    test_remove_folder(folder);
}

static void what_cannot_be_made_or_is_a_link_is_refused(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, ".lock");
    Lock lock;
    Err err;
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_false(lock_take(&lock, path, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_false(lock.held);
    assert_non_null(strstr(err.text, path));
    free(path);
    path = test_path(folder, "no/.lock");
    assert_false(lock_take(&lock, path, &err));
    free(path);
    test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_at_a_time),
        cmocka_unit_test(a_lock_without_a_name_keeps_nobody_out),
        cmocka_unit_test(a_lock_whose_file_is_gone_is_not_held),
        cmocka_unit_test(what_cannot_be_made_or_is_a_link_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
