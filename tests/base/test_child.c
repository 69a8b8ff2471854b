#include "base/child.h"

#include "support.h"

#include <signal.h>
#include <stdio.h>

static const char remedy[] = "apt-get install it";

static bool run(char **output, size_t *size, const char *script, const char *input, size_t bytes,
                Err *err)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    unsigned char *data = NULL;
    bool ok = child_run(&data, size, argv, input, bytes, remedy, err);
    *output = (char *)data;
    return ok;
}

static void test_what_it_reads_and_prints(void **state)
{
    (void)state;
    Err err;
    char *output;
    size_t size;
    assert_true(run(&output, &size, "cat; echo end", "one\ntwo\n", 8, &err));
    assert_string_equal(output, "one\ntwo\nend\n");
    assert_int_equal(size, 12);
    free(output);
    assert_true(run(&output, &size, ":", "", 0, &err));
    assert_int_equal(size, 0);
    free(output);
}

/* More than any pipe holds, both ways at once, and noise on standard error. */
static void test_much(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    Err err;
    char *input = malloc(BYTES), *output;
    size_t size;
    assert_non_null(input);
    for (int i = 0; i < BYTES; i++) input[i] = (char)('a' + i % 23);
    assert_true(run(&output, &size, "tee /dev/stderr", input, BYTES, &err));
    assert_int_equal(size, BYTES);
    assert_memory_equal(output, input, BYTES);
    free(output);
    /* and none of it read: the pipe breaks, and we do not */
    assert_true(run(&output, &size, "exec <&-; echo early", input, BYTES, &err));
    assert_string_equal(output, "early\n");
    free(output);
    free(input);
}

static void assert_refused(const char *script, const char *says)
{
    Err err;
    char *output;
    size_t size;
    assert_false(run(&output, &size, script, "x", 1, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_null(output);
    if (!strstr(err.text, says)) fail_msg("says: %s\n not: %s", err.text, says);
}

static void test_failures(void **state)
{
    (void)state;
    assert_refused("exit 7", "sh failed (exit code 7)");
    assert_refused("echo first >&2; echo the last one >&2; echo >&2; exit 1",
                   "sh failed: the last one");
    assert_refused("kill -KILL $$", "sh was ended by signal 9");
}

static void test_no_such_program(void **state)
{
    (void)state;
    const char *const argv[] = {"no-such-program-7", NULL};
    Err err;
    unsigned char *output = NULL;
    size_t size;
    assert_false(child_run(&output, &size, argv, "x", 1, remedy, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "no-such-program-7 is not installed"));
    assert_non_null(strstr(err.text, remedy));
    assert_null(output);
}

static void test_no_program_at_all(void **state)
{
    (void)state;
    const char *const argv[] = {"/etc/passwd", NULL};
    Err err;
    unsigned char *output = NULL;
    size_t size;
    assert_false(child_run(&output, &size, argv, "x", 1, remedy, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_string_equal(err.text, "/etc/passwd: cannot start it: Permission denied");
}

static void test_signals_stay(void **state)
{
    (void)state;
    struct sigaction now;
    /* the child's SIGPIPE is the default, and ours what it was */
    assert_refused("kill -PIPE $$", "signal 13");
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_reads_and_prints),
        cmocka_unit_test(test_much),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_no_such_program),
        cmocka_unit_test(test_no_program_at_all),
        cmocka_unit_test(test_signals_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
