/*
 * Descriptors 0, 1 and 2, which a program is given. One that is not open when it starts would be
 * that of the first file it opens, into which it would then print.
 */
#ifndef DDPM_BASE_DESCRIPTORS_H
#define DDPM_BASE_DESCRIPTORS_H

#include <stdbool.h>

/* Open those that are closed on /dev/null: standard input not for reading, standard output not for
 * writing, so that using them stays the error that it was; standard error for writing, where a
 * message is lost as before. Before any file is opened. False if one could not be. */
bool descriptors_occupy(void);

#endif
