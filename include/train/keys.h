/*
 * One key of a configuration: what it is called, where its value lives in a struct, and what the
 * value may be. Reading, writing, comparing and explaining it all follow from this description.
 */
#ifndef DDPM_TRAIN_KEYS_H
#define DDPM_TRAIN_KEYS_H

#include "base/err.h"
#include "base/json.h"

#include <stddef.h>

typedef enum {
    KEY_BOOL,    /* bool */
    KEY_INT,     /* int */
    KEY_SEED,    /* uint64_t, at most 2^53: exact as a JSON number */
    KEY_NUMBER,  /* double; where there are `names`, each may stand for its place in them */
    KEY_TEXT,    /* char[most] */
    KEY_CHOICE,  /* an enum, by `names` */
    KEY_INTS,    /* int[most], the count as an int at `also` */
    KEY_NUMBERS, /* double[most], likewise */
    KEY_SIZE, /* an int (the height), another at `also` (the width); one number, or a list of two */
} KeyType;

/* May be null, which is stored as 0; the bounds themselves are not allowed; a list of one entry may
 * be that entry alone, and is written so. */
enum { KEY_NULLABLE = 1, KEY_ABOVE_MIN = 2, KEY_BELOW_MAX = 4, KEY_OR_ONE = 8 };

typedef struct {
    const char *path; /* "model.base_channels" */
    KeyType type;
    size_t offset, also;
    double min, max;          /* of numbers; max INFINITY: none but that of the type */
    int flags, least, most;   /* `least` entries of a list */
    const char *const *names; /* by value, ended by NULL; an empty name is not for users */
    const char *help;
} Key;

/* The path behind the section: "base_channels". */
const char *key_leaf(const Key *key);

/* Read `value` into its place in the struct `base`. ERR_USAGE: the message has the key's path, what
 * was found and what is wanted. */
bool key_read(void *base, const Key *key, const Json *value, Err *err);

/* Add the value, as `name`, to a JSON object. */
void key_write(Json *object, const char *name, const Key *key, const void *base);

bool key_equal(const Key *key, const void *a, const void *b);

/* What a value may be: "a whole number, from 1 to 1000", "one of pad, resize, or null". */
void key_wanted(char *out, size_t size, const Key *key);

/* The range or the choices alone, for a list of keys: "from 1 to 1000", "pad, resize", "". */
void key_limits(char *out, size_t size, const Key *key);

#endif
