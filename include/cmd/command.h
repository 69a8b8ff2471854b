/*
 * The commands of the program, one file each: options in, messages and exit code out.
 */
#ifndef DDPM_CMD_COMMAND_H
#define DDPM_CMD_COMMAND_H

#include "base/err.h"
#include "base/json.h"
#include "cmd/options.h"

/* argv[0] is the command's name. Returns the exit code: 0, an ErrKind, 75 when out of the time that
 * was given, 128 + signal when interrupted. */
typedef int CommandRun(int argc, char **argv);

typedef struct {
    const OptionTable *table; /* its name and summary */
    CommandRun *run;
} Command;

CommandRun cmd_train, cmd_sample, cmd_eval, cmd_info, cmd_schedule, cmd_bench;
extern const OptionTable info_options_table;

enum { EXIT_OUT_OF_TIME = 75 };

/* `ddpm COMMAND: message` on stderr, and the exit code of the error. */
int command_fail(const char *command, const Err *err);

/* Print `json`, indented, on stdout. ERR_FAILED where there was no memory to build it. */
bool command_print_json(const Json *json, Err *err);

/* Flush stdout; exit code 0, or that of a failure to write, which is reported. */
int command_finish(const char *command);

#endif
