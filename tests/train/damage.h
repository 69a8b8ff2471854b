/*
 * Files in which every byte is changed, and that are cut at every length: what is then read has to
 * be an error that names the file, or the same as before, or, where nothing can tell, something
 * else of its kind; never a crash.
 */
#ifndef DDPM_TESTS_TRAIN_DAMAGE_H
#define DDPM_TESTS_TRAIN_DAMAGE_H

#include "support.h"

#include "base/err.h"

/* What was read of a file, as bytes to compare. */
typedef struct {
    unsigned char *bytes;
    size_t size, room;
} Loaded;

void loaded_add(Loaded *loaded, const void *data, size_t size);

/* How far a change of a byte is told from what was written. Cuts always are, but with NONE. */
typedef enum {
    DAMAGE_TOLD,        /* everywhere */
    DAMAGE_HEADER_TOLD, /* in the header */
    DAMAGE_CUT_TOLD,    /* a cut alone */
    DAMAGE_NOT_TOLD     /* perhaps nowhere */
} DamageTold;

typedef struct {
    const char *name;
    char *(*make)(void); /* a new folder with the file in it, and what it needs besides */
    const char *file;
    bool (*load)(Loaded *loaded, const char *folder, Err *err);
    DamageTold told;
    size_t (*header)(const unsigned char *bytes); /* how long the file's header is; NULL: 0 */
} DamageCase;

/* Change each byte in two ways, one bit of it and all of them, and cut the file at each length; if
 * not `all`, at some hundred places in the header and behind it. Prints how many inputs there were,
 * and what came of them. */
void damage_try(const DamageCase *c, bool all);

#endif
