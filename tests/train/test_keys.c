#include "support.h"
#include "train/keys.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    int whole, list[3], count;
    double number;
} Values;

static const char *const names[] = {"", "one", "two", NULL};
static const Key whole = {"a.whole", KEY_INT, offsetof(Values, whole), .min = 1, .max = 9};
static const Key many = {"a.whole", KEY_INT, offsetof(Values, whole), .min = 1, .max = INFINITY};
static const Key list = {"a.list",
                         KEY_INTS,
                         offsetof(Values, list),
                         offsetof(Values, count),
                         .min = 0,
                         .max = 5,
                         .flags = KEY_ABOVE_MIN | KEY_NULLABLE,
                         .least = 1,
                         .most = 3};
static const Key one_or_list = {"a.list", KEY_INTS, offsetof(Values, list), offsetof(Values, count),
                                .min = 0, .max = 5, .flags = KEY_OR_ONE,    .least = 1,
                                .most = 3};
static const Key number = {"a.number", KEY_NUMBER, offsetof(Values, number), .max = 1,
                           .flags = KEY_BELOW_MAX};
static const Key named = {"a.number",
                          KEY_NUMBER,
                          offsetof(Values, number),
                          .max = 1,
                          .flags = KEY_NULLABLE | KEY_ABOVE_MIN | KEY_BELOW_MAX,
                          .names = names};
static const Key choice = {"a.choice", KEY_CHOICE, .flags = KEY_NULLABLE, .names = names};

static void assert_texts(const Key *key, const char *wanted, const char *limits)
{
    char out[256];
    key_wanted(out, sizeof out, key);
    assert_string_equal(out, wanted);
    key_limits(out, sizeof out, key);
    assert_string_equal(out, limits);
}

static void what_is_wanted_is_said(void **state)
{
    (void)state;
    assert_texts(&whole, "a whole number, from 1 to 9", "from 1 to 9");
    assert_texts(&many, "a whole number, at least 1", "at least 1");
    assert_texts(&list, "a list of 1 to 3 whole numbers, above 0 and at most 5, or null",
                 "above 0 and at most 5");
    assert_texts(&one_or_list, "a whole number or a list of 1 to 3 whole numbers, from 0 to 5",
                 "from 0 to 5");
    assert_texts(&number, "a number, at least 0 and below 1", "at least 0 and below 1");
    assert_texts(&named, "a number, above 0 and below 1, or one, two, or null",
                 "above 0 and below 1, one, two");
    assert_texts(&choice, "one of one, two, or null", "one, two");
    assert_string_equal(key_leaf(&choice), "choice");
}

static bool read(Values *values, const Key *key, const char *text, Err *err)
{
    Json *json;
    assert_true(json_parse(&json, text, strlen(text), "test", err));
    bool good = key_read(values, key, json, err);
    json_free(json);
    return good;
}

static void whole_numbers_stop_at_the_type(void **state)
{
    (void)state;
    Values values = {0};
    Err err;
    assert_true(read(&values, &many, "2147483647", &err));
    assert_int_equal(values.whole, 2147483647);
    assert_true(read(&values, &many, "1e3", &err));
    assert_int_equal(values.whole, 1000);
    assert_false(read(&values, &many, "2147483648", &err));
    assert_string_equal(err.text, "a.whole = 2147483648 is out of range; expected a whole number, "
                                  "at least 1");
}

static void lists_are_compared_by_their_length_and_entries(void **state)
{
    (void)state;
    Values a = {0}, b = {0};
    Err err;
    assert_true(read(&a, &list, "[1, 2]", &err));
    assert_true(read(&b, &list, "[1, 2, 3]", &err));
    assert_false(key_equal(&list, &a, &b));
    assert_true(read(&b, &list, "[1, 2]", &err));
    assert_true(key_equal(&list, &a, &b));
    assert_true(read(&b, &list, "[2, 2]", &err));
    assert_false(key_equal(&list, &a, &b));
}

static void assert_written(const Key *key, const Values *values, const char *expected)
{
    Json *object = json_new_object();
    char *text;
    Err err;
    key_write(object, "k", key, values);
    assert_true(json_print(&text, object, JSON_COMPACT, &err));
    assert_string_equal(text, expected);
    free(text);
    json_free(object);
}

static void one_entry_needs_no_list(void **state)
{
    (void)state;
    Values a = {.list = {7, 7, 7}}, b = {0};
    Err err;
    assert_true(read(&a, &one_or_list, "4", &err));
    assert_true(read(&b, &one_or_list, "[4]", &err));
    assert_int_equal(a.count, 1);
    assert_memory_equal(a.list, ((int[3]){4, 0, 0}), sizeof a.list);
    assert_true(key_equal(&one_or_list, &a, &b));
    assert_written(&one_or_list, &b, "{\"k\":4}");
    assert_true(read(&b, &one_or_list, "[4, 2]", &err));
    assert_written(&one_or_list, &b, "{\"k\":[4,2]}");
    assert_false(read(&b, &one_or_list, "6", &err));
    assert_string_equal(err.text, "a.list = 6 is out of range; expected a whole number or a list "
                                  "of 1 to 3 whole numbers, from 0 to 5");
    assert_false(read(&b, &list, "4", &err));
}

static void names_stand_for_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = {"null", "\"one\"", "\"two\"", "0.5"};
    static const double numbers[] = {0, 1, 2, 0.5};
    for (int i = 0; i < 4; i++) {
        Values values = {.number = NAN};
        Err err;
        char written[32];
        assert_true(read(&values, &named, texts[i], &err));
        assert_close(values.number, numbers[i], 0);
        snprintf(written, sizeof written, "{\"k\":%s}", texts[i]);
        assert_written(&named, &values, written);
        assert_false(read(&values, &named, "\"three\"", &err));
        assert_false(read(&values, &named, "1", &err));
        assert_false(read(&values, &number, "\"one\"", &err));
    }
}

/* A long value is cut in messages, which are one line. */
static void long_values_are_cut(void **state)
{
    (void)state;
    char text[400];
    Values values;
    Err err;
    snprintf(text, sizeof text, "\"%0300d\"", 0);
    assert_false(read(&values, &whole, text, &err));
    assert_true(strlen(err.text) < 160);
    assert_non_null(strstr(err.text, "000... is a string; expected a whole number"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wanted_is_said),
        cmocka_unit_test(whole_numbers_stop_at_the_type),
        cmocka_unit_test(lists_are_compared_by_their_length_and_entries),
        cmocka_unit_test(one_entry_needs_no_list),
        cmocka_unit_test(names_stand_for_numbers),
        cmocka_unit_test(long_values_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
