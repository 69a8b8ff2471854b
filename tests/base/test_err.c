#include "base/err.h"

#include "support.h"

static void a_message_is_set_and_false_returned(void **state)
{
    (void)state;
    Err err;
    assert_false(err_set(&err, ERR_DATA, "%s: byte %d of %zu", "x.png", 3, (size_t)9));
    assert_int_equal(err.kind, ERR_DATA);
    assert_string_equal(err.text, "x.png: byte 3 of 9");
    assert_false(err_set(&err, ERR_USAGE, "again"));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_string_equal(err.text, "again");
}

static void where_goes_before_what(void **state)
{
    (void)state;
    Err err;
    err_set(&err, ERR_USAGE, "steps is 0");
    assert_false(err_prefix(&err, "%s", "train"));
    assert_false(err_prefix(&err, "line %d", 7));
    assert_string_equal(err.text, "line 7: train: steps is 0");
    assert_int_equal(err.kind, ERR_USAGE);
}

/* What does not fit is cut at the end: the text stays a string, and its start can be read. */
static void long_texts_are_cut(void **state)
{
    (void)state;
    struct {
        Err err;
        char behind[16];
    } guarded = {.behind = "untouched"};
    Err *err = &guarded.err;
    char *text = calloc(5000, 1);
    memset(text, 'x', 4999);
    err_set(err, ERR_FAILED, "%s", text);
    assert_int_equal(strlen(err->text), sizeof err->text - 1);
    assert_false(err_prefix(err, "here"));
    assert_int_equal(strncmp(err->text, "here: xxx", 9), 0);
    assert_true(strlen(err->text) <= sizeof err->text - 1);
    assert_true(strlen(err->text) >= sizeof err->text - 2);
    assert_false(err_prefix(err, "%s", text));
    assert_true(strlen(err->text) <= sizeof err->text - 1);
    assert_non_null(strstr(err->text, "x: here: x"));
    assert_string_equal(guarded.behind, "untouched");
    free(text);
}

/* Names may hold anything; a message is one line, without what a terminal would obey. */
static void a_message_is_one_line(void **state)
{
    (void)state;
    Err err;
    err_set(&err, ERR_DATA, "%s: no such file", "a\nb\x1b[2J");
    assert_string_equal(err.text, "a?b?[2J: no such file");
    err_prefix(&err, "c\td");
    assert_string_equal(err.text, "c?d: a?b?[2J: no such file");
    err_set(&err, ERR_DATA,
            "key \xc3\xa9 \xc2\x9b"
            "2J \xff");
    assert_string_equal(err.text, "key \xc3\xa9 ?2J ?");
}

static void what_the_machine_refused_stays_that(void **state)
{
    (void)state;
    Err err;
    err_set(&err, ERR_DATA, "x.json: bad");
    assert_false(err_as(&err, ERR_USAGE));
    assert_int_equal(err.kind, ERR_USAGE);
    err_set(&err, ERR_FAILED, "x.json: no memory");
    assert_false(err_as(&err, ERR_USAGE));
    assert_int_equal(err.kind, ERR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_set_and_false_returned),
        cmocka_unit_test(where_goes_before_what),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_message_is_one_line),
        cmocka_unit_test(what_the_machine_refused_stays_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
