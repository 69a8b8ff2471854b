#include "base/err.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(Err *err, ErrKind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->kind = kind;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    utf8_make_plain(err->text);
    return false;
}

bool err_as(Err *err, ErrKind kind)
{
    if (err->kind != ERR_FAILED) err->kind = kind;
    return false;
}

bool err_prefix(Err *err, const char *format, ...)
{
    char where[512], text[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(where, sizeof where, format, args);
    va_end(args);
    int room = (int)(sizeof text - strlen(where) - sizeof ": ");
    snprintf(text, sizeof text, "%s: %.*s", where, room, err->text);
    memcpy(err->text, text, sizeof text);
    utf8_make_plain(err->text);
    return false;
}
