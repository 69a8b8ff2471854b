/*
 * First the names of all files are collected, so that their number is known, the order does not
 * depend on the file system, and threads can decode them side by side, many in one call.
 */
#include "data/folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TOGETHER = 64 }; /* files that a thread takes at a time */

typedef struct {
    char *path;
    int32_t label;
} Entry;

typedef struct {
    Entry *entries;
    int count, room;
    int classes;
} Entries;

static void release_entries(Entries *all)
{
    for (int i = 0; i < all->count; i++) free(all->entries[i].path);
    free(all->entries);
    *all = (Entries){0};
}

static bool add_entry(Entries *all, const char *path, int32_t label, Err *err)
{
    if (all->count == all->room) {
        int room = all->room > 0 ? 2 * all->room : 256;
        Entry *entries = realloc(all->entries, (size_t)room * sizeof *entries);
        if (!entries) return memory_refused((size_t)room * sizeof *entries, path, err);
        all->entries = entries;
        all->room = room;
    }
    Entry entry = {strdup(path), label};
    if (!entry.path) return memory_refused(strlen(path) + 1, path, err);
    all->entries[all->count++] = entry;
    return true;
}

/* Add the images that lie in `folder` itself. */
static bool add_images(Entries *all, const char *folder, int32_t label, Err *err)
{
    FileList list;
    char path[FILE_PATH];
    bool good = true;
    if (!file_list(&list, folder, err)) return false;
    for (size_t i = 0; good && i < list.count; i++)
        if (list.names[i][0] != '.' && image_has_ending(list.names[i]))
            good = file_path(path, err, "%s/%s", folder, list.names[i]) &&
                   add_entry(all, path, label, err);
    file_list_release(&list);
    return good;
}

/* Add the images in the sub-folders of `folder`, by the names that the sub-folders of `names` have:
 * in both parts of a set a class has one number. */
static bool add_classes(Entries *all, const char *folder, const char *names, Err *err)
{
    FileList list;
    char path[FILE_PATH];
    bool good = true;
    if (!file_list(&list, names, err)) return false;
    for (size_t i = 0; good && i < list.count; i++) {
        good = file_path(path, err, "%s/%s", names, list.names[i]);
        if (!good || list.names[i][0] == '.' || !file_is_folder(path)) continue;
        good = file_path(path, err, "%s/%s", folder, list.names[i]) &&
               (!file_is_folder(path) || add_images(all, path, all->classes, err));
        all->classes++;
    }
    file_list_release(&list);
    return good;
}

static bool collect(Entries *all, const char *folder, const char *names, Err *err)
{
    if (!add_classes(all, folder, names, err)) return false;
    int in_classes = all->count;
    if (!add_images(all, folder, 0, err)) return false;
    if (all->count == 0)
        return err_set(err, ERR_DATA, "%s: there is no image (.png, .jpg, .jpeg, .bmp) in it",
                       folder);
    if (in_classes > 0 && all->count > in_classes)
        return err_set(err, ERR_DATA,
                       "%s: lies beside the sub-folders that are the classes; move it into one",
                       all->entries[in_classes].path);
    if (in_classes == 0) all->classes = 0;
    return true;
}

static bool fit_entry(uint8_t *pixels, const Dataset *set, const Image *image, const char *path,
                      Err *err)
{
    Image fitted;
    if (!image_fit(&fitted, image, set->height, set->width, err))
        return err_prefix(err, "%s", path);
    memcpy(pixels, fitted.pixels, image_bytes(&fitted));
    image_release(&fitted);
    return true;
}

/* Images first .. first+*count-1, or fewer: *count. On false image first+*count is bad. */
static bool read_some(Dataset *set, const Entries *all, int first, int *count, Err *err)
{
    Image images[TOGETHER];
    const char *paths[TOGETHER];
    int fitted = 0;
    for (int i = 0; i < *count; i++) paths[i] = all->entries[first + i].path;
    if (!image_read_some(images, count, paths, set->channels, err)) return false;
    while (fitted < *count &&
           fit_entry(dataset_image(set, first + fitted), set, &images[fitted], paths[fitted], err))
        fitted++;
    for (int i = 0; i < *count; i++) image_release(&images[i]);
    bool done = fitted == *count;
    *count = fitted;
    return done;
}

/* All images, by all threads; the error that is told is that of the first in order. */
static bool read_entries(Dataset *set, const Entries *all, Err *err)
{
    int failed = set->count;
#pragma omp parallel for schedule(dynamic)
    for (int block = 0; block < set->count; block += TOGETHER) {
        Err own;
        int known, end = block + TOGETHER < set->count ? block + TOGETHER : set->count;
        for (int i = block, count; i < end; i += count) {
            count = end - i;
#pragma omp atomic read
            known = failed;
            if (known < i) break;
            if (read_some(set, all, i, &count, &own)) continue;
#pragma omp critical
            if (i + count < failed) {
#pragma omp atomic write
                failed = i + count;
                *err = own;
            }
            break;
        }
    }
    return failed == set->count;
}

/* The folder of the part, and the one whose sub-folders name the classes. */
static bool choose_part(char folder[FILE_PATH], char names[FILE_PATH], const char *path,
                        DatasetPart part, Err *err)
{
    char test[FILE_PATH];
    if (!file_path(names, err, "%s/train", path) || !file_path(test, err, "%s/test", path))
        return false;
    if (!file_is_folder(names) || !file_is_folder(test))
        return file_path(names, err, "%s", path) && file_path(folder, err, "%s", path);
    return file_path(folder, err, "%s", part == DATASET_TRAIN ? names : test);
}

bool folder_read(Dataset *set, const char *path, DatasetPart part, int height, int width,
                 int channels, Err *err)
{
    char folder[FILE_PATH], names[FILE_PATH];
    Entries all = {0};
    *set = (Dataset){.height = height, .width = width, .channels = channels};
    bool done = choose_part(folder, names, path, part, err) && collect(&all, folder, names, err);
    if (done) {
        set->count = all.count;
        set->classes = all.classes;
        done = dataset_allocate(set, all.classes > 0, folder, err);
        assert(!done || set->count == all.count);
    }
    for (int i = 0; done && set->labels && i < set->count; i++)
        set->labels[i] = all.entries[i].label;
    done = done && read_entries(set, &all, err);
    release_entries(&all);
    if (!done) dataset_release(set);
    return done;
}
