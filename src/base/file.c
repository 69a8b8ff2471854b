/*
 * Streams of stdio for their buffers, descriptors where a sync is needed. Temporary names hold the
 * process's number, so that two runs never write to the same one, and a name left behind by a
 * process that was killed is simply written over.
 */
#include "base/file.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What errno says, about `path`. */
static bool failed(Err *err, const char *path, const char *doing)
{
    bool absent = errno == ENOENT || errno == ENOTDIR;
    return err_set(err, absent ? ERR_DATA : ERR_FAILED, "%s: cannot %s: %s", path, doing,
                   strerror(errno));
}

bool file_path(char path[FILE_PATH], Err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, FILE_PATH, format, args);
    va_end(args);
    if (length >= 0 && length < FILE_PATH) return true;
    return err_set(err, ERR_FAILED, "%.200s...: the path is longer than %d bytes", path,
                   FILE_PATH - 1);
}

void file_parent(char parent[FILE_PATH], const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/') length--;
    while (length > 0 && path[length - 1] != '/') length--;
    while (length > 1 && path[length - 1] == '/') length--;
    if (length == 0)
        snprintf(parent, FILE_PATH, "%s", path[0] == '/' ? "/" : ".");
    else
        snprintf(parent, FILE_PATH, "%.*s", (int)length, path);
}

bool file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* --- Reading --- */

bool file_open(FileReader *reader, const char *path, Err *err)
{
    *reader = (FileReader){0};
    if (!file_path(reader->path, err, "%s", path)) return false;
    struct stat status;
    if (stat(path, &status) != 0) return failed(err, path, "read");
    if (!S_ISREG(status.st_mode))
        return err_set(err, ERR_DATA, "%s: is %s, not a file", path,
                       S_ISDIR(status.st_mode) ? "a folder" : "a device or a pipe");
    reader->size = (size_t)status.st_size;
    reader->stream = fopen(path, "rbe");
    return reader->stream || failed(err, path, "open");
}

bool file_take(FileReader *reader, void *out, size_t bytes, Err *err)
{
    errno = 0;
    if (bytes == 0 || fread(out, bytes, 1, reader->stream) == 1) return true;
    if (ferror(reader->stream)) return failed(err, reader->path, "read");
    return err_set(err, ERR_DATA, "%s: ends too early, within the next %zu bytes", reader->path,
                   bytes);
}

void file_close(FileReader *reader)
{
    if (reader->stream) fclose(reader->stream);
    reader->stream = NULL;
}

bool file_read(unsigned char **data, size_t *size, const char *path, size_t max, Err *err)
{
    FileReader reader;
    *data = NULL, *size = 0;
    if (!file_open(&reader, path, err)) return false;
    if (reader.size > max)
        err_set(err, ERR_DATA, "%s: has %zu bytes; at most %zu are expected", path, reader.size,
                max);
    else
        *data = memory_new(reader.size + 1, 1, path, err);
    if (*data && !file_take(&reader, *data, reader.size, err)) free(*data), *data = NULL;
    if (*data) *size = reader.size;
    file_close(&reader);
    return *data != NULL;
}

/* --- Writing --- */

bool file_create(FileWriter *writer, const char *path, Err *err)
{
    *writer = (FileWriter){0};
    struct stat status;
    bool there = stat(path, &status) == 0;
    if (there && S_ISDIR(status.st_mode))
        return err_set(err, ERR_FAILED, "%s: is a folder; give the name of a file", path);
    writer->direct = there && !S_ISREG(status.st_mode);
    if (!file_path(writer->path, err, "%s", path) ||
        !file_path(writer->temporary, err, "%s.%ld.tmp", path, (long)getpid()))
        return false;
    /* new: a link that somebody put there is not followed */
    if (!writer->direct) unlink(writer->temporary);
    writer->stream = writer->direct ? fopen(path, "wbe") : fopen(writer->temporary, "wbxe");
    if (writer->stream) return true;
    return err_set(err, ERR_FAILED, "%s: cannot write there: %s", path, strerror(errno));
}

void file_abandon(FileWriter *writer)
{
    if (!writer->stream) return;
    fclose(writer->stream);
    writer->stream = NULL;
    if (!writer->direct) unlink(writer->temporary);
}

static bool write_failed(FileWriter *writer, Err *err)
{
    err_set(err, ERR_FAILED, "%s: cannot write: %s", writer->path, strerror(errno));
    file_abandon(writer);
    return false;
}

bool file_write(FileWriter *writer, const void *data, size_t bytes, Err *err)
{
    if (bytes == 0 || fwrite(data, bytes, 1, writer->stream) == 1) return true;
    return write_failed(writer, err);
}

bool file_commit(FileWriter *writer, Err *err)
{
    errno = EIO; /* for a failure that ferror remembers from an earlier call */
    if (ferror(writer->stream) || fflush(writer->stream) != 0) return write_failed(writer, err);
    if (!writer->direct && fsync(fileno(writer->stream)) != 0) return write_failed(writer, err);
    int closed = fclose(writer->stream);
    writer->stream = NULL;
    if (closed == 0 && writer->direct) return true;
    if (closed == 0 && rename(writer->temporary, writer->path) == 0) {
        char parent[FILE_PATH];
        file_parent(parent, writer->path);
        return file_sync_folder(parent, err);
    }
    err_set(err, ERR_FAILED, "%s: cannot write: %s", writer->path, strerror(errno));
    if (!writer->direct) unlink(writer->temporary);
    return false;
}

bool file_write_whole(const char *path, const void *data, size_t bytes, Err *err)
{
    FileWriter writer;
    return file_create(&writer, path, err) && file_write(&writer, data, bytes, err) &&
           file_commit(&writer, err);
}

bool file_log_open(FileLog *log, const char *path, Err *err)
{
    log->descriptor = -1;
    if (!file_path(log->path, err, "%s", path)) return false;
    log->descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    return log->descriptor >= 0 || failed(err, path, "open for adding to it");
}

bool file_log_line(FileLog *log, const char *line, Err *err)
{
    size_t length = strlen(line), done = 0;
    char *text = malloc(length + 2);
    if (!text) return memory_refused(length + 2, log->path, err);
    snprintf(text, length + 2, "%s\n", line);
    while (done < length + 1) {
        ssize_t written = write(log->descriptor, text + done, length + 1 - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) break;
        done += (size_t)written;
    }
    free(text);
    if (done == length + 1) return true;
    return err_set(err, ERR_FAILED, "%s: cannot write: %s", log->path, strerror(errno));
}

void file_log_close(FileLog *log)
{
    if (log->descriptor >= 0) close(log->descriptor);
    log->descriptor = -1;
}

/* --- Folders --- */

static bool make_one(const char *path, Err *err)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_folder(path))) return true;
    return err_set(err, ERR_FAILED, "%s: cannot make the folder: %s", path, strerror(errno));
}

bool file_make_folder(const char *path, Err *err)
{
    char part[FILE_PATH];
    if (!file_path(part, err, "%s", path)) return false;
    for (char *at = part + (part[0] == '/'); *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (!make_one(part, err)) return false;
        *at = '/';
    }
    return make_one(part, err);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list_add(FileList *list, const char *name, const char *folder, Err *err)
{
    if ((list->count & (list->count - 1)) == 0) { /* full at each power of two */
        size_t room = list->count ? 2 * list->count : 1;
        char **grown = realloc(list->names, room * sizeof *grown);
        if (!grown) return memory_refused(room * sizeof *grown, folder, err);
        list->names = grown;
    }
    list->names[list->count] = strdup(name);
    if (!list->names[list->count]) return memory_refused(strlen(name) + 1, folder, err);
    list->count++;
    return true;
}

bool file_list(FileList *list, const char *folder, Err *err)
{
    *list = (FileList){0};
    DIR *stream = opendir(folder);
    if (!stream) return failed(err, folder, "list the folder");
    bool good = true;
    struct dirent *entry;
    while (good && (errno = 0, entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        good = list_add(list, entry->d_name, folder, err);
    }
    if (good && errno) good = failed(err, folder, "list the folder");
    closedir(stream);
    if (!good) file_list_release(list);
    if (list->count) qsort(list->names, list->count, sizeof *list->names, by_bytes);
    return good;
}

void file_list_release(FileList *list)
{
    for (size_t i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    *list = (FileList){0};
}

static bool remove_what_is_in(const char *folder, Err *err)
{
    FileList list;
    if (!file_list(&list, folder, err)) return false;
    bool good = true;
    for (size_t i = 0; i < list.count && good; i++) {
        char path[FILE_PATH];
        good = file_path(path, err, "%s/%s", folder, list.names[i]) && file_remove(path, err);
    }
    file_list_release(&list);
    return good;
}

bool file_remove(const char *path, Err *err)
{
    struct stat status;
    if (lstat(path, &status) != 0) return errno == ENOENT || failed(err, path, "remove");
    if (S_ISDIR(status.st_mode) && !remove_what_is_in(path, err)) return false;
    return remove(path) == 0 || errno == ENOENT || failed(err, path, "remove");
}

bool file_sync_folder(const char *path, Err *err)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return failed(err, path, "open the folder to sync it");
    /* EINVAL: a file system that cannot sync folders has nothing to lose by it */
    bool good = fsync(folder) == 0 || errno == EINVAL || failed(err, path, "sync the folder");
    close(folder);
    return good;
}

bool file_rename(const char *from, const char *to, Err *err)
{
    if (rename(from, to) != 0)
        return err_set(err, ERR_FAILED, "%s: cannot rename to %s: %s", from, to, strerror(errno));
    char parent[FILE_PATH];
    file_parent(parent, to);
    return file_sync_folder(parent, err);
}

bool file_link(const char *target, const char *path, Err *err)
{
    char temporary[FILE_PATH];
    if (!file_path(temporary, err, "%s.%ld.tmp", path, (long)getpid())) return false;
    unlink(temporary);
    if (symlink(target, temporary) != 0)
        return err_set(err, ERR_FAILED, "%s: cannot make a link to %s: %s", path, target,
                       strerror(errno));
    if (file_rename(temporary, path, err)) return true;
    unlink(temporary);
    return false;
}
