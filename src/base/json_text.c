/*
 * One function for each rule of the grammar. A function returns true and has moved past what it
 * recognised, or returns false, has set `wrong` and stays where that is.
 */
#include "base/json_text.h"

#include "base/utf8.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *text;
    size_t length, at;
    const char *wrong;
    int depth, values;
} Scan;

static bool scan_value(Scan *scan);

static bool fail(Scan *scan, const char *what)
{
    scan->wrong = scan->at < scan->length ? what : "the text ends too early";
    return false;
}

/* The byte `ahead` of the current one; 0 behind the end. */
static unsigned char peek(const Scan *scan, size_t ahead)
{
    size_t at = scan->at + ahead;
    return at < scan->length ? (unsigned char)scan->text[at] : 0;
}

static void skip_spaces(Scan *scan)
{
    scan->at += strspn(scan->text + scan->at, " \t\n\r");
}

/* --- Strings --- */

/* The four hexadecimal digits of \uXXXX, `ahead` of the current place; -1 if it is no such. */
static int escaped_unit(const Scan *scan, size_t ahead)
{
    if (peek(scan, ahead) != '\\' || peek(scan, ahead + 1) != 'u') return -1;
    char digits[5] = {0};
    for (size_t i = 0; i < 4; i++) digits[i] = (char)peek(scan, ahead + 2 + i);
    if (strspn(digits, "0123456789abcdefABCDEF") != 4) return -1;
    return (int)strtol(digits, NULL, 16);
}

static bool scan_escape(Scan *scan)
{
    unsigned char c = peek(scan, 1);
    if (c != 'u') {
        if (c == 0 || !strchr("\"\\/bfnrt", c)) return fail(scan, "an escape JSON does not have");
        scan->at += 2;
        return true;
    }
    int unit = escaped_unit(scan, 0), second = escaped_unit(scan, 6);
    if (unit < 0) return fail(scan, "\\u without four hexadecimal digits");
    if (unit == 0) return fail(scan, "\\u0000 in a string");
    bool high = unit >= 0xd800 && unit < 0xdc00, low = second >= 0xdc00 && second < 0xe000;
    if ((unit >= 0xdc00 && unit < 0xe000) || (high && !low))
        return fail(scan, "half a surrogate pair");
    scan->at += high ? 12 : 6;
    return true;
}

static bool scan_string(Scan *scan)
{
    for (scan->at++; peek(scan, 0) != '"';) {
        unsigned code;
        size_t size = utf8_read(&code, scan->text + scan->at, scan->length - scan->at);
        if (scan->at >= scan->length) return fail(scan, NULL);
        if (peek(scan, 0) < 0x20)
            return fail(scan, "a control character in a string; write it as an escape");
        if (size == 0) return fail(scan, "a byte that is not UTF-8");
        if (peek(scan, 0) == '\\') {
            if (!scan_escape(scan)) return false;
        } else {
            scan->at += size;
        }
    }
    scan->at++;
    return true;
}

/* --- Numbers --- */

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool scan_digits(Scan *scan)
{
    if (!is_digit(peek(scan, 0))) return fail(scan, "a digit is missing");
    while (is_digit(peek(scan, 0))) scan->at++;
    return true;
}

/* The text goes on with it; a zero byte is behind the text's end. */
static bool comes(const Scan *scan, const char *word)
{
    return strncmp(scan->text + scan->at, word, strlen(word)) == 0;
}

/* What Python's json writes unless it is told not to, and diffusers' files of solvers hold. */
static bool is_not_finite(const Scan *scan)
{
    return comes(scan, "NaN") || comes(scan, "Infinity") || comes(scan, "-Infinity");
}

static bool scan_number(Scan *scan)
{
    size_t start = scan->at;
    if (peek(scan, 0) == '-') scan->at++;
    if (peek(scan, 0) == '0' && is_digit(peek(scan, 1)))
        return fail(scan, "a number that starts with 0");
    if (!scan_digits(scan)) return false;
    if (peek(scan, 0) == '.') {
        scan->at++;
        if (!scan_digits(scan)) return false;
    }
    if (peek(scan, 0) == 'e' || peek(scan, 0) == 'E') {
        scan->at++;
        if (peek(scan, 0) == '+' || peek(scan, 0) == '-') scan->at++;
        if (!scan_digits(scan)) return false;
    }
    size_t size = scan->at - start;
    if (size <= 63 && isfinite(strtod(scan->text + start, NULL))) return true;
    scan->at = start;
    /* cJSON reads no more than 63 characters, and would go on in the number's middle */
    return fail(scan, size > 63 ? "a number of more than 63 characters"
                                : "a number too large for a double");
}

/* --- Lists, objects, values --- */

static bool scan_key(Scan *scan)
{
    skip_spaces(scan);
    if (peek(scan, 0) != '"') return fail(scan, "a key in double quotes is missing");
    if (!scan_string(scan)) return false;
    skip_spaces(scan);
    if (peek(scan, 0) != ':') return fail(scan, "the ':' behind the key is missing");
    scan->at++;
    return true;
}

static bool scan_children(Scan *scan)
{
    bool object = peek(scan, 0) == '{';
    char end = object ? '}' : ']';
    if (++scan->depth > JSON_MAX_DEPTH) return fail(scan, "nested more than 100 deep");
    scan->at++;
    skip_spaces(scan);
    for (bool first = true; peek(scan, 0) != end; first = false) {
        if (!first && peek(scan, 0) != ',')
            return fail(scan, object ? "',' or '}' is missing" : "',' or ']' is missing");
        if (!first) scan->at++;
        if ((object && !scan_key(scan)) || !scan_value(scan)) return false;
        skip_spaces(scan);
    }
    scan->at++;
    scan->depth--;
    return true;
}

static bool scan_value(Scan *scan)
{
    static const char *const words[] = {"true", "false", "null"};
    skip_spaces(scan);
    if (++scan->values > JSON_MAX_VALUES) return fail(scan, "more than 1,048,576 values");
    unsigned char c = peek(scan, 0);
    if (c == '{' || c == '[') return scan_children(scan);
    if (c == '"') return scan_string(scan);
    if (!is_digit(c) && is_not_finite(scan))
        return fail(scan, "NaN, Infinity and -Infinity, which Python writes, are no JSON; write "
                          "null in its place");
    if (c == '-' || is_digit(c)) return scan_number(scan);
    for (int i = 0; i < 3; i++) {
        if (!comes(scan, words[i])) continue;
        scan->at += strlen(words[i]);
        return true;
    }
    return fail(scan, "a value (a number, \"text\", true, false, null, [...] or {...}) is missing");
}

const char *json_text_check(size_t *at, size_t *values, const char *text, size_t length)
{
    Scan scan = {.text = text, .length = length};
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        fail(&scan, "a byte-order mark; save the file as UTF-8 without one");
    else if (scan_value(&scan)) {
        skip_spaces(&scan);
        if (scan.at < length) fail(&scan, "there is more behind the value");
    }
    *at = scan.at < length ? scan.at : length;
    *values = (size_t)scan.values;
    return scan.wrong;
}
