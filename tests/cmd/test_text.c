#include "cmd/text.h"
#include "support.h"

static void assert_columns(const char *left, const char *right, const char *expected)
{
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    text_print_columns(to, left, right, (TextColumn){.indent = 6, .width = 16});
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
}

static void words_stay_in_their_column(void **state)
{
    (void)state;
    assert_columns("ab", "one two", "ab    one two\n");
    assert_columns("ab", "one two ten", "ab    one two\n      ten\n");
    assert_columns("ab", "one  two tens", "ab    one two\n      tens\n");
    assert_columns("abcdef", "one", "abcdef\n      one\n");
    assert_columns("ab", "averylongword x", "ab    averylongword\n      x\n");
    assert_columns("ab", "", "ab\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_stay_in_their_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
