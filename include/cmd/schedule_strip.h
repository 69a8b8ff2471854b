/*
 * The forward process on an image: a row with the image, and x_t at moments up to the chain's end,
 * with the same noise at all of them, so that what is seen is one image that drowns.
 */
#ifndef DDPM_CMD_SCHEDULE_STRIP_H
#define DDPM_CMD_SCHEDULE_STRIP_H

#include "cmd/schedule_options.h"
#include "cmd/schedule_table.h"
#include "train/config.h"

/* The strip of options->image, made to be of the config's size, into the PNG options->output.
 * `said` gets the moments: "t = 100, 200, ..., 1000". ERR_USAGE for more of them than the chain has
 * steps.
 */
enum { STRIP_SAID = 160 };
bool schedule_strip_write(char said[STRIP_SAID], const ScheduleOptions *options,
                          const Config *config, const ScheduleTable *table, Err *err);

#endif
