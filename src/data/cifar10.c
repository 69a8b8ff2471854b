/*
 * The files' sizes say how many images there are, so memory is taken once and the records are
 * read one by one straight into their places.
 */
#include "data/cifar10.h"

#include "base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { PLANE = CIFAR10_SIDE * CIFAR10_SIDE };

static bool is_of_part(const char *name, DatasetPart part)
{
    if (part == DATASET_TEST) return strcmp(name, "test_batch.bin") == 0;
    size_t length = strlen(name);
    return length > 15 && strncmp(name, "data_batch_", 11) == 0 &&
           strcmp(name + length - 4, ".bin") == 0;
}

/* Keep the names of the part's files alone. */
static void keep_part(FileList *list, DatasetPart part)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (is_of_part(list->names[i], part)) {
            char *name = list->names[i];
            list->names[i] = list->names[kept];
            list->names[kept++] = name;
        }
    for (size_t i = kept; i < list->count; i++) free(list->names[i]);
    list->count = kept;
}

static bool count_records(int *count, const char *path, Err *err)
{
    FileReader reader;
    if (!file_open(&reader, path, err)) return false;
    size_t records = reader.size / CIFAR10_RECORD, rest = reader.size % CIFAR10_RECORD;
    file_close(&reader);
    if (rest != 0)
        return err_set(err, ERR_DATA,
                       "%s: record %zu ends after %zu of its %d bytes; fetch the file again", path,
                       records, rest, CIFAR10_RECORD);
    if (records == 0)
        return err_set(err, ERR_DATA, "%s: holds no record; fetch the file again", path);
    if (records > (size_t)(INT_MAX - *count))
        return err_set(err, ERR_DATA, "%s: %zu records are more than can be counted", path,
                       records);
    *count += (int)records;
    return true;
}

static void from_planes(uint8_t *pixels, const uint8_t *planes)
{
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CIFAR10_CHANNELS; c++) *pixels++ = planes[c * PLANE + i];
}

/* Read the records of `path` to image *next of the set and on. */
static bool read_records(Dataset *set, int *next, const char *path, Err *err)
{
    FileReader reader;
    if (!file_open(&reader, path, err)) return false;
    size_t records = reader.size / CIFAR10_RECORD;
    bool good = true;
    for (size_t i = 0; good && i < records && *next < set->count; i++, (*next)++) {
        uint8_t record[CIFAR10_RECORD];
        good = file_take(&reader, record, sizeof record, err);
        if (good && record[0] >= CIFAR10_CLASSES)
            good = err_set(err, ERR_DATA,
                           "%s: record %zu has label %d, above %d: not CIFAR-10's "
                           "binary version",
                           path, i, record[0], CIFAR10_CLASSES - 1);
        if (!good) break;
        set->labels[*next] = record[0];
        from_planes(dataset_image(set, *next), record + 1);
    }
    file_close(&reader);
    return good;
}

/* The files `list` of `folder` ("" if the names are whole paths) into `set`. */
static bool read_files(Dataset *set, const char *folder, const FileList *list, Err *err)
{
    char path[FILE_PATH];
    int next = 0;
    for (size_t i = 0; i < list->count; i++)
        if (!file_path(path, err, "%s%s%s", folder, *folder ? "/" : "", list->names[i]) ||
            !count_records(&set->count, path, err))
            return false;
    if (!dataset_allocate(set, true, path, err)) return false;
    for (size_t i = 0; i < list->count; i++)
        if (!file_path(path, err, "%s%s%s", folder, *folder ? "/" : "", list->names[i]) ||
            !read_records(set, &next, path, err))
            return false;
    return true;
}

static bool read_folder(Dataset *set, const char *path, DatasetPart part, Err *err)
{
    FileList list;
    if (!file_list(&list, path, err)) return false;
    keep_part(&list, part);
    bool done = list.count > 0
                    ? read_files(set, path, &list, err)
                    : err_set(err, ERR_DATA,
                              "%s: there is no %s in it; scripts/fetch_cifar10.sh "
                              "fetches CIFAR-10",
                              path, part == DATASET_TEST ? "test_batch.bin" : "data_batch_*.bin");
    file_list_release(&list);
    return done;
}

bool cifar10_read(Dataset *set, const char *path, DatasetPart part, Err *err)
{
    *set = (Dataset){.height = CIFAR10_SIDE,
                     .width = CIFAR10_SIDE,
                     .channels = CIFAR10_CHANNELS,
                     .classes = CIFAR10_CLASSES};
    char copy[FILE_PATH], *names[] = {copy};
    FileList alone = {names, 1};
    bool done = file_path(copy, err, "%s", path) &&
                (file_is_folder(path) ? read_folder(set, path, part, err)
                                      : read_files(set, "", &alone, err));
    if (!done) dataset_release(set);
    return done;
}
