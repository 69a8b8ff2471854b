/*
 * The report of `ddpm eval` for people, printed from its JSON, so that the two cannot differ.
 *
 * Scalars are lines, objects are sections, a list of objects is a table with a column for each key.
 * A figure ({"value", "standard_error", "images"}) is "value +- error (n images)"; the key's
 * underscores are spaces.
 */
#ifndef DDPM_CMD_EVAL_REPORT_H
#define DDPM_CMD_EVAL_REPORT_H

#include "base/json.h"

#include <stdio.h>

void eval_report_print(FILE *to, const Json *report);

#endif
