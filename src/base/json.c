/*
 * cJSON builds the tree, from text that json_text_check found to be JSON; a walk over the tree
 * finds duplicate keys. The printer is ours, because cJSON's rounds a double to 15 digits wherever
 * that is within an epsilon of it.
 *
 * A list or object that a child could not be added to for want of memory has in `valueint`, which
 * cJSON gives no meaning there, how many bytes were asked for.
 */
#include "base/json.h"

#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The tree --- */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, so that a hostile object of a million keys does not take a million look-ups of a
 * million. */
static bool check_keys_of(const cJSON *object, const char *origin, Err *err)
{
    size_t count = json_count(object), i = 0;
    if (count < 2) return true;
    const char **keys = malloc(count * sizeof *keys);
    if (!keys) return memory_refused(count * sizeof *keys, origin, err);
    for (const cJSON *child = object->child; child; child = child->next) keys[i++] = child->string;
    qsort(keys, count, sizeof *keys, by_bytes);
    bool good = true;
    for (i = 1; i < count && good; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            good = err_set(err, ERR_DATA, "%s: the key \"%s\" is there twice", origin, keys[i]);
    free(keys);
    return good;
}

/* No deeper than JSON_MAX_DEPTH. */
static bool check_keys(const cJSON *json, const char *origin, Err *err)
{
    if (cJSON_IsObject(json) && !check_keys_of(json, origin, err)) return false;
    for (const cJSON *child = json->child; child; child = child->next)
        if (child->child && !check_keys(child, origin, err)) return false;
    return true;
}

static bool syntax_error(const char *wrong, const char *text, size_t at, const char *origin,
                         Err *err)
{
    size_t line = 1, start = 0, column = 1;
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') line++, start = i + 1;
    for (size_t i = start; i < at; i++) column += (text[i] & 0xc0) != 0x80;
    return err_set(err, ERR_DATA, "%s: line %zu, column %zu: %s", origin, line, column, wrong);
}

/* The tree of a text at most: a node for each value, with perhaps a key and a string, each in a
 * block of the C library's, and a pointer for check_keys. cJSON takes them one by one, and the
 * system refuses none: a kill comes later. */
static size_t tree_bytes(size_t values, size_t length)
{
    enum { HEAD = 16, STRING = 32 };
    return values * (sizeof(cJSON) + HEAD + 2 * STRING + sizeof(char *)) + length;
}

/* `text` ends in a 0 behind `length`. */
static bool parse(Json **json, const char *text, size_t length, const char *origin, Err *err)
{
    size_t at, values;
    const char *wrong = json_text_check(&at, &values, text, length);
    if (wrong) return syntax_error(wrong, text, at, origin, err);
    if (!memory_fits(tree_bytes(values, length), origin, err)) return false;
    *json = cJSON_ParseWithLengthOpts(text, length + 1, NULL, true);
    if (!*json) return memory_refused(tree_bytes(values, length), origin, err);
    if (check_keys(*json, origin, err)) return true;
    json_free(*json);
    *json = NULL;
    return false;
}

bool json_parse(Json **json, const char *text, size_t length, const char *origin, Err *err)
{
    *json = NULL;
    if (!memory_fits(length + 1, origin, err)) return false;
    char *copy = malloc(length + 1);
    if (!copy) return memory_refused(length + 1, origin, err);
    memcpy(copy, text, length);
    copy[length] = 0;
    bool good = parse(json, copy, length, origin, err);
    free(copy);
    return good;
}

bool json_read(Json **json, const char *path, Err *err)
{
    unsigned char *text;
    size_t size;
    *json = NULL;
    if (!file_read(&text, &size, path, (size_t)16 << 20, err)) return false;
    bool good = parse(json, (char *)text, size, path, err);
    free(text);
    return good;
}

void json_free(Json *json)
{
    cJSON_Delete(json);
}

JsonType json_type(const Json *json)
{
    return cJSON_IsObject(json)   ? JSON_OBJECT
           : cJSON_IsArray(json)  ? JSON_LIST
           : cJSON_IsString(json) ? JSON_STRING
           : cJSON_IsNumber(json) ? JSON_NUMBER
           : cJSON_IsBool(json)   ? JSON_BOOL
                                  : JSON_NULL;
}

const char *json_type_name(JsonType type)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "a list",        "an object"};
    return names[type];
}

const Json *json_get(const Json *object, const char *key)
{
    assert(cJSON_IsObject(object));
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

Json *json_edit(Json *object, const char *key)
{
    assert(cJSON_IsObject(object));
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

const Json *json_first(const Json *json)
{
    return json->child;
}

const Json *json_next(const Json *child)
{
    return child->next;
}

const char *json_key(const Json *child)
{
    return child->string;
}

size_t json_count(const Json *json)
{
    size_t count = 0;
    for (const cJSON *child = json->child; child; child = child->next) count++;
    return count;
}

double json_number(const Json *json)
{
    assert(cJSON_IsNumber(json));
    return json->valuedouble;
}

bool json_bool(const Json *json)
{
    assert(cJSON_IsBool(json));
    return cJSON_IsTrue(json);
}

const char *json_string(const Json *json)
{
    assert(cJSON_IsString(json));
    return json->valuestring;
}

bool json_whole(uint64_t *value, const Json *json, uint64_t limit)
{
    assert(limit <= (uint64_t)1 << 53);
    if (!cJSON_IsNumber(json)) return false;
    double number = json->valuedouble;
    if (!(number >= 0 && number <= (double)limit && number == floor(number))) return false;
    *value = (uint64_t)number;
    return true;
}

/* --- Building --- */

Json *json_new_object(void)
{
    return cJSON_CreateObject();
}

Json *json_new_list(void)
{
    return cJSON_CreateArray();
}

/* `value` in the place of `old`, whose key it takes over, so that nothing can fail. */
static void replace(cJSON *object, cJSON *old, cJSON *value)
{
    cJSON_free(value->string);
    value->string = old->string;
    old->string = NULL;
    cJSON_ReplaceItemViaPointer(object, old, value);
}

void json_set(Json *object, const char *key, Json *value)
{
    assert(!object || cJSON_IsObject(object));
    cJSON *old = object ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
    if (old && value) {
        replace(object, old, value);
        return;
    }
    if (object && value && cJSON_AddItemToObject(object, key, value)) return;
    /* No memory for the key: without it, as who calls may still fill `value`. */
    if (!object || !value || !cJSON_AddItemToArray(object, value)) cJSON_Delete(value);
    if (object) object->valueint = (int)(sizeof *value + strlen(key) + 1);
}

void json_add(Json *list, Json *value)
{
    assert(!list || cJSON_IsArray(list));
    if (list && value && cJSON_AddItemToArray(list, value)) return;
    cJSON_Delete(value);
    if (list) list->valueint = (int)sizeof *value;
}

static cJSON *new_number(double value)
{
    return isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

void json_set_number(Json *object, const char *key, double value)
{
    json_set(object, key, new_number(value));
}

void json_set_string(Json *object, const char *key, const char *value)
{
    json_set(object, key, cJSON_CreateString(value));
}

void json_set_bool(Json *object, const char *key, bool value)
{
    json_set(object, key, cJSON_CreateBool(value));
}

void json_set_null(Json *object, const char *key)
{
    json_set(object, key, cJSON_CreateNull());
}

void json_add_number(Json *list, double value)
{
    json_add(list, new_number(value));
}

void json_add_string(Json *list, const char *value)
{
    json_add(list, cJSON_CreateString(value));
}

Json *json_copy(const Json *json)
{
    return cJSON_Duplicate(json, true);
}

/* --- Printing --- */

/* How many bytes there was no memory for when the tree was built; 0: it is whole. */
static size_t missing_bytes(const cJSON *json)
{
    if (!json) return sizeof *json;
    size_t bytes = cJSON_IsObject(json) || cJSON_IsArray(json) ? (size_t)json->valueint : 0;
    for (const cJSON *child = json->child; child && !bytes; child = child->next)
        bytes = missing_bytes(child);
    return bytes;
}

/* What a terminal would obey is escaped, though JSON asks for that only below U+0020. A byte that
 * is not UTF-8 can only be said to have been there. */
static void print_string(FILE *out, const char *string)
{
    fputc('"', out);
    for (const char *at = string, *end = at + strlen(at); at < end;) {
        unsigned code;
        size_t size = utf8_read(&code, at, (size_t)(end - at));
        if (code == UTF8_NONE)
            fputs("\\ufffd", out);
        else if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (int)code);
        else if (utf8_is_control(code))
            fprintf(out, "\\u%04x", code);
        else
            fwrite(at, size, 1, out);
        at += code == UTF8_NONE ? 1 : size;
    }
    fputc('"', out);
}

static void print_number(FILE *out, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, out);
}

static void print(FILE *out, const cJSON *json, int depth, bool indent);

/* Line breaks only in objects and in lists that hold lists or objects: a list of numbers stays on
 * one line. */
static void print_children(FILE *out, const cJSON *json, int depth, bool indent)
{
    bool object = cJSON_IsObject(json), lines = object && json->child;
    for (const cJSON *child = json->child; child; child = child->next)
        lines = lines || cJSON_IsObject(child) || cJSON_IsArray(child);
    fputc(object ? '{' : '[', out);
    for (const cJSON *child = json->child; child; child = child->next) {
        if (indent && lines) fprintf(out, "\n%*s", 2 * depth + 2, "");
        if (object) {
            print_string(out, child->string);
            fputs(indent ? ": " : ":", out);
        }
        print(out, child, depth + 1, indent);
        if (child->next) fputs(indent && !lines ? ", " : ",", out);
    }
    if (indent && lines) fprintf(out, "\n%*s", 2 * depth, "");
    fputc(object ? '}' : ']', out);
}

static void print(FILE *out, const cJSON *json, int depth, bool indent)
{
    switch (json_type(json)) {
    case JSON_NULL:
        fputs("null", out);
        break;
    case JSON_BOOL:
        fputs(cJSON_IsTrue(json) ? "true" : "false", out);
        break;
    case JSON_NUMBER:
        print_number(out, json->valuedouble);
        break;
    case JSON_STRING:
        print_string(out, json->valuestring);
        break;
    case JSON_LIST:
    case JSON_OBJECT:
        print_children(out, json, depth, indent);
        break;
    }
}

bool json_complete(const Json *json, Err *err)
{
    size_t missing = missing_bytes(json);
    return missing == 0 || memory_refused(missing, "JSON", err);
}

bool json_print(char **text, const Json *json, JsonLayout layout, Err *err)
{
    size_t size = 0;
    *text = NULL;
    if (!json_complete(json, err)) return false;
    FILE *out = open_memstream(text, &size);
    if (out) {
        print(out, json, 0, layout == JSON_INDENTED);
        bool good = !ferror(out);
        /* glibc's fclose says nothing when there was no memory for the text at last */
        if (fclose(out) == 0 && good && *text) return true;
    }
    free(*text);
    *text = NULL;
    /* the stream asks for twice what it has, at first for a buffer of the C library's */
    return memory_refused(2 * size + BUFSIZ, "JSON", err);
}

bool json_write(const char *path, const Json *json, Err *err)
{
    char *text;
    FileWriter writer;
    if (!json_print(&text, json, JSON_INDENTED, err)) return err_prefix(err, "%s", path);
    bool good = file_create(&writer, path, err) && file_write(&writer, text, strlen(text), err) &&
                file_write(&writer, "\n", 1, err) && file_commit(&writer, err);
    free(text);
    return good;
}

bool json_refuse(const Json *value, const char *key, const char *origin, const char *wanted,
                 Err *err)
{
    char *text = NULL;
    Err ignored;
    if (!json_print(&text, value, JSON_COMPACT, &ignored)) text = NULL;
    err_set(err, ERR_DATA, "%s: %s = %.200s is not supported; it must be %s", origin, key,
            text ? text : "?", wanted);
    free(text);
    return false;
}
