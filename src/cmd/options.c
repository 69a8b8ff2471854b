/*
 * Parsed by hand rather than by getopt_long, which prints its own messages, keeps its place in
 * globals, and knows neither types nor the nearest name.
 */
#include "cmd/options.h"

#include "base/nearest.h"
#include "cmd/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One parse under way: argv[at] is the next word. */
typedef struct {
    const OptionTable *table;
    char *out;
    char **argv;
    int argc, at;
    const char *operand;
} Parse;

const Option *options_at(const OptionTable *table, size_t index, size_t *offset)
{
    for (size_t g = 0; g < OPTION_GROUPS; g++) {
        const OptionGroup *group = &table->groups[g];
        if (index < group->count) {
            const Option *option = &group->options[index];
            if (offset) *offset = group->offset + option->offset;
            return option;
        }
        index -= group->count;
    }
    return NULL;
}

static bool may_lack_value(const Option *option)
{
    return option->argument && option->argument[0] == '[';
}

/* ------------------------------------------------------------------------------------ values -- */

static bool bad_value(const Option *option, const char *text, const char *wanted, Err *err)
{
    return err_set(err, ERR_USAGE, "--%s %s: expected %s", option->name, *text ? text : "(nothing)",
                   wanted);
}

static bool bad_number(const Option *option, const char *text, Err *err)
{
    char wanted[128];
    const char *what = option->type == OPTION_NUMBER ? "a number" : "a whole number";
    if (isinf(option->max))
        snprintf(wanted, sizeof wanted, "%s of at least %.16g", what, option->min);
    else
        snprintf(wanted, sizeof wanted, "%s from %.16g to %.16g", what, option->min, option->max);
    return bad_value(option, text, wanted, err);
}

static bool starts_like_a_number(const char *text)
{
    return (text[0] != 0 && strchr("+-.0123456789", text[0])) != 0;
}

static bool read_whole(int64_t *out, const Option *option, const char *text, Err *err)
{
    char *end;
    long long value = strtoll(text, &end, 10); /* its limits where it does not fit: refused too */
    bool fits = value >= (int64_t)option->min && value <= (int64_t)option->max;
    if (!starts_like_a_number(text) || *end != 0 || !fits) return bad_number(option, text, err);
    *out = value;
    return true;
}

static bool read_number(double *out, const Option *option, const char *text, Err *err)
{
    char *end;
    double value = strtod(text, &end);
    bool fits = isfinite(value) && value >= option->min && value <= option->max;
    if (!starts_like_a_number(text) || *end != 0 || !fits) return bad_number(option, text, err);
    *out = value;
    return true;
}

static bool read_choice(int *out, const Option *option, const char *text, Err *err)
{
    char wanted[256] = "one of";
    Nearest best = {0};
    for (int i = 0; option->names[i]; i++) {
        if (strcmp(option->names[i], text) == 0) {
            *out = i;
            return true;
        }
        nearest_try(&best, text, option->names[i]);
        size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used, "%s %s", i ? "," : "", option->names[i]);
    }
    bad_value(option, text, wanted, err);
    if (!best.name) return false;
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, "; did you mean %s?", best.name);
    return false;
}

static bool read_list(OptionList *out, const Option *option, const char *text, Err *err)
{
    if (out->count == OPTION_LIST_MAX)
        return err_set(err, ERR_USAGE, "--%s %s: --%s stands more than %d times", option->name,
                       text, option->name, OPTION_LIST_MAX);
    out->items[out->count++] = text;
    return true;
}

/* The second value is the word that follows. */
static bool read_pair(const char **out, Parse *parse, const Option *option, const char *text,
                      Err *err)
{
    const char *second = parse->at < parse->argc ? parse->argv[parse->at] : "-";
    if (*text == 0 || *second == 0 || *second == '-')
        return err_set(err, ERR_USAGE, "--%s %s: expected two names: --%s %s", option->name, text,
                       option->name, option->argument);
    parse->at++;
    out[0] = text;
    out[1] = second;
    return true;
}

/* An option of the table, and where its value goes. */
typedef struct {
    const Option *option;
    void *to;
} Found;

/* What an option that has no value of its own means. */
static bool store_none(Found found)
{
    assert(found.option->type == OPTION_FLAG || found.option->type == OPTION_STORE ||
           found.option->type == OPTION_CHOICE);
    if (found.option->type == OPTION_FLAG)
        *(bool *)found.to = true;
    else
        *(int *)found.to = found.option->value;
    return true;
}

static bool store(Parse *parse, Found found, const char *text, Err *err)
{
    const Option *option = found.option;
    void *to = found.to;
    int64_t whole = 0;
    switch (option->type) {
    case OPTION_FLAG:
    case OPTION_STORE:
        break; /* never with a value */
    case OPTION_TEXT:
        *(const char **)to = text;
        return *text || bad_value(option, "", "a name", err);
    case OPTION_PAIR:
        return read_pair(to, parse, option, text, err);
    case OPTION_INT:
        if (!read_whole(&whole, option, text, err)) return false;
        *(int *)to = (int)whole;
        return true;
    case OPTION_WHOLE:
        return read_whole(to, option, text, err);
    case OPTION_NUMBER:
        return read_number(to, option, text, err);
    case OPTION_CHOICE:
        return read_choice(to, option, text, err);
    case OPTION_LIST:
        return read_list(to, option, text, err);
    }
    assert(false);
    return false;
}

/* ----------------------------------------------------------------------------------- options -- */

static bool next_value(const char **out, Parse *parse, const Option *option, Err *err)
{
    if (may_lack_value(option)) {
        *out = NULL;
        return true;
    }
    if (parse->at == parse->argc)
        return err_set(err, ERR_USAGE, "--%s needs a value: --%s %s", option->name, option->name,
                       option->argument);
    *out = parse->argv[parse->at++];
    return true;
}

static bool unknown_option(const OptionTable *table, const char *word, Err *err)
{
    Nearest best = {0};
    size_t size = strcspn(word, "=");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)size, word);
    const Option *option;
    for (size_t i = 0; (option = options_at(table, i, NULL)); i++)
        nearest_try(&best, name + 2, option->name);
    nearest_try(&best, name + 2, "help");
    if (word[1] == '-' && best.name)
        return err_set(err, ERR_USAGE, "there is no option %s; did you mean --%s?", name,
                       best.name);
    return err_set(err, ERR_USAGE, "there is no option %s; `ddpm %s --help` lists them", name,
                   table->name);
}

static bool is_named(const Option *option, const char *name, size_t size)
{
    return strlen(option->name) == size && strncmp(option->name, name, size) == 0;
}

static Found find_name(const Parse *parse, const char *name, size_t size)
{
    const Option *option;
    size_t offset;
    for (size_t i = 0; (option = options_at(parse->table, i, &offset)); i++)
        if (is_named(option, name, size)) return (Found){option, parse->out + offset};
    return (Found){0};
}

static Found find_letter(const Parse *parse, char letter)
{
    const Option *option;
    size_t offset;
    for (size_t i = 0; (option = options_at(parse->table, i, &offset)); i++)
        if (option->letter == letter) return (Found){option, parse->out + offset};
    return (Found){0};
}

static bool parse_long(Parse *parse, const char *word, Err *err)
{
    size_t size = strcspn(word + 2, "=");
    const char *value = word[2 + size] ? word + 3 + size : NULL;
    Found found = find_name(parse, word + 2, size);
    if (!found.option) return unknown_option(parse->table, word, err);
    if (!found.option->argument && value)
        return err_set(err, ERR_USAGE, "--%s takes no value, but has \"%s\"", found.option->name,
                       value);
    if (found.option->argument && !value && !next_value(&value, parse, found.option, err))
        return false;
    return value ? store(parse, found, value, err) : store_none(found);
}

/* -q, -n 4, -n4, and letters without a value together: -qr. */
static bool parse_short(Parse *parse, const char *word, Err *err)
{
    for (const char *at = word + 1; *at; at++) {
        Found found = find_letter(parse, *at);
        char unknown[] = {'-', *at, 0};
        if (!found.option) return unknown_option(parse->table, unknown, err);
        const char *value = NULL;
        if (found.option->argument) {
            if (at[1])
                value = at + 1;
            else if (!next_value(&value, parse, found.option, err))
                return false;
            return value ? store(parse, found, value, err) : store_none(found);
        }
        store_none(found);
    }
    return true;
}

static bool parse_operand(Parse *parse, const char *word, Err *err)
{
    if (!parse->table->operand)
        return err_set(err, ERR_USAGE, "\"%s\" is not an option, and `ddpm %s` takes nothing else",
                       word, parse->table->name);
    if (parse->operand)
        return err_set(err, ERR_USAGE, "\"%s\" is one %s too many: there is \"%s\" already", word,
                       parse->table->operand, parse->operand);
    parse->operand = word;
    *(const char **)(void *)(parse->out + parse->table->operand_offset) = word;
    return true;
}

bool options_parse(void *out, bool *help, const OptionTable *table, int argc, char **argv, Err *err)
{
    Parse parse = {.table = table, .out = out, .argv = argv, .argc = argc, .at = 1};
    bool only_operands = false, good = true;
    *help = false;
    while (good && parse.at < argc) {
        const char *word = argv[parse.at++];
        if (only_operands || word[0] != '-' || word[1] == 0) {
            good = parse_operand(&parse, word, err);
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            return *help = true;
        } else if (strcmp(word, "--") == 0) {
            only_operands = true;
        } else {
            good = word[1] == '-' ? parse_long(&parse, word, err) : parse_short(&parse, word, err);
        }
    }
    if (good && table->operand && !parse.operand)
        return err_set(err, ERR_USAGE, "`ddpm %s` needs a %s; `ddpm %s --help` says more",
                       table->name, table->operand, table->name);
    return good;
}

/* -------------------------------------------------------------------------------------- help -- */

static void print_option(FILE *to, const Option *option)
{
    char left[128], letter[] = {'-', option->letter, ',', 0};
    const char *argument = option->argument ? option->argument : "";
    const char *space = option->argument && !may_lack_value(option) ? " " : "";
    snprintf(left, sizeof left, "  %3s --%s%s%s", option->letter ? letter : "", option->name, space,
             argument);
    text_print_columns(to, left, option->help, (TextColumn){.indent = 26, .width = 80});
}

void options_help(FILE *to, const OptionTable *table)
{
    const Option *option;
    fprintf(to, "ddpm %s: %s\n\nUsage: ddpm %s%s%s%s\n\n", table->name, table->summary, table->name,
            table->operand ? " " : "", table->operand ? table->operand : "",
            options_at(table, 0, NULL) ? " [OPTION]..." : "");
    for (size_t i = 0; (option = options_at(table, i, NULL)); i++) print_option(to, option);
    print_option(to, &(Option){.name = "help", .letter = 'h', .help = "print this"});
    if (table->notes) fprintf(to, "\n%s\n", table->notes);
}
