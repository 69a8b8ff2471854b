#include "train/keys.h"

#include "base/nearest.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *key_leaf(const Key *key)
{
    return strchr(key->path, '.') + 1;
}

static const void *place(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static bool is_whole(const Key *key)
{
    return key->type != KEY_NUMBER && key->type != KEY_NUMBERS;
}

static double largest(const Key *key)
{
    if (!isinf(key->max) || !is_whole(key)) return key->max;
    return key->type == KEY_SEED ? 0x1p53 : INT_MAX;
}

/* ------------------------------------------------------------------------------------- wanted --
 */

/* "from 1 to 10", "at least 1", "above 0 and below 1", "" where anything goes. */
static void range_text(char *out, size_t size, const Key *key)
{
    const char *least = key->flags & KEY_ABOVE_MIN ? "above" : "at least";
    const char *most = key->flags & KEY_BELOW_MAX ? "below" : "at most";
    if (isinf(key->max))
        snprintf(out, size, "%s %.15g", least, key->min);
    else if (key->flags & (KEY_ABOVE_MIN | KEY_BELOW_MAX))
        snprintf(out, size, "%s %.15g and %s %.15g", least, key->min, most, key->max);
    else
        snprintf(out, size, "from %.15g to %.15g", key->min, key->max);
}

static void choices_text(char *out, size_t size, const Key *key)
{
    const char *separator = "";
    size_t used = 0;
    *out = '\0';
    for (int i = 0; key->names && key->names[i]; i++) {
        if (!*key->names[i] || used >= size) continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", separator, key->names[i]);
        separator = ", ";
    }
}

/* "a whole number, from 1 to 10", or in the plural, for lists. */
static void number_text(char *out, size_t size, const Key *key, bool plural)
{
    char range[96];
    range_text(range, sizeof range, key);
    snprintf(out, size, "%s%snumber%s, %s", plural ? "" : "a ", is_whole(key) ? "whole " : "",
             plural ? "s" : "", range);
}

static void list_text(char *out, size_t size, const Key *key)
{
    char entries[160];
    const char *one = !(key->flags & KEY_OR_ONE) ? ""
                      : is_whole(key)            ? "a whole number or "
                                                 : "a number or ";
    number_text(entries, sizeof entries, key, true);
    if (key->least > 0)
        snprintf(out, size, "%sa list of %d to %d %s", one, key->least, key->most, entries);
    else
        snprintf(out, size, "%sa list of at most %d %s", one, key->most, entries);
}

void key_wanted(char *out, size_t size, const Key *key)
{
    char number[160], choices[256];
    number_text(number, sizeof number, key, false);
    switch (key->type) {
    case KEY_BOOL:
        snprintf(out, size, "true or false");
        break;
    case KEY_TEXT:
        snprintf(out, size, "a string of at most %d bytes", key->most - 1);
        break;
    case KEY_CHOICE:
        choices_text(choices, sizeof choices, key);
        snprintf(out, size, "one of %s", choices);
        break;
    case KEY_INTS:
    case KEY_NUMBERS:
        list_text(out, size, key);
        break;
    case KEY_SIZE:
        snprintf(out, size, "%s, or [height, width]", number);
        break;
    default:
        choices_text(choices, sizeof choices, key);
        snprintf(out, size, *choices ? "%s, or %s" : "%s", number, choices);
        break;
    }
    size_t used = strlen(out);
    if (key->flags & KEY_NULLABLE) snprintf(out + used, size - used, ", or null");
}

void key_limits(char *out, size_t size, const Key *key)
{
    if (key->type == KEY_CHOICE)
        choices_text(out, size, key);
    else if (key->type == KEY_BOOL || key->type == KEY_TEXT)
        snprintf(out, size, "%s", "");
    else
        range_text(out, size, key);
    size_t used = strlen(out);
    if (key->type != KEY_NUMBER || !key->names || used + 3 > size) return;
    snprintf(out + used, size - used, ", ");
    choices_text(out + used + 2, size - used - 2, key);
}

/* ------------------------------------------------------------------------------------ reading --
 */

enum { FOUND_MAX = 60 };

/* `name = value is what; expected ...`; `entry` is that of a list, or -1. */
static bool unwanted(const Key *key, int entry, const Json *value, const char *what, Err *err)
{
    char wanted[512], index[16] = "", *found;
    if (!json_print(&found, value, JSON_COMPACT, err)) return false;
    if (entry >= 0) snprintf(index, sizeof index, "[%d]", entry);
    key_wanted(wanted, sizeof wanted, key);
    err_set(err, ERR_USAGE, "%s%s = %.*s%s is %s; expected %s", key->path, index, FOUND_MAX, found,
            strlen(found) > FOUND_MAX ? "..." : "", what, wanted);
    free(found);
    return false;
}

static bool wrong_type(const Key *key, int entry, const Json *value, Err *err)
{
    return unwanted(key, entry, value, json_type_name(json_type(value)), err);
}

static bool in_range(const Key *key, double x)
{
    bool above = key->flags & KEY_ABOVE_MIN ? x > key->min : x >= key->min;
    bool below = key->flags & KEY_BELOW_MAX ? x < key->max : x <= largest(key);
    return above && below && isfinite(x);
}

static bool read_number(double *out, const Key *key, int entry, const Json *value, Err *err)
{
    if (json_type(value) != JSON_NUMBER) return wrong_type(key, entry, value, err);
    double x = json_number(value);
    if (is_whole(key) && x != floor(x)) return unwanted(key, entry, value, "not whole", err);
    if (!in_range(key, x)) return unwanted(key, entry, value, "out of range", err);
    *out = x;
    return true;
}

static bool read_text(char *out, const Key *key, const Json *value, Err *err)
{
    if (json_type(value) != JSON_STRING) return wrong_type(key, -1, value, err);
    const char *text = json_string(value);
    if (strlen(text) >= (size_t)key->most) return unwanted(key, -1, value, "too long", err);
    memset(out, 0, (size_t)key->most);
    memcpy(out, text, strlen(text));
    return true;
}

static bool read_choice(int *out, const Key *key, const Json *value, Err *err)
{
    if (json_type(value) != JSON_STRING) return wrong_type(key, -1, value, err);
    const char *text = json_string(value);
    Nearest best = {0};
    for (int i = 0; key->names[i]; i++) {
        if (!*key->names[i]) continue;
        if (strcmp(key->names[i], text) == 0) {
            *out = i;
            return true;
        }
        nearest_try(&best, text, key->names[i]);
    }
    unwanted(key, -1, value, "not known", err);
    size_t used = strlen(err->text);
    if (best.name)
        snprintf(err->text + used, sizeof err->text - used, "; did you mean %s?", best.name);
    return false;
}

/* Up to key->most numbers into `out`. */
static bool read_list(double *out, int *count, const Key *key, const Json *value, Err *err)
{
    if ((key->flags & KEY_OR_ONE) && json_type(value) == JSON_NUMBER) {
        *count = 1;
        return read_number(out, key, -1, value, err);
    }
    if (json_type(value) != JSON_LIST) return wrong_type(key, -1, value, err);
    size_t entries = json_count(value);
    if (entries < (size_t)key->least) return unwanted(key, -1, value, "too short", err);
    if (entries > (size_t)key->most) return unwanted(key, -1, value, "too long", err);
    *count = 0;
    for (const Json *child = json_first(value); child; child = json_next(child), ++*count)
        if (!read_number(&out[*count], key, *count, child, err)) return false;
    return true;
}

enum { LIST_MAX = 16 };

static bool read_ints(int *out, int *count, const Key *key, const Json *value, Err *err)
{
    double entries[LIST_MAX];
    assert(key->most <= LIST_MAX);
    if (!read_list(entries, count, key, value, err)) return false;
    for (int i = 0; i < key->most; i++) out[i] = i < *count ? (int)entries[i] : 0;
    return true;
}

static bool read_numbers(double *out, int *count, const Key *key, const Json *value, Err *err)
{
    for (int i = 0; i < key->most; i++) out[i] = 0;
    return read_list(out, count, key, value, err);
}

static bool read_size(int *height, int *width, const Key *key, const Json *value, Err *err)
{
    double entries[LIST_MAX];
    int count = 2;
    if (json_type(value) == JSON_LIST) {
        if (json_count(value) != 2) return unwanted(key, -1, value, "not a pair", err);
        if (!read_list(entries, &count, key, value, err)) return false;
        assert(count == 2);
    } else {
        if (!read_number(entries, key, -1, value, err)) return false;
        entries[1] = entries[0];
    }
    *height = (int)entries[0];
    *width = (int)entries[1];
    return true;
}

static bool read_named_number(double *out, const Key *key, bool null, const Json *value, Err *err)
{
    int place = 0;
    bool named = key->names && json_type(value) == JSON_STRING;
    if (!null && !named) return read_number(out, key, -1, value, err);
    if (named && !read_choice(&place, key, value, err)) return false;
    *out = place;
    return true;
}

bool key_read(void *base, const Key *key, const Json *value, Err *err)
{
    void *to = (char *)base + key->offset, *also = (char *)base + key->also;
    bool null = (key->flags & KEY_NULLABLE) && json_type(value) == JSON_NULL;
    double number = 0;
    switch (key->type) {
    case KEY_BOOL:
        if (json_type(value) != JSON_BOOL) return wrong_type(key, -1, value, err);
        *(bool *)to = json_bool(value);
        return true;
    case KEY_INT:
        if (!null && !read_number(&number, key, -1, value, err)) return false;
        *(int *)to = (int)number;
        return true;
    case KEY_SEED:
        if (!read_number(&number, key, -1, value, err)) return false;
        *(uint64_t *)to = (uint64_t)number;
        return true;
    case KEY_NUMBER:
        return read_named_number(to, key, null, value, err);
    case KEY_TEXT:
        return read_text(to, key, value, err);
    case KEY_CHOICE:
        if (!null) return read_choice(to, key, value, err);
        *(int *)to = 0;
        return true;
    case KEY_INTS:
        return read_ints(to, also, key, value, err);
    case KEY_NUMBERS:
        return read_numbers(to, also, key, value, err);
    case KEY_SIZE:
        return read_size(to, also, key, value, err);
    }
    return false;
}

/* ------------------------------------------------------------------------ writing, comparing -- */

static void write_choice(Json *object, const char *name, const Key *key, int value)
{
    if (*key->names[value])
        json_set_string(object, name, key->names[value]);
    else
        json_set_null(object, name);
}

static void write_number(Json *object, const char *name, const Key *key, double value)
{
    for (int i = 0; key->names && key->names[i]; i++)
        if (value == i) {
            write_choice(object, name, key, i);
            return;
        }
    json_set_number(object, name, value);
}

static void write_size(Json *object, const char *name, int height, int width)
{
    if (height == width) {
        json_set_number(object, name, height);
        return;
    }
    Json *pair = json_new_list();
    json_add_number(pair, height);
    json_add_number(pair, width);
    json_set(object, name, pair);
}

static double entry_of(const Key *key, const void *at, int i)
{
    return key->type == KEY_INTS ? ((const int *)at)[i] : ((const double *)at)[i];
}

static void write_list(Json *object, const char *name, const Key *key, const void *at, int count)
{
    if ((key->flags & KEY_OR_ONE) && count == 1) {
        json_set_number(object, name, entry_of(key, at, 0));
        return;
    }
    Json *list = json_new_list();
    for (int i = 0; i < count; i++) json_add_number(list, entry_of(key, at, i));
    json_set(object, name, list);
}

void key_write(Json *object, const char *name, const Key *key, const void *base)
{
    const void *at = place(base, key->offset), *also = place(base, key->also);
    switch (key->type) {
    case KEY_BOOL:
        json_set_bool(object, name, *(const bool *)at);
        break;
    case KEY_INT:
        if ((key->flags & KEY_NULLABLE) && *(const int *)at == 0)
            json_set_null(object, name);
        else
            json_set_number(object, name, *(const int *)at);
        break;
    case KEY_SEED:
        json_set_number(object, name, (double)*(const uint64_t *)at);
        break;
    case KEY_NUMBER:
        write_number(object, name, key, *(const double *)at);
        break;
    case KEY_TEXT:
        json_set_string(object, name, at);
        break;
    case KEY_CHOICE:
        write_choice(object, name, key, *(const int *)at);
        break;
    case KEY_INTS:
    case KEY_NUMBERS:
        write_list(object, name, key, at, *(const int *)also);
        break;
    case KEY_SIZE:
        write_size(object, name, *(const int *)at, *(const int *)also);
        break;
    }
}

static size_t value_size(const Key *key, const void *base)
{
    static const size_t sizes[] = {
        [KEY_BOOL] = sizeof(bool),
        [KEY_INT] = sizeof(int),
        [KEY_SEED] = sizeof(uint64_t),
        [KEY_NUMBER] = sizeof(double),
        [KEY_TEXT] = 1,
        [KEY_CHOICE] = sizeof(int),
        [KEY_INTS] = sizeof(int),
        [KEY_NUMBERS] = sizeof(double),
        [KEY_SIZE] = sizeof(int),
    };
    size_t count = 1;
    if (key->type == KEY_TEXT) count = strlen(place(base, key->offset)) + 1;
    if (key->type == KEY_INTS || key->type == KEY_NUMBERS)
        count = (size_t) * (const int *)place(base, key->also);
    return count * sizes[key->type];
}

bool key_equal(const Key *key, const void *a, const void *b)
{
    size_t size = value_size(key, a);
    if (size != value_size(key, b)) return false;
    if (memcmp(place(a, key->offset), place(b, key->offset), size) != 0) return false;
    if (key->type != KEY_SIZE) return true;
    return memcmp(place(a, key->also), place(b, key->also), size) == 0;
}
