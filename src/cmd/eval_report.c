#include "cmd/eval_report.h"

#include "base/utf8.h"
#include "cmd/text.h"

#include <math.h>
#include <string.h>

/* Bytes of a cell; columns of a table; where what follows a name begins; digits after the point. */
enum { CELL = 64, MAX_COLUMNS = 16, NAME = 36, MOST_DIGITS = 7 };

/* "sliced_wasserstein" as "sliced wasserstein". */
static const char *label(char out[CELL], const char *key)
{
    snprintf(out, CELL, "%s", key);
    for (char *at = out; *at; at++)
        if (*at == '_') *at = ' ';
    return out;
}

static bool is_number(const Json *json)
{
    return json && json_type(json) == JSON_NUMBER;
}

static bool is_figure(const Json *json)
{
    return json_type(json) == JSON_OBJECT && json_get(json, "value");
}

static void print_number(char out[CELL], const Json *json)
{
    double value = json_number(json);
    bool is_count = floor(value) == value && fabs(value) < 0x1p53;
    snprintf(out, CELL, is_count ? "%.0f" : "%.4g", value);
}

/* Digits of the value down to the second of its error. */
static void print_figure(char out[CELL], const Json *figure)
{
    const Json *value = json_get(figure, "value"), *error = json_get(figure, "standard_error");
    if (!is_number(value)) {
        snprintf(out, CELL, "-");
        return;
    }
    if (!is_number(error) || json_number(error) <= 0) {
        snprintf(out, CELL, "%.4g", json_number(value));
        return;
    }
    int digits = 1 - (int)floor(log10(json_number(error)));
    if (digits > MOST_DIGITS) {
        snprintf(out, CELL, "%.2g +- %.1g", json_number(value), json_number(error));
        return;
    }
    if (digits < -MOST_DIGITS) {
        snprintf(out, CELL, "%.4g +- %.2g", json_number(value), json_number(error));
        return;
    }
    if (digits < 0) digits = 0;
    snprintf(out, CELL, "%.*f +- %.*f", digits, json_number(value), digits, json_number(error));
}

/* What stands in a cell or after a name. */
static void print_scalar(char out[CELL], const Json *json)
{
    switch (json_type(json)) {
    case JSON_BOOL:
        snprintf(out, CELL, json_bool(json) ? "yes" : "no");
        return;
    case JSON_NUMBER:
        print_number(out, json);
        return;
    case JSON_STRING:
        snprintf(out, CELL, "%s", json_string(json));
        utf8_make_plain(out);
        return;
    case JSON_OBJECT:
        print_figure(out, json);
        return;
    case JSON_NULL:
    case JSON_LIST:
        snprintf(out, CELL, "-");
    }
}

static void print_line(FILE *to, const Json *json, int indent)
{
    char name[CELL], cell[CELL], count[CELL] = "";
    const Json *images = is_figure(json) ? json_get(json, "images") : NULL;
    print_scalar(cell, json);
    if (is_number(images)) snprintf(count, sizeof count, "  (%.0f images)", json_number(images));
    text_say(to, "%*s%-*s %s%s", indent, "", NAME - indent, label(name, json_key(json)),
             json_type(json) == JSON_STRING ? json_string(json) : cell, count);
}

/* ---- tables ---- */

typedef struct {
    int columns, width[MAX_COLUMNS];
} Table;

static void widen(int *width, const char *text)
{
    int length = (int)strlen(text);
    if (length > *width) *width = length;
}

static Table measure(const Json *list)
{
    Table table = {0};
    char cell[CELL];
    for (const Json *row = json_first(list); row; row = json_next(row)) {
        table.columns = 0;
        for (const Json *c = json_first(row); c && table.columns < MAX_COLUMNS; c = json_next(c)) {
            int *width = &table.width[table.columns++];
            print_scalar(cell, c);
            widen(width, cell);
            widen(width, label(cell, json_key(c)));
        }
    }
    return table;
}

/* One row: its keys, or its values. */
static void print_row(FILE *to, const Json *row, const Table *table, int indent, bool keys)
{
    char cell[CELL];
    const Json *c = json_first(row);
    fprintf(to, "%*s", indent, "");
    for (int i = 0; c && i < table->columns; i++, c = json_next(c)) {
        if (keys)
            label(cell, json_key(c));
        else
            print_scalar(cell, c);
        fprintf(to, "%s%*s", i ? "  " : "", table->width[i], cell);
    }
    fputc('\n', to);
}

static void print_table(FILE *to, const Json *list, int indent)
{
    Table table = measure(list);
    const Json *first = json_first(list);
    char name[CELL];
    fprintf(to, "%*s%s\n", indent, "", label(name, json_key(list)));
    if (first) print_row(to, first, &table, indent + 2, true);
    for (const Json *row = first; row; row = json_next(row))
        print_row(to, row, &table, indent + 2, false);
}

/* ---- sections ---- */

static void print_section(FILE *to, const Json *object, int indent)
{
    char name[CELL];
    for (const Json *child = json_first(object); child; child = json_next(child)) {
        if (json_type(child) == JSON_LIST) {
            print_table(to, child, indent);
        } else if (json_type(child) == JSON_OBJECT && !is_figure(child)) {
            fprintf(to, "\n%*s%s\n", indent, "", label(name, json_key(child)));
            print_section(to, child, indent + 2);
        } else {
            print_line(to, child, indent);
        }
    }
}

void eval_report_print(FILE *to, const Json *report)
{
    print_section(to, report, 0);
}
