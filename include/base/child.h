/*
 * Another program, run to its end: no shell, and nothing between it and what it is given.
 */
#ifndef DDPM_BASE_CHILD_H
#define DDPM_BASE_CHILD_H

#include "base/err.h"

#include <stddef.h>

/* Run argv[0], which is looked for in $PATH, with the words up to NULL: `input` [size] comes to its
 * standard input through a pipe, what it prints becomes *output (*output_size bytes; the caller
 * frees it). ERR_FAILED with `remedy` ("apt-get install ...") where there is no such program, with
 * the last line of its standard error where it fails, and where a signal ends it. */
bool child_run(unsigned char **output, size_t *output_size, const char *const *argv,
               const char *input, size_t size, const char *remedy, Err *err);

#endif
