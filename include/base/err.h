/*
 * Errors of the outside world: files, JSON, options. A function that can meet one returns bool and
 * takes an `Err *` last; on false the Err says what was wrong, with which value, and the remedy.
 * A bug in our own code is an assert, never an Err.
 */
#ifndef DDPM_BASE_ERR_H
#define DDPM_BASE_ERR_H

#include <stdbool.h>

/* The values are the program's exit codes. */
typedef enum {
    ERR_FAILED = 1,   /* the machine refused: no space, no memory, no permission */
    ERR_USAGE = 2,    /* an option or a config that cannot work */
    ERR_DATA = 3,     /* data or a checkpoint that is missing, damaged or of another kind */
    ERR_DIVERGED = 4, /* training met too many steps in a row with numbers that are not finite */
} ErrKind;

typedef struct {
    ErrKind kind;
    char text[2048]; /* one line that may be shown (base/utf8.h): ? for what may not */
} Err;

/* Fill `err` in the manner of printf. Always returns false: `return err_set(err, ...);`. */
bool err_set(Err *err, ErrKind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Say of an error met on the way that it is of this `kind`, as a bad config is bad usage; what the
 * machine refused (ERR_FAILED) stays that. Always returns false. */
bool err_as(Err *err, ErrKind kind);

/* Put "where: " before the text that is there, and return false. */
bool err_prefix(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
