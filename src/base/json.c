/*
 * cJSON builds the tree; a pass over the text before it refuses what cJSON is lax about, and a walk
 * over the tree after it finds duplicate keys. The printer is ours, because cJSON's rounds a double
 * to 15 digits wherever that is within an epsilon of it.
 *
 * A list or object that a child could not be added to for want of memory is marked in `valueint`,
 * which cJSON gives no meaning there.
 */
#include "base/json.h"

#include "base/file.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The text --- */

typedef struct {
    const char *text;
    size_t length, at;
    const char *wrong; /* what is wrong at `at`; NULL so far */
} Scan;

static bool wrong(Scan *scan, const char *what)
{
    scan->wrong = what;
    return false;
}

/* The byte `ahead` of the current one; 0 behind the end. */
static unsigned char peek(const Scan *scan, size_t ahead)
{
    size_t at = scan->at + ahead;
    return at < scan->length ? (unsigned char)scan->text[at] : 0;
}

/* Bytes of the UTF-8 character at the current place: 0 if there is none (an overlong form, a
 * surrogate and what lies above U+10FFFF are none). */
static size_t utf8_size(const Scan *scan)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = peek(scan, 0);
    if (first < 0x80) return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return 0;
    unsigned code = first & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((peek(scan, i) & 0xc0) != 0x80) return 0;
        code = code << 6 | (peek(scan, i) & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[size] || surrogate || code > 0x10ffff ? 0 : size;
}

static bool scan_string(Scan *scan)
{
    for (scan->at++; peek(scan, 0) != '"';) {
        if (scan->at >= scan->length) return wrong(scan, "a string without its end");
        if (peek(scan, 0) < 0x20) return wrong(scan, "a control character in a string");
        if (peek(scan, 0) == '\\' && strncmp("u0000", scan->text + scan->at + 1, 5) == 0)
            return wrong(scan, "\\u0000 in a string");
        size_t size = peek(scan, 0) == '\\' ? 2 : utf8_size(scan);
        if (size == 0) return wrong(scan, "a byte that is not UTF-8");
        scan->at += size;
    }
    scan->at++;
    return true;
}

static bool scan_digits(Scan *scan)
{
    if (peek(scan, 0) < '0' || peek(scan, 0) > '9') return wrong(scan, "a digit is missing");
    while (peek(scan, 0) >= '0' && peek(scan, 0) <= '9') scan->at++;
    return true;
}

static bool scan_number(Scan *scan)
{
    size_t start = scan->at;
    if (peek(scan, 0) == '-') scan->at++;
    if (peek(scan, 0) == '0' && peek(scan, 1) >= '0' && peek(scan, 1) <= '9')
        return wrong(scan, "a number that starts with 0");
    if (!scan_digits(scan)) return false;
    if (peek(scan, 0) == '.' && (scan->at++, !scan_digits(scan))) return false;
    if ((peek(scan, 0) | 0x20) == 'e') {
        scan->at++;
        if (peek(scan, 0) == '+' || peek(scan, 0) == '-') scan->at++;
        if (!scan_digits(scan)) return false;
    }
    /* cJSON reads no more than 63 characters of a number, and would stop in its middle */
    if (scan->at - start > 63) return wrong(scan, "a number of more than 63 characters");
    if (!isfinite(strtod(scan->text + start, NULL)))
        return wrong(scan, "a number too large for a double");
    return true;
}

/* Everything but the structure, which is cJSON's to check. `text` ends in a 0 behind `length`. */
static bool scan_text(Scan *scan)
{
    if (scan->length >= 3 && memcmp(scan->text, "\xef\xbb\xbf", 3) == 0)
        return wrong(scan, "a byte-order mark; save the file as UTF-8 without one");
    while (scan->at < scan->length) {
        unsigned char c = peek(scan, 0);
        if (c == '"') {
            if (!scan_string(scan)) return false;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            if (!scan_number(scan)) return false;
        } else if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            return wrong(scan, "a control character");
        } else if (c >= 0x7f) {
            return wrong(scan, "a character outside a string");
        } else {
            scan->at++;
        }
    }
    return true;
}

static bool syntax_error(const Scan *scan, const char *origin, Err *err)
{
    size_t line = 1, start = 0, column = 1;
    size_t at = scan->at < scan->length ? scan->at : scan->length;
    for (size_t i = 0; i < at; i++)
        if (scan->text[i] == '\n') line++, start = i + 1;
    for (size_t i = start; i < at; i++) column += (scan->text[i] & 0xc0) != 0x80;
    return err_set(err, ERR_DATA, "%s: line %zu, column %zu: %s", origin, line, column,
                   scan->wrong);
}

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
    if (!keys) return err_set(err, ERR_FAILED, "%s: no memory for %zu keys", origin, count);
    for (const cJSON *child = object->child; child; child = child->next) keys[i++] = child->string;
    qsort(keys, count, sizeof *keys, by_bytes);
    bool good = true;
    for (i = 1; i < count && good; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            good = err_set(err, ERR_DATA, "%s: the key \"%s\" is there twice", origin, keys[i]);
    free(keys);
    return good;
}

/* cJSON nests at most CJSON_NESTING_LIMIT (1000) deep. */
static bool check_keys(const cJSON *json, const char *origin, Err *err)
{
    if (cJSON_IsObject(json) && !check_keys_of(json, origin, err)) return false;
    for (const cJSON *child = json->child; child; child = child->next)
        if (child->child && !check_keys(child, origin, err)) return false;
    return true;
}

/* `text` ends in a 0 behind `length`. */
static bool parse(Json **json, const char *text, size_t length, const char *origin, Err *err)
{
    Scan scan = {.text = text, .length = length};
    if (!scan_text(&scan)) return syntax_error(&scan, origin, err);
    const char *end = text;
    *json = cJSON_ParseWithLengthOpts(text, length + 1, &end, true);
    if (!*json) {
        scan.at = (size_t)(end - text);
        scan.wrong = scan.at >= length ? "the text ends too early" : "not JSON from here on";
        return syntax_error(&scan, origin, err);
    }
    if (check_keys(*json, origin, err)) return true;
    json_free(*json);
    *json = NULL;
    return false;
}

bool json_parse(Json **json, const char *text, size_t length, const char *origin, Err *err)
{
    *json = NULL;
    char *copy = malloc(length + 1);
    if (!copy) return err_set(err, ERR_FAILED, "%s: no memory for %zu bytes", origin, length);
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
    } else if (!object || !value || !cJSON_AddItemToObject(object, key, value)) {
        cJSON_Delete(value);
        if (object) object->valueint = 1;
    }
}

void json_add(Json *list, Json *value)
{
    assert(!list || cJSON_IsArray(list));
    if (list && value && cJSON_AddItemToArray(list, value)) return;
    cJSON_Delete(value);
    if (list) list->valueint = 1;
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

static bool incomplete(const cJSON *json)
{
    if ((cJSON_IsObject(json) || cJSON_IsArray(json)) && json->valueint) return true;
    for (const cJSON *child = json->child; child; child = child->next)
        if (incomplete(child)) return true;
    return false;
}

static void print_string(FILE *out, const char *string)
{
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)string; *at; at++)
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else
            fputc(*at, out);
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

bool json_print(char **text, const Json *json, JsonLayout layout, Err *err)
{
    size_t size;
    *text = NULL;
    FILE *out = json && !incomplete(json) ? open_memstream(text, &size) : NULL;
    if (out) {
        print(out, json, 0, layout == JSON_INDENTED);
        bool good = !ferror(out);
        if (fclose(out) == 0 && good) return true;
    }
    free(*text);
    *text = NULL;
    return err_set(err, ERR_FAILED, "no memory to build JSON");
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
