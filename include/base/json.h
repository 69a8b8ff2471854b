/*
 * JSON (RFC 8259), strictly: what cJSON lets pass and others read differently (duplicate keys, text
 * after the value, numbers that are not JSON's or not finite, a byte-order mark, invalid UTF-8,
 * control characters and \u0000 in strings) is refused, with the file, line and column.
 */
#ifndef DDPM_BASE_JSON_H
#define DDPM_BASE_JSON_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct cJSON Json;

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_OBJECT } JsonType;

/* --- Reading --- */

/* `length` bytes of `text`. `origin` stands for it in messages: a file's name, "--set". ERR_DATA,
 * of more values or deeper lists than base/json_text.h takes too; ERR_FAILED where memory has no
 * room for the tree, before it is begun. The caller gives *json to json_free. */
bool json_parse(Json **json, const char *text, size_t length, const char *origin, Err *err);

/* A file of at most 16 MiB. */
bool json_read(Json **json, const char *path, Err *err);

void json_free(Json *json); /* with its children; NULL is fine */

JsonType json_type(const Json *json);
const char *json_type_name(JsonType type); /* "a number", "a list", ... */

/* The value of a key, compared byte by byte, or NULL. Walks the object: linear time. */
const Json *json_get(const Json *object, const char *key);

/* The same, to be changed. */
Json *json_edit(Json *object, const char *key);

/* The children of a list or object in their order, NULL after the last:
 * for (const Json *child = json_first(json); child; child = json_next(child)) */
const Json *json_first(const Json *json);
const Json *json_next(const Json *child);
const char *json_key(const Json *child); /* NULL in a list */
size_t json_count(const Json *json);     /* linear time */

/* The value has the type (an assert); owned by `json`. */
double json_number(const Json *json);
bool json_bool(const Json *json);
const char *json_string(const Json *json);

/* True if it is a number, whole and in [0, limit], where limit <= 2^53: doubles are exact there. */
bool json_whole(uint64_t *value, const Json *json, uint64_t limit);

/* ERR_DATA: the `value` of `key` in the file `origin`, as it stands there, is not supported; it
 * must be what `wanted` says. Always false. */
bool json_refuse(const Json *value, const char *key, const char *origin, const char *wanted,
                 Err *err);

/* --- Building ---
 *
 * When there is no memory these do nothing, and the tree remembers it: json_print and json_write
 * then fail. So a caller need not look at each. json_set_* replace a key's value in place or add it
 * at the end; json_add_* append to a list. A number that is not finite becomes null. */

Json *json_new_object(void);
Json *json_new_list(void);

void json_set_number(Json *object, const char *key, double value);
void json_set_string(Json *object, const char *key, const char *value);
void json_set_bool(Json *object, const char *key, bool value);
void json_set_null(Json *object, const char *key);
void json_set(Json *object, const char *key, Json *value); /* takes `value` over */

void json_add_number(Json *list, double value);
void json_add_string(Json *list, const char *value);
void json_add(Json *list, Json *value); /* takes `value` over */

Json *json_copy(const Json *json);

/* --- Printing ---
 *
 * Numbers with the fewest of 15, 16 or 17 digits that give the same double back. Characters that
 * would do something to a terminal (base/utf8.h) are escaped; a byte of a string that is not UTF-8,
 * which JSON cannot hold, becomes U+FFFD, so that what is printed is always JSON. */

typedef enum { JSON_COMPACT, JSON_INDENTED } JsonLayout;

/* Whether there was memory for all that the tree was built of; ERR_FAILED says for how much there
 * was not. NULL is a tree that there was none for at all. */
bool json_complete(const Json *json, Err *err);

/* The caller frees *text. */
bool json_print(char **text, const Json *json, JsonLayout layout, Err *err);

/* Indented, with a newline at its end, under its name only when whole (base/file.h). */
bool json_write(const char *path, const Json *json, Err *err);

#endif
