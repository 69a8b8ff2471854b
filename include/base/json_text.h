/*
 * Whether a text is JSON by the letter of RFC 8259, and where not. base/json.h refuses with it what
 * cJSON would let pass.
 */
#ifndef DDPM_BASE_JSON_TEXT_H
#define DDPM_BASE_JSON_TEXT_H

#include <stddef.h>

/* Lists and objects inside one another, each of which is a few calls on the stack; and values in
 * all, each of which takes some 80 bytes of memory and more however short its text. The
 * longest lists there are, headers of safetensors files, have some ten for each tensor. */
enum { JSON_MAX_DEPTH = 100, JSON_MAX_VALUES = 1 << 20 };

/* NULL if `length` bytes, which a zero byte follows, are one JSON value and nothing else: then
 * there are *values in it, lists and objects too, keys not. Otherwise what is wrong at `text[*at]`,
 * where *at <= length, and *values those before it. Refused besides what the grammar leaves out: a
 * byte-order mark, bytes that are not UTF-8, \u0000, half a surrogate pair, a number that is no
 * finite double or has more than 63 characters, and what is beyond the limits above. Linear
 * time. */
const char *json_text_check(size_t *at, size_t *values, const char *text, size_t length);

#endif
