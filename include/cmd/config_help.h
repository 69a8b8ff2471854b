/*
 * The list of a config's keys that `ddpm help config` prints and the README shows.
 */
#ifndef DDPM_CMD_CONFIG_HELP_H
#define DDPM_CMD_CONFIG_HELP_H

#include "base/err.h"

#include <stdio.h>

/* Each key with its default, its meaning and its values. ERR_FAILED without memory. */
bool config_help(FILE *to, Err *err);

#endif
