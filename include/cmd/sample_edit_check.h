/*
 * Which of the options of cmd/sample_edit.h go together, and with what else.
 */
#ifndef DDPM_CMD_SAMPLE_EDIT_CHECK_H
#define DDPM_CMD_SAMPLE_EDIT_CHECK_H

#include "cmd/sample_options.h"

/* Refuse options that do not go together or lack another; the message says why. ERR_USAGE. */
bool sample_edit_check(const SampleOptions *options, Err *err);

#endif
