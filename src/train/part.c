/*
 * Names alone do not tell: the kernel's own ".." is asked for the folder above, and files are
 * compared by their numbers. The folder above by name comes first: messages are to name what the
 * user named, and a link called unet in a pipeline is a part of that one.
 */
#include "train/part.h"

#include <string.h>
#include <sys/stat.h>

bool part_same_folder(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static bool last_name_is(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, name) == 0;
}

static bool holds(const char *whole, const char *const *files)
{
    char path[FILE_PATH];
    Err ignored;
    for (; *files; files++)
        if (file_path(path, &ignored, "%s/%s", whole, *files) && file_exists(path)) return true;
    return false;
}

static bool is_part(const char **part, const char *folder, const char *whole)
{
    static const char *const parts[] = {"unet", "scheduler"};
    char path[FILE_PATH];
    Err ignored;
    for (int i = 0; i < 2; i++) {
        *part = parts[i];
        if (!file_path(path, &ignored, "%s/%s", whole, parts[i])) return false;
        if (part_same_folder(path, folder)) return true;
        if (!file_exists(folder) && last_name_is(folder, parts[i])) return true;
    }
    return false;
}

bool part_find(char whole[FILE_PATH], const char **part, const char *folder,
               const char *const *beside)
{
    Err ignored;
    file_parent(whole, folder);
    if (holds(whole, beside) && is_part(part, folder, whole)) return true;
    return file_path(whole, &ignored, "%s/..", folder) && holds(whole, beside) &&
           is_part(part, folder, whole);
}
