/*
 * A chain as a table: for people, as CSV, as JSON.
 */
#ifndef DDPM_CMD_SCHEDULE_TABLE_H
#define DDPM_CMD_SCHEDULE_TABLE_H

#include "base/json.h"
#include "diffusion/schedule.h"

#include <stdio.h>

/* What is shown: `chain` of `diffusion`, whole, or respaced by `spacing`. */
typedef struct {
    const char *config; /* the name of its file */
    const DiffusionConfig *diffusion;
    const Schedule *chain;
    bool respaced;
    Spacing spacing;
} ScheduleTable;

/* Which chain it is, in words: "diffusion.schedule = linear, T = 1000, 50 steps by linspace". */
enum { SCHEDULE_TITLE = SCHEDULE_ORIGIN + 96 };
void schedule_table_title(char out[SCHEDULE_TITLE], const ScheduleTable *table);

/* A line that says which chain it is, the columns' names, and the rows to five digits: all, or of
 * more than 25 the first and 20 spread evenly up to the last, which is then said. */
void schedule_table_text(FILE *to, const ScheduleTable *table, bool all);

/* The columns' names, then every row, with 17 digits: they read back as the same doubles. */
void schedule_table_csv(FILE *to, const ScheduleTable *table);

/* config, schedule ("betas" where they are given), zero_terminal_snr, timesteps, steps, spacing
 * (null: not respaced), and a list of each column. The caller gives it to json_free. */
Json *schedule_table_json(const ScheduleTable *table);

#endif
