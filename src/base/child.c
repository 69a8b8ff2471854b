/*
 * What the program prints goes to files without a name: two pipes to read while a third is written
 * to would need to be waited for in turn. It may end before it has read all, which must not end us:
 * SIGPIPE is ignored meanwhile.
 */
#include "base/child.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct {
    const char *name;
    pid_t id;
    int to;            /* its standard input */
    FILE *out, *error; /* what it prints */
} Child;

static bool failed(const Child *c, const char *what, int reason, Err *err)
{
    return err_set(err, ERR_FAILED, "%s: cannot %s: %s", c->name, what, strerror(reason));
}

/* Its descriptors 0, 1 and 2; its signals as they were before us. */
static int spawn(Child *c, const char *const *argv, int from)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, from, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, fileno(c->out), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, fileno(c->error), STDERR_FILENO);
    posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int reason =
        posix_spawnp(&c->id, c->name, &files, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return reason;
}

static bool start(Child *c, const char *const *argv, const char *remedy, Err *err)
{
    int ends[2];
    if (pipe(ends) != 0) return failed(c, "make a pipe", errno, err);
    /* or it would hold the end that it waits to see closed */
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    int reason = spawn(c, argv, ends[0]);
    close(ends[0]);
    c->to = ends[1];
    if (reason == 0) return true;
    close(ends[1]);
    if (reason != ENOENT) return failed(c, "start it", reason, err);
    return err_set(err, ERR_FAILED, "%s is not installed (no folder of $PATH has it): %s", c->name,
                   remedy);
}

/* As much as it reads: what it says of the rest is in its exit status. */
static void feed(const Child *c, const char *input, size_t size)
{
    while (size > 0) {
        ssize_t written = write(c->to, input, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return;
        input += written;
        size -= (size_t)written;
    }
}

static int wait_for(pid_t id)
{
    int status = -1;
    while (waitpid(id, &status, 0) < 0 && errno == EINTR) continue;
    return status;
}

/* All that a file without a name holds, and a zero byte behind it. */
static bool collect(unsigned char **data, size_t *size, const Child *c, FILE *from, Err *err)
{
    long end = fseek(from, 0, SEEK_END) == 0 ? ftell(from) : -1;
    if (end < 0 || fseek(from, 0, SEEK_SET) != 0)
        return failed(c, "read what it prints", errno, err);
    *size = (size_t)end;
    *data = malloc(*size + 1);
    if (!*data) return memory_refused(*size + 1, c->name, err);
    (*data)[*size] = 0;
    if (*size == 0 || fread(*data, *size, 1, from) == 1) return true;
    free(*data);
    *data = NULL;
    return failed(c, "read what it prints", errno, err);
}

/* The last line with something in it: where programs say what stopped them. */
static char *last_line(char *text)
{
    size_t end = strlen(text);
    while (end > 0 && strchr(" \n\r\t", text[end - 1])) end--;
    text[end] = 0;
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static bool ended_badly(const Child *c, int status, Err *err)
{
    unsigned char *said;
    size_t size;
    if (WIFSIGNALED(status))
        return err_set(err, ERR_FAILED, "%s was ended by signal %d", c->name, WTERMSIG(status));
    err_set(err, ERR_FAILED, "%s failed (exit code %d)", c->name, WEXITSTATUS(status));
    Err ignored;
    if (!collect(&said, &size, c, c->error, &ignored)) return false;
    const char *line = last_line((char *)said);
    if (*line) err_set(err, ERR_FAILED, "%s failed: %.400s", c->name, line);
    free(said);
    return false;
}

static bool run(Child *c, unsigned char **output, size_t *output_size, const char *const *argv,
                const char *input, size_t size, const char *remedy, Err *err)
{
    if (!start(c, argv, remedy, err)) return false;
    feed(c, input, size);
    close(c->to);
    int status = wait_for(c->id);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return ended_badly(c, status, err);
    return collect(output, output_size, c, c->out, err);
}

bool child_run(unsigned char **output, size_t *output_size, const char *const *argv,
               const char *input, size_t size, const char *remedy, Err *err)
{
    Child c = {.name = argv[0], .out = tmpfile(), .error = tmpfile()};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    bool ok = c.out && c.error ? run(&c, output, output_size, argv, input, size, remedy, err)
                               : failed(&c, "make a temporary file", errno, err);
    sigaction(SIGPIPE, &before, NULL);
    if (c.out) fclose(c.out);
    if (c.error) fclose(c.error);
    return ok;
}
