/*
 * What the harnesses share. A harness (fuzz_NAME.c) gives a reader of the program one input of
 * bytes that nobody vouches for, as a command would give it a file, and aborts where what comes of
 * it is neither a message nor something that holds together. Two programs call it: libFuzzer, with
 * inputs that it makes up (make fuzz), and replay.c, with those that are kept in corpus/NAME.
 */
#ifndef DDPM_TESTS_FUZZ_H
#define DDPM_TESTS_FUZZ_H

#include "base/err.h"
#include "diffusion/config.h"

#include <stddef.h>
#include <stdint.h>

/* The harness. libFuzzer gives this function its name. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *data;
    size_t size; /* bytes */
} FuzzPart;

/* Cut an input for several files at each line "==" (a newline, two equals signs, a newline), into
 * at most `most` parts, the last of which has all that is left. Returns how many, at least one. */
int fuzz_split(FuzzPart *parts, int most, const uint8_t *data, size_t size);

/* A file in a folder of this process's own, which lies in $TMPDIR or /tmp and is removed when the
 * process exits; its path is good until the next call. NULL for the name is the folder. */
const char *fuzz_path(const char *name);

/* Put the bytes into that file. A part whose data is NULL: there is no such file. Returns its
 * path. */
const char *fuzz_put(const char *name, FuzzPart part);

/* The path of a file that has these bytes, and a name that is of no consequence. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* Abort, having said what does not hold. */
void fuzz_require(bool holds, const char *what);

/* Abort unless the Err of a reader that has refused its input says why, in a line that may be
 * shown, and blames the input and not the machine. */
void fuzz_refused(const Err *err);

/* Make the chain of a config that has passed schedule_check, and abort unless it is one. A long one
 * is not made. */
enum { FUZZ_MOST_STEPS = 4096 };
void fuzz_chain(const DiffusionConfig *config);

/* Read every byte, for the sanitizers to see. */
void fuzz_touch(const void *data, size_t size);

#endif
