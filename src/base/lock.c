/*
 * The file is removed by whoever releases it. So who opened it before that may get a lock on a file
 * that has no name any more; then there is a new one to be tried, or none.
 */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_name(int descriptor, const char *path)
{
    struct stat open, named;
    return fstat(descriptor, &open) == 0 && stat(path, &named) == 0 &&
           open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

/* Who has it wrote its number into the file; 0 if it had no time to. */
static long holder(int descriptor)
{
    char text[32] = "";
    return pread(descriptor, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

static bool refuse(Lock *lock, int descriptor, Err *err)
{
    int reason = errno;
    const char *path = lock->path;
    long process = holder(descriptor);
    close(descriptor);
    if (reason != EWOULDBLOCK)
        return err_set(err, ERR_FAILED, "%s: cannot be locked: %s", path, strerror(reason));
    lock->held = true;
    if (process == 0) return err_set(err, ERR_FAILED, "%s: another process has locked it", path);
    return err_set(err, ERR_FAILED, "%s: the process %ld has locked it", path, process);
}

/* What is written is for messages alone. */
static void write_holder(int descriptor)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(descriptor, 0) == 0 && pwrite(descriptor, text, (size_t)length, 0) < 0) errno = 0;
}

static int open_folder(const char *file)
{
    char folder[FILE_PATH];
    file_parent(folder, file);
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool lock_take(Lock *lock, const char *path, Err *err)
{
    *lock = (Lock){0};
    if (!file_path(lock->path, err, "%s", path)) return false;
    for (;;) {
        int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (descriptor < 0)
            return err_set(err, ERR_FAILED, "%s: cannot be made: %s", path, strerror(errno));
        if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) return refuse(lock, descriptor, err);
        if (has_name(descriptor, path)) {
            write_holder(descriptor);
            lock->descriptor = descriptor;
            lock->folder = open_folder(path);
            return lock->taken = true;
        }
        close(descriptor);
    }
}

bool lock_is_held(const Lock *lock)
{
    return lock->taken && has_name(lock->descriptor, lock->path);
}

bool lock_folder_is_same(const Lock *lock)
{
    char folder[FILE_PATH];
    file_parent(folder, lock->path);
    return lock->taken && has_name(lock->folder, folder);
}

void lock_release(Lock *lock)
{
    if (!lock->taken) return;
    if (lock_is_held(lock)) unlink(lock->path);
    close(lock->descriptor);
    if (lock->folder >= 0) close(lock->folder);
    lock->taken = false;
}
