#include "cmd/text.h"

#include "base/file.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

void text_print_columns(FILE *to, const char *left, const char *right, TextColumn column)
{
    int at = fprintf(to, "%s", left);
    bool line_start = true;
    if (at >= column.indent) at = fprintf(to, "\n") - 1;
    while (*right) {
        int size = (int)strcspn(right, " ");
        if (!line_start && at + 1 + size > column.width) {
            at = fprintf(to, "\n") - 1;
            line_start = true;
        }
        at += fprintf(to, "%*s%.*s", line_start ? column.indent - at : 1, "", size, right);
        line_start = false;
        right += size;
        right += strspn(right, " ");
    }
    fputc('\n', to);
}

void text_say(FILE *to, const char *format, ...)
{
    char line[4 * FILE_PATH];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    utf8_make_plain(line);
    fprintf(to, "%s\n", line);
}

void text_print_path(const char *path)
{
    if (isatty(STDOUT_FILENO))
        text_say(stdout, "%s", path);
    else
        printf("%s\n", path);
}
