/*
 * What `ddpm eval` is told to read and to write, looked at before the long work, not after it.
 */
#ifndef DDPM_CMD_EVAL_CHECK_H
#define DDPM_CMD_EVAL_CHECK_H

#include "cmd/eval_options.h"

/* Refuse --csv and --pairs that cannot be written where they are (ERR_USAGE a folder, ERR_FAILED
 * otherwise), and files to read that cannot be: ERR_DATA where there are none, or ERR_FAILED. */
bool eval_check(const EvalOptions *options, Err *err);

#endif
