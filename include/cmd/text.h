/*
 * Text in columns, for the lists of options and keys.
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

#endif
