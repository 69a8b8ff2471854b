/*
 * Options of a command, GNU style: one table describes them, parses them and prints --help.
 *
 *     --name VALUE  --name=VALUE  -n VALUE  -nVALUE  --flag  -f  -- (operands follow)
 *
 * Names are given whole. An option that stands twice takes its last value, a list takes all.
 */
#ifndef DDPM_CMD_OPTIONS_H
#define DDPM_CMD_OPTIONS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
    OPTION_FLAG,  /* bool, becomes true */
    OPTION_STORE, /* int, becomes `value` */
    OPTION_TEXT,  /* const char *, not empty */
    OPTION_PAIR,  /* const char *[2], as OPTION_TEXT; the second is a word of its own: --name A B */
    OPTION_INT,   /* int in [min, max] */
    OPTION_WHOLE, /* int64_t in [min, max] */
    OPTION_NUMBER, /* double in [min, max] */
    OPTION_CHOICE, /* int, the index in `names` */
    OPTION_LIST,   /* OptionList, one more entry each time */
} OptionType;

enum { OPTION_LIST_MAX = 64 };

typedef struct {
    const char *items[OPTION_LIST_MAX];
    size_t count;
} OptionList;

typedef struct {
    const char *name;     /* without its dashes */
    char letter;          /* the short form, or 0 */
    const char *argument; /* what --help calls the value; NULL for FLAG and STORE. "[=WORD]": the
                           * value may be left out, which stores `value` (CHOICE only) */
    OptionType type;
    size_t offset; /* of the destination in the command's struct */
    const char *help;
    double min, max;
    const char *const *names; /* by value, ended by NULL */
    int value;
} Option;

/* Options whose destinations are in one struct, which is at `offset` in the command's. */
typedef struct {
    const Option *options;
    size_t count, offset;
} OptionGroup;

enum { OPTION_GROUPS = 4 };

typedef struct {
    const char *name;    /* of the command, as typed after `ddpm` */
    const char *summary; /* one sentence */
    const char *operand; /* what --help calls the one operand it needs, or NULL: none is taken */
    size_t operand_offset;
    OptionGroup groups[OPTION_GROUPS]; /* in the order of --help; those left out have no options */
    const char *notes;                 /* printed after the options; may be NULL */
} OptionTable;

/* The option `index` of all groups, and where its destination is in the command's struct (unless
 * `offset` is NULL); NULL from their number on. */
const Option *options_at(const OptionTable *table, size_t index, size_t *offset);

/* Read argv[1..argc) into the struct `out`, whose fields hold the defaults. Texts point into argv.
 * `--help` and `-h` need no entry: *help becomes true and the rest is not looked at. ERR_USAGE for
 * an option that is not in the table (the message has the nearest that is), a value that is
 * missing, not wanted or out of range, and operands too many or too few. */
bool options_parse(void *out, bool *help, const OptionTable *table, int argc, char **argv,
                   Err *err);

/* How to call the command, and each option with its help. */
void options_help(FILE *to, const OptionTable *table);

#endif
