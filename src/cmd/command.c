#include "cmd/command.h"

#include <errno.h>
#include <string.h>

int command_fail(const char *command, const Err *err)
{
    fflush(stdout);
    fprintf(stderr, "ddpm %s: %s\n", command, err->text);
    return (int)err->kind;
}

int command_finish(const char *command)
{
    Err err;
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    err_set(&err, ERR_FAILED, "standard output cannot be written: %s", strerror(errno));
    return command_fail(command, &err);
}
