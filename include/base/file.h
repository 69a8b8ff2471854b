/*
 * Files and folders of POSIX. Whatever other programs or a later run will read is written under a
 * temporary name, synced and renamed, so that a name never holds half a file, whenever the power or
 * the process goes. Every failing call is an error that names the path and the system's reason.
 *
 * A thing to be read that is missing or of the wrong kind is ERR_DATA; what the machine refuses
 * (permission, space, input or output) is ERR_FAILED.
 */
#ifndef DDPM_BASE_FILE_H
#define DDPM_BASE_FILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

enum { FILE_PATH = 4096 }; /* bytes of a path, its end included */

/* Make a path in the manner of printf: file_path(path, err, "%s/%s", folder, name). False if it
 * does not fit. `path` may not be among the arguments. */
bool file_path(char path[FILE_PATH], Err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The folder that `path` is in: "a" of "a/b", "." of "b", "/" of "/b". */
void file_parent(char parent[FILE_PATH], const char *path);

bool file_exists(const char *path); /* of any kind; a dangling link does not exist */
bool file_is_folder(const char *path);

/* --- Reading --- */

/* A regular file, read from its start to its end. */
typedef struct {
    FILE *stream;
    size_t size; /* of the whole file, bytes */
    char path[FILE_PATH];
} FileReader;

bool file_open(FileReader *reader, const char *path, Err *err);
/* The next `bytes`; fewer left is an error. */
bool file_take(FileReader *reader, void *out, size_t bytes, Err *err);
void file_close(FileReader *reader);

/* The whole file, and one zero byte behind its end that `size` does not count. More than `max`
 * bytes is an error. The caller frees *data. */
bool file_read(unsigned char **data, size_t *size, const char *path, size_t max, Err *err);

/* --- Writing --- */

/* A file that appears at `path`, whole, at file_commit. A path that is there and is no regular file
 * (/dev/stdout, a pipe) is written to as it stands. */
typedef struct {
    FILE *stream; /* may be printed to; file_commit sees what went wrong */
    bool direct;
    char path[FILE_PATH], temporary[FILE_PATH];
} FileWriter;

bool file_create(FileWriter *writer, const char *path, Err *err);
/* On false the writer has been abandoned. */
bool file_write(FileWriter *writer, const void *data, size_t bytes, Err *err);
/* Sync, close, rename, sync the folder. On false nothing is left but what was there before. */
bool file_commit(FileWriter *writer, Err *err);
/* Remove what was written. Harmless after file_commit or a failure. */
void file_abandon(FileWriter *writer);

/* The three calls in one. */
bool file_write_whole(const char *path, const void *data, size_t bytes, Err *err);

/* A file that lines are added to, each in one write, so that a reader sees whole lines. */
typedef struct {
    int descriptor; /* -1: not open */
    char path[FILE_PATH];
} FileLog;

bool file_log_open(FileLog *log, const char *path, Err *err);
bool file_log_line(FileLog *log, const char *line, Err *err); /* adds the newline */
void file_log_close(FileLog *log);

/* --- Folders --- */

/* With the folders above it; no error if it is there. */
bool file_make_folder(const char *path, Err *err);

typedef struct {
    char **names; /* sorted by their bytes, without . and .. */
    size_t count;
} FileList;

bool file_list(FileList *list, const char *folder, Err *err);
void file_list_release(FileList *list);

/* A file, a link (not what it points to) or a folder and all that is in it; no error if it is not
 * there. */
bool file_remove(const char *path, Err *err);

/* Make the names in a folder survive a loss of power. */
bool file_sync_folder(const char *path, Err *err);

/* rename(2), then sync the folder that `to` is in. */
bool file_rename(const char *from, const char *to, Err *err);

/* Make `path` a symbolic link to `target`, replacing another link in one step, and sync its
 * folder. */
bool file_link(const char *target, const char *path, Err *err);

#endif
