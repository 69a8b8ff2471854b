/*
 * The curves of a chain as a PNG, drawn by gnuplot: alpha-bar; the signal-to-noise ratio; beta and
 * beta-tilde; the coefficients of the posterior's mean.
 */
#ifndef DDPM_CMD_SCHEDULE_CHART_H
#define DDPM_CMD_SCHEDULE_CHART_H

#include "cmd/schedule_table.h"

/* Into the file `path`, which at any instant is whole or as it was. ERR_USAGE for a chain of
 * one step; ERR_FAILED where gnuplot is not installed (the message says how to get it) or fails. */
bool schedule_chart_write(const char *path, const ScheduleTable *table, Err *err);

#endif
