#include "base/json.h"

#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "refuse.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static Json *parse(const char *text)
{
    Err err;
    Json *json;
    if (!json_parse(&json, text, strlen(text), "x.json", &err)) fail_msg("%s", err.text);
    return json;
}

/* `size` bytes are refused, and the message starts with the origin and holds `says`. */
static void refused(const char *text, size_t size, const char *says)
{
    Err err = {0};
    Json *json;
    if (json_parse(&json, text, size, "x.json", &err)) fail_msg("taken: %s", text);
    assert_null(json);
    assert_int_equal(err.kind, ERR_DATA);
    if (strncmp(err.text, "x.json: ", 8) != 0 || !strstr(err.text, says))
        fail_msg("%s\n  says: %s\n  not: %s", text, err.text, says);
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1, column 1: the text ends too early"},
        {"   ", "the text ends too early"},
        {"{", "line 1, column 2: the text ends too early"},
        {"[1, 2", "the text ends too early"},
        {"{\"a\": 1,\n \"b\" 2}", "line 2, column 6: the ':' behind the key is missing"},
        {"{\"a\": 1\n\"b\": 2}", "line 2, column 1: ',' or '}' is missing"},
        {"{\"a\": 1,}", "column 9: a key in double quotes is missing"},
        {"[1,]", "column 4: a value (a number"},
        {"{a: 1}", "column 2: a key in double quotes is missing"},
        {"{'a': 1}", "column 2: a key in double quotes is missing"},
        {"tru", "a value (a number"},
        {"nan", "a value (a number"},
        {"[1, NaN]", "column 5: NaN, Infinity and -Infinity, which Python writes, are no JSON; "},
        {"{\"lambda_min_clipped\": -Infinity}", "column 24: NaN, Infinity and -Infinity, "},
        {"[Infinity]", "write null in its place"},
        {"[-Inf]", "column 3: a digit is missing"},
        {"{} {}", "line 1, column 4: there is more behind the value"},
        {"1 x", "column 3: there is more behind the value"},
        {"// comment\n{}", "column 1: a value (a number"},
        {"\xef\xbb\xbf{}", "byte-order mark"},
        {"{\"a\": 1, \"b\": 2, \"a\": 3}", "the key \"a\" is there twice"},
        {"[{\"x\": {\"b\": 1, \"b\": 1}}]", "the key \"b\" is there twice"},
        {"{\"a\": 1, \"\\u0061\": 3}", "the key \"a\" is there twice"},
        {"01", "column 1: a number that starts with 0"},
        {"-01", "a number that starts with 0"},
        {"[1.]", "column 4: a digit is missing"},
        {"[-]", "a digit is missing"},
        {"[1e]", "a digit is missing"},
        {"[1e+]", "a digit is missing"},
        {"[-.5]", "a digit is missing"},
        {"[.5]", "column 2: a value (a number"},
        {"[+1]", "column 2: a value (a number"},
        {"[0x10]", "column 3: ',' or ']' is missing"},
        {"[1e999]", "too large for a double"},
        {"[-1e999]", "too large for a double"},
        {"[1.0000000000000000000000000000000000000000000000000000000000000001]", "63 characters"},
        {"\"abc", "column 5: the text ends too early"},
        {"\"abc\\", "column 5: an escape JSON does not have"},
        {"\"abc\\\"", "column 7: the text ends too early"},
        {"\"a\nb\"", "line 1, column 3: a control character in a string"},
        {"\"a\\u0000b\"", "\\u0000 in a string"},
        {"\"\\x41\"", "column 2: an escape JSON does not have"},
        {"\"\\u12g4\"", "\\u without four hexadecimal digits"},
        {"\"\\u123", "\\u without four hexadecimal digits"},
        {"\"\\ud800\"", "half a surrogate pair"},
        {"\"\\ud800\\u0041\"", "half a surrogate pair"},
        {"\"\\udc00\"", "half a surrogate pair"},
        {"\"\xff\"", "not UTF-8"},
        {"\"\x80\"", "not UTF-8"},
        {"\"\xc3\"", "not UTF-8"},
        {"\"\xc0\x80\"", "not UTF-8"},         /* overlong */
        {"\"\xe0\x80\x80\"", "not UTF-8"},     /* overlong */
        {"\"\xf0\x80\x80\x80\"", "not UTF-8"}, /* overlong */
        {"\"\xed\xa0\x80\"", "not UTF-8"},     /* a surrogate */
        {"\"\xf4\x90\x80\x80\"", "not UTF-8"}, /* above U+10FFFF */
        {"{\"\xc3\xa9\xc3\xa9\": x}", "column 8: a value (a number"},
        {"\xc3\xa9", "a value (a number"},
        {"[1,\v2]", "column 4: a value (a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].says);
    refused("{}\0{}", 5, "column 3: there is more behind the value");
    refused("\"a\0b\"", 5, "a control character in a string");
}

static void values_are_found(void **state)
{
    (void)state;
    Json *json =
        parse(" {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\ud83d\\ude00\\n/\\/\"],\t\"A\": {}, "
              "\"\": false}\r\n");
    assert_int_equal(json_type(json), JSON_OBJECT);
    assert_int_equal(json_count(json), 3);
    const Json *list = json_get(json, "a"), *child = json_first(list);
    assert_string_equal(json_key(list), "a");
    assert_int_equal(json_type(list), JSON_LIST);
    assert_true(json_number(child) == 1 && !json_key(child));
    child = json_next(child);
    assert_true(json_number(child) == -2500);
    child = json_next(child);
    assert_true(json_type(child) == JSON_BOOL && json_bool(child));
    child = json_next(child);
    assert_int_equal(json_type(child), JSON_NULL);
    child = json_next(child);
    assert_int_equal(json_type(child), JSON_STRING);
    assert_string_equal(json_string(child), "\xc3\xa9\xf0\x9f\x98\x80\n//");
    assert_null(json_next(child));
    assert_int_equal(json_type(json_get(json, "A")), JSON_OBJECT); /* not "a" */
    assert_null(json_first(json_get(json, "A")));
    assert_false(json_bool(json_get(json, "")));
    assert_null(json_get(json, "b"));
    assert_string_equal(json_type_name(json_type(list)), "a list");
    json_free(json);
    json_free(NULL);
}

static void whole_numbers_are_exact(void **state)
{
    (void)state;
    uint64_t value = 1, most = (uint64_t)1 << 53;
    Json *json = parse("[0, 9007199254740992, 9007199254740994, -1, 0.5, \"3\", 1e3, -0]");
    const Json *child = json_first(json);
    assert_true(json_whole(&value, child, 0) && value == 0);
    child = json_next(child);
    assert_true(json_whole(&value, child, most) && value == most);
    assert_false(json_whole(&value, child, most - 1));
    for (int i = 0; i < 4; i++) {
        child = json_next(child);
        assert_false(json_whole(&value, child, most));
    }
    child = json_next(child);
    assert_true(json_whole(&value, child, 1000) && value == 1000);
    assert_true(json_whole(&value, json_next(child), 0) && value == 0);
    json_free(json);
}

static void prints(const Json *json, JsonLayout layout, const char *expected)
{
    Err err;
    char *text;
    if (!json_print(&text, json, layout, &err)) fail_msg("%s", err.text);
    assert_string_equal(text, expected);
    free(text);
}

static Json *build(void)
{
    Json *json = json_new_object(), *list = json_new_list(), *inner = json_new_object();
    json_set_number(json, "n", 3);
    json_set_string(json, "s", "a\"\\\n\x01\xc3\xa9");
    json_set_bool(json, "b", true);
    json_set_null(json, "z");
    json_add_number(list, 1);
    json_add_string(list, "two");
    json_set(json, "list", list);
    json_set(json, "empty", json_new_object());
    list = json_new_list();
    json_set_number(inner, "x", -0.5);
    json_add(list, inner);
    json_set(json, "nested", list);
    return json;
}

static void what_is_built_is_printed(void **state)
{
    (void)state;
    Json *json = build(), *copy = json_copy(json);
    prints(json, JSON_COMPACT,
           "{\"n\":3,\"s\":\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\",\"b\":true,\"z\":null,"
           "\"list\":[1,\"two\"],\"empty\":{},\"nested\":[{\"x\":-0.5}]}");
    prints(copy, JSON_INDENTED,
           "{\n  \"n\": 3,\n  \"s\": \"a\\\"\\\\\\u000a\\u0001\xc3\xa9\",\n  \"b\": true,\n"
           "  \"z\": null,\n  \"list\": [1, \"two\"],\n  \"empty\": {},\n  \"nested\": [\n    {\n"
           "      \"x\": -0.5\n    }\n  ]\n}");
    json_free(json), json_free(copy);
}

/* Files are looked at with cat. Whatever a string holds, what is printed can be read. */
static void what_a_terminal_obeys_is_escaped(void **state)
{
    (void)state;
    Json *json = json_new_list();
    json_add_string(json, "\x1b[2J\x7f");
    json_add_string(json, "\xc2\x9b\xe2\x80\xae \xe9\xe0\x80\xa2");
    char *text;
    Err err;
    prints(json, JSON_COMPACT,
           "[\"\\u001b[2J\\u007f\",\"\\u009b\\u202e \\ufffd\\ufffd\\ufffd\\ufffd\"]");
    assert_true(json_print(&text, json, JSON_INDENTED, &err));
    json_free(json);
    json_free(parse(text));
    free(text);
}

static void a_key_is_set_in_its_place(void **state)
{
    (void)state;
    Json *json = parse("{\"a\": 1, \"b\": {\"x\": 1}, \"c\": 3}");
    Json *inner = json_edit(json, "b");
    json_set_number(inner, "x", 2);
    json_set(json, "a", json_copy(inner));
    json_set_string(json, "c", "new");
    json_set_bool(json, "d", false);
    prints(json, JSON_COMPACT, "{\"a\":{\"x\":2},\"b\":{\"x\":2},\"c\":\"new\",\"d\":false}");
    assert_null(json_edit(json, "e"));
    json_free(json);
}

/* NULL is what json_new_* and json_copy give when there is no memory. */
static void a_tree_that_lacks_a_part_is_not_printed(void **state)
{
    (void)state;
    Err err;
    char *text;
    Json *json = json_new_object(), *list = json_new_list();
    json_set_number(NULL, "a", 1);
    json_add_number(NULL, 1);
    assert_false(json_print(&text, NULL, JSON_COMPACT, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "JSON: no memory for "));
    json_add(list, NULL);
    json_set(json, "list", list);
    assert_false(json_print(&text, json, JSON_COMPACT, &err));
    assert_null(text);
    json_free(json);
    json = parse("{\"a\": true, \"b\": 7}"); /* what is read has no such mark */
    prints(json, JSON_COMPACT, "{\"a\":true,\"b\":7}");
    json_set(json, "a", NULL);
    assert_false(json_print(&text, json, JSON_COMPACT, &err));
    json_free(json);
}

static void doubles_come_back_the_same(void **state)
{
    (void)state;
    static const double values[] = {0,
                                    0.1,
                                    1e-4,
                                    0.02,
                                    2e-4,
                                    1.0 / 3,
                                    1e300,
                                    5e-324,
                                    0x1p53,
                                    1e15,
                                    -0.0,
                                    1.7976931348623157e308,
                                    1e-310,
                                    123456789.123456789,
                                    0x1.fffffffffffffp-1};
    enum { RANDOM = 20000 };
    uint64_t bits = 88172645463325252u;
    Json *json = json_new_list();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) json_add_number(json, values[i]);
    double *random = calloc(RANDOM, sizeof *random);
    for (int i = 0; i < RANDOM; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        memcpy(&random[i], &bits, sizeof bits);
        if (!isfinite(random[i])) random[i] = 0;
        json_add_number(json, random[i]);
    }
    Err err;
    char *text;
    assert_true(json_print(&text, json, JSON_COMPACT, &err));
    json_free(json);
    json = parse(text);
    const Json *child = json_first(json);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++, child = json_next(child))
        assert_memory_equal(&values[i], (double[]){json_number(child)}, sizeof(double));
    for (int i = 0; i < RANDOM; i++, child = json_next(child))
        assert_memory_equal(&random[i], (double[]){json_number(child)}, sizeof(double));
    assert_null(child);
    json_free(json);
    free(text), free(random);
}

static void numbers_are_short(void **state)
{
    (void)state;
    Json *json = json_new_list();
    const double values[] = {0.1, 0.0002, 0.9999, 1e-8, 800000, 1000000000000, NAN, INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) json_add_number(json, values[i]);
    prints(json, JSON_COMPACT, "[0.1,0.0002,0.9999,1e-08,800000,1000000000000,null,null]");
    json_free(json);
}

static void files_are_written_and_read(void **state)
{
    (void)state;
    Err err;
    char *folder = test_temp_folder(), path[FILE_PATH];
    Json *json = build(), *back;
    unsigned char *text;
    size_t size;
    assert_true(file_path(path, &err, "%s/x.json", folder));
    if (!json_write(path, json, &err) || !json_read(&back, path, &err)) fail_msg("%s", err.text);
    assert_string_equal(json_string(json_get(back, "s")), "a\"\\\n\x01\xc3\xa9");
    assert_true(file_read(&text, &size, path, 1000, &err));
    assert_true(size > 2 && text[0] == '{' && text[size - 1] == '\n');
    json_free(json), json_free(back), free(text);
    assert_true(file_write_whole(path, "{\n\n  \"a\": tru }", 15, &err));
    assert_false(json_read(&back, path, &err));
    assert_non_null(strstr(err.text, "/x.json: line 3, column 8: "));
    assert_false(json_read(&back, "tests/none.json", &err));
    assert_non_null(strstr(err.text, "tests/none.json"));
    assert_false(json_write("tests/none/x.json", back, &err));
    assert_non_null(strstr(err.text, "tests/none/x.json"));
    test_remove_folder(folder);
}

/* No text may read out of bounds, whatever byte of it is missing or changed. */
static void changed_texts_do_no_harm(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": [1, -2.5e3, true, null, \"\\u00e9\\ud83d\\ude00\\n\xc3\xa9\"], \"b\": {\"c\": 0}}";
    Err err;
    Json *json;
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        char *part = malloc(cut + (cut == 0)); /* no longer than what is read */
        memcpy(part, text, cut);
        assert_false(json_parse(&json, part, cut, "x", &err));
        free(part);
    }
    for (size_t at = 0; at < sizeof text - 1; at++)
        for (int value = 0; value < 256; value++) {
            char changed[sizeof text];
            memcpy(changed, text, sizeof text);
            changed[at] = (char)value;
            if (json_parse(&json, changed, sizeof text - 1, "x", &err)) json_free(json);
        }
}

#if defined(__GLIBC__) && !SANITIZED
enum { LONG = 2 * JSON_MAX_VALUES - 1 };
static char zeros[LONG]; /* [0,0, ... 0] */

/* Little of what is allowed is left, but the heap has room for the text. */
static bool a_tree_without_room_is_not_begun(void)
{
    enum { HEAP = 16 << 20, ROOM = 100 << 20 };
    struct rlimit limit;
    Err err;
    Json *json;
    mallopt(M_MMAP_THRESHOLD, HEAP), mallopt(M_TRIM_THRESHOLD, HEAP);
    void *volatile block = malloc(HEAP / 2); /* or the compiler leaves it out */
    free(block);
    if (getrlimit(RLIMIT_AS, &limit) != 0) return false;
    limit.rlim_cur = memory_held() + ROOM;
    return setrlimit(RLIMIT_AS, &limit) == 0 && !json_parse(&json, zeros, LONG, "x.json", &err) &&
           err.kind == ERR_FAILED && strncmp(err.text, "x.json: needs ", 14) == 0;
}

static void a_tree_is_refused_where_there_is_no_room(void **state)
{
    (void)state;
    Err err;
    Json *json;
    for (size_t i = 0; i < LONG; i++) zeros[i] = i % 2 ? '0' : ',';
    zeros[0] = '[', zeros[LONG - 1] = ']';
    assert_true(test_in_child(a_tree_without_room_is_not_begun));
    if (!json_parse(&json, zeros, LONG, "x.json", &err)) fail_msg("%s", err.text);
    assert_int_equal(json_count(json), JSON_MAX_VALUES - 1);
    json_free(json);
}
#else
static void a_tree_is_refused_where_there_is_no_room(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(values_are_found),
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(what_is_built_is_printed),
        cmocka_unit_test(what_a_terminal_obeys_is_escaped),
        cmocka_unit_test(a_key_is_set_in_its_place),
        cmocka_unit_test(a_tree_that_lacks_a_part_is_not_printed),
        cmocka_unit_test(doubles_come_back_the_same),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(files_are_written_and_read),
        cmocka_unit_test(changed_texts_do_no_harm),
        cmocka_unit_test(a_tree_is_refused_where_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
