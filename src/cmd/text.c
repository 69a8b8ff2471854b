#include "cmd/text.h"

#include <stdbool.h>
#include <string.h>

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
