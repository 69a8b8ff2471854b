#include "base/utf8.h"

#include "support.h"

static void characters_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        unsigned code;
    } cases[] = {
        {"A", 1, 0x41},
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xc3\xa9", 2, 0xe9},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned code = 0;
        size_t length = strlen(cases[i].text);
        assert_int_equal(utf8_read(&code, cases[i].text, length), cases[i].size);
        assert_int_equal(code, cases[i].code);
        char *part = malloc(length); /* no byte behind is read */
        memcpy(part, cases[i].text, length);
        for (size_t cut = 0; cut < length; cut++) assert_int_equal(utf8_read(&code, part, cut), 0);
        free(part);
    }
}

static void other_bytes_are_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x80",         "\xbf",         "\xc0\x80",        "\xc1\xbf",         "\xc3(",
        "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",    "\xf0\x8f\xbf\xbf", "\xff",
        "\xe2\x82(",    "\xe0\x80\xa2", "\xf4\x90\x80\x80"};
    unsigned code;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(utf8_read(&code, texts[i], strlen(texts[i])), 0);
        assert_int_equal(code, UTF8_NONE);
    }
}

static void what_a_terminal_obeys_is_not_shown(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"", ""},
        {"\xc3\xa9t\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80",
         "\xc3\xa9t\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80"},
        {"a\nb\r\x1b[2J\x07\x7f", "a?b??[2J??"},
        {"\xc2\x9b"
         "31m\xc2\x85",
         "?31m?"},
        {"\xc2\xa0", "\xc2\xa0"},
        {"\x9b"
         "31m\xff\xc3",
         "?31m??"},
        {"a\xe2\x80\xae"
         "gnp.exe\xe2\x81\xa9",
         "a?gnp.exe?"},
        {"\xe2\x80\x8c\xe2\x80\x8d", "\xe2\x80\x8c\xe2\x80\x8d"}, /* join letters */
        {"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\x8f", "???"},
        {"\xd8\x9c\xe2\x80\x8b\xef\xbb\xbf\xe2\x81\xa0\xf3\xa0\x80\xa0", "?????"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        strcpy(text, cases[i][0]);
        utf8_make_plain(text);
        assert_string_equal(text, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_read),
        cmocka_unit_test(other_bytes_are_none),
        cmocka_unit_test(what_a_terminal_obeys_is_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
