#include "cmd/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

int command_fail(const char *command, const Err *err)
{
    fflush(stdout);
    fprintf(stderr, "ddpm %s: %s\n", command, err->text);
    return (int)err->kind;
}

bool command_print_json(const Json *json, Err *err)
{
    char *text;
    if (!json_print(&text, json, JSON_INDENTED, err)) return false;
    puts(text);
    free(text);
    return true;
}

int command_finish(const char *command)
{
    Err err;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    if (errno == EPIPE) return 128 + SIGPIPE; /* as a program that dies of it: without a word */
    err_set(&err, ERR_FAILED, "standard output cannot be written: %s", strerror(errno));
    return command_fail(command, &err);
}
