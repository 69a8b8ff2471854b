/* What is refused, and with which words, is in test_json.c; here, that it is refused in the right
 * place, within bounds and limits. */
#include "base/json_text.h"

#include "support.h"

static void a_value_is_all_there_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",     "-0.5E+3", "\"\"",    "true", "null",
                                        " [ ] ", "{}\r\n",  "[{},[]]", "1e9",  "\"\\u00e9\x7f\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t at = 99, values;
        if (json_text_check(&at, &values, texts[i], strlen(texts[i])))
            fail_msg("refused: %s", texts[i]);
        assert_int_equal(at, strlen(texts[i]));
    }
}

/* A text cut anywhere is refused at its end, or where what is cut begins. */
static void the_place_is_named(void **state)
{
    (void)state;
    static const char text[] = "{\"key\": [1, \"\xc3\xa9\", true]}";
    static const size_t places[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                    12, 13, 13, 15, 16, 17, 18, 18, 18, 18, 22, 23};
    size_t at, values;
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        char *part = calloc(cut + 1, 1); /* no longer than what may be read */
        memcpy(part, text, cut);
        assert_non_null(json_text_check(&at, &values, part, cut));
        assert_int_equal(at, places[cut]);
        free(part);
    }
    assert_null(json_text_check(&at, &values, text, sizeof text - 1));
}

static void changed_bytes_do_no_harm(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": [1, -2.5e3, true, null, \"\\u00e9\\ud83d\\ude00\\n\xc3\xa9\"], \"b\": {\"c\": 0}}";
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (int value = 0; value < 256; value++) {
            char changed[sizeof text];
            size_t at = sizeof text, values;
            memcpy(changed, text, sizeof text);
            changed[i] = (char)value;
            json_text_check(&at, &values, changed, sizeof text - 1);
            assert_in_range(at, 0, sizeof text - 1);
        }
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    enum { DEEP = 200000 };
    char *text = calloc(2 * DEEP + 1, 1);
    size_t at, values;
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_string_equal(json_text_check(&at, &values, text, 2 * DEEP), "nested more than 100 deep");
    assert_int_equal(at, JSON_MAX_DEPTH);
    assert_null(json_text_check(&at, &values, text + DEEP - JSON_MAX_DEPTH, 2 * JSON_MAX_DEPTH));
    text[0] = '['; /* [[],[], ... ]: many, but not inside one another */
    for (size_t i = 0; i < 3000; i++) text[i + 1] = "[],"[i % 3];
    text[3000] = ']', text[3001] = 0;
    assert_null(json_text_check(&at, &values, text, 3001));
    free(text);
}

static void values_have_an_end(void **state)
{
    (void)state;
    size_t size = 2 * (size_t)JSON_MAX_VALUES + 1, at, values;
    char *text = malloc(size + 1); /* [0,0, ... 0] */
    for (size_t i = 0; i < size; i++) text[i] = i % 2 ? '0' : ',';
    text[0] = '[', text[size - 1] = ']', text[size] = 0;
    const char *wrong = json_text_check(&at, &values, text, size);
    assert_string_equal(wrong, "more than 1,048,576 values");
    assert_int_equal(at, size - 2);
    text[size - 3] = ']', text[size - 2] = text[size - 1] = ' ';
    assert_null(json_text_check(&at, &values, text, size));
    assert_int_equal(values, JSON_MAX_VALUES);
    const char few[] = "{\"a, b\": [1, \"c, [d\"], \"e\": {}, \"f\": null}"; /* keys are none */
    assert_null(json_text_check(&at, &values, few, sizeof few - 1));
    assert_int_equal(values, 6);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_all_there_is),  cmocka_unit_test(the_place_is_named),
        cmocka_unit_test(changed_bytes_do_no_harm), cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(values_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
