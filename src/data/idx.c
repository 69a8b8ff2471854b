/*
 * The header is looked at first, and what it says compared with what the file can hold. Then the
 * data is unpacked straight into its place, which is all that is held of it.
 */
#include "data/idx.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_IMAGES = 0x803, MAGIC_LABELS = 0x801, MAX_DIMS = 3 };

typedef struct {
    uint32_t dims[MAX_DIMS];
    size_t header, count; /* bytes of the header, and of the data behind it */
    char path[FILE_PATH];
} IdxFile;

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool refuse_length(const IdxFile *file, const char *holds, size_t size, Err *err)
{
    return err_set(err, ERR_DATA, "%s: holds %s%zu bytes of data where its header says %zu",
                   file->path, holds, size, file->count);
}

/* The sizes of `file` by its first bytes, which are no more than it can hold. */
static bool read_header(IdxFile *file, uint32_t magic, Err *err)
{
    unsigned char start[4 + 4 * MAX_DIMS];
    size_t ndim = magic & 0xFF, size, most;
    file->header = 4 + 4 * ndim, file->count = 1;
    if (!gzip_start(start, &size, file->header, &most, file->path, err)) return false;
    uint32_t found = size >= 4 ? get_u32(start) : 0;
    if (found != magic)
        return err_set(err, ERR_DATA, "%s: starts with 0x%08X, not 0x%08X: no IDX file of %s",
                       file->path, found, magic, ndim == 1 ? "labels" : "images");
    if (size < file->header)
        return err_set(err, ERR_DATA, "%s: ends inside of its header", file->path);
    for (size_t i = 0; i < ndim; i++) {
        file->dims[i] = get_u32(start + 4 + 4 * i);
        if (file->dims[i] == 0 || file->dims[i] > INT_MAX ||
            __builtin_mul_overflow(file->count, file->dims[i], &file->count))
            return err_set(err, ERR_DATA, "%s: size %zu in its header, %u, cannot be", file->path,
                           i, file->dims[i]);
    }
    return file->count <= most - file->header ||
           refuse_length(file, "at most ", most - file->header, err);
}

/* The data, to file->count bytes. */
static bool read_data(const IdxFile *file, uint8_t *data, Err *err)
{
    size_t size;
    if (!gzip_read(data, &size, file->count, file->header, file->path, err)) return false;
    if (size > file->count) return refuse_length(file, "more than ", file->count, err);
    return size == file->count || refuse_length(file, "", size, err);
}

/* `name` or `name`.gz of the folder. */
static bool open_idx(IdxFile *file, const char *folder, const char *name, uint32_t magic, Err *err)
{
    *file = (IdxFile){0};
    if (!file_path(file->path, err, "%s/%s", folder, name)) return false;
    if (!file_exists(file->path) && !file_path(file->path, err, "%s/%s.gz", folder, name))
        return false;
    if (!file_exists(file->path))
        return err_set(err, ERR_DATA, "%s: there is no %s in it, with or without .gz", folder,
                       name);
    return read_header(file, magic, err);
}

static bool read_images(Dataset *set, const char *path, const char *name, bool labels, Err *err)
{
    IdxFile file;
    if (!open_idx(&file, path, name, MAGIC_IMAGES, err)) return false;
    *set = (Dataset){.count = (int)file.dims[0],
                     .height = (int)file.dims[1],
                     .width = (int)file.dims[2],
                     .channels = 1};
    return dataset_allocate(set, labels, file.path, err) && read_data(&file, set->pixels, err);
}

static bool read_labels(Dataset *set, const char *path, const char *name, Err *err)
{
    IdxFile file;
    if (!open_idx(&file, path, name, MAGIC_LABELS, err)) return false;
    if (file.dims[0] != (uint32_t)set->count)
        return err_set(err, ERR_DATA, "%s: holds %u labels for %d images", file.path, file.dims[0],
                       set->count);
    uint8_t *bytes = memory_new(file.count, 1, file.path, err);
    bool done = bytes && read_data(&file, bytes, err);
    for (int i = 0; done && i < set->count; i++) {
        set->labels[i] = bytes[i];
        if (bytes[i] >= set->classes) set->classes = bytes[i] + 1;
    }
    free(bytes);
    return done;
}

bool idx_read(Dataset *set, const char *path, DatasetPart part, bool labels, Err *err)
{
    bool train = part == DATASET_TRAIN;
    *set = (Dataset){0};
    bool done = read_images(set, path, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte",
                            labels, err);
    if (done && labels)
        done = read_labels(set, path, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte",
                           err);
    if (!done) dataset_release(set);
    return done;
}
