/*
 * Lines as they may be shown, and text in columns, for the lists of options and keys.
 */
#ifndef DDPM_CMD_TEXT_H
#define DDPM_CMD_TEXT_H

#include <stdio.h>

typedef struct {
    int indent, width; /* of the right column: where it begins, and where lines are broken */
} TextColumn;

/* `left`, then the words of `right` in their column, and a newline. A `left` that reaches into the
 * column has a line of its own. */
void text_print_columns(FILE *to, const char *left, const char *right, TextColumn column);

/* One line, in the manner of printf: a ? for whatever a terminal would obey (base/utf8.h), since
 * names of files and what is in them come from strangers. Up to some 16 KiB. */
void text_say(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The path, for a script exactly as it is: only a terminal is shown it as above. */
void text_print_path(const char *path);

#endif
