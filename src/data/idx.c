/*
 * A file is unpacked whole and its length compared with what its header says: gzip knows no better
 * way, and the images would be in memory anyway. But no more is unpacked than the header, which is
 * looked at first, has a place for.
 */
#include "data/idx.h"

#include "base/file.h"
#include "base/zip.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_IMAGES = 0x803, MAGIC_LABELS = 0x801, MAX_DIMS = 3 };

static const size_t MAX_BYTES = (size_t)1 << 34; /* of an unpacked file */

typedef struct {
    unsigned char *bytes; /* the whole file */
    const uint8_t *data;  /* what follows the header */
    uint32_t dims[MAX_DIMS];
    char path[FILE_PATH];
} IdxFile;

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The sizes of `file` by its first bytes, and with them how many it has to have. */
static bool read_header(IdxFile *file, size_t *bytes, uint32_t magic, Err *err)
{
    unsigned char start[4 + 4 * MAX_DIMS];
    size_t ndim = magic & 0xFF, header = 4 + 4 * ndim, count = 1, size;
    if (!gzip_start(start, &size, header, file->path, err)) return false;
    uint32_t found = size >= 4 ? get_u32(start) : 0;
    if (found != magic)
        return err_set(err, ERR_DATA, "%s: starts with 0x%08X, not 0x%08X: no IDX file of %s",
                       file->path, found, magic, ndim == 1 ? "labels" : "images");
    if (size < header) return err_set(err, ERR_DATA, "%s: ends inside of its header", file->path);
    for (size_t i = 0; i < ndim; i++) {
        file->dims[i] = get_u32(start + 4 + 4 * i);
        if (file->dims[i] == 0 || file->dims[i] > INT_MAX || count > MAX_BYTES / file->dims[i])
            return err_set(err, ERR_DATA, "%s: size %zu in its header, %u, cannot be", file->path,
                           i, file->dims[i]);
        count *= file->dims[i];
    }
    *bytes = header + count;
    return true;
}

/* One byte too many is read, to know of it. */
static bool read_data(IdxFile *file, size_t bytes, uint32_t magic, Err *err)
{
    size_t size, header = 4 + 4 * (size_t)(magic & 0xFF);
    if (!gzip_read(&file->bytes, &size, file->path, bytes + 1, err)) return false;
    file->data = file->bytes + header;
    if (size == bytes) return true;
    free(file->bytes);
    return err_set(err, ERR_DATA, "%s: holds %zu bytes of data where its header says %zu",
                   file->path, size - header, bytes - header);
}

/* `name` or `name`.gz of the folder. */
static bool open_idx(IdxFile *file, const char *folder, const char *name, uint32_t magic, Err *err)
{
    size_t bytes = 0;
    *file = (IdxFile){0};
    if (!file_path(file->path, err, "%s/%s", folder, name)) return false;
    if (!file_exists(file->path) && !file_path(file->path, err, "%s/%s.gz", folder, name))
        return false;
    if (!file_exists(file->path))
        return err_set(err, ERR_DATA, "%s: there is no %s in it, with or without .gz", folder,
                       name);
    return read_header(file, &bytes, magic, err) && read_data(file, bytes, magic, err);
}

static bool read_images(Dataset *set, const char *path, const char *name, bool labels, Err *err)
{
    IdxFile file;
    if (!open_idx(&file, path, name, MAGIC_IMAGES, err)) return false;
    *set = (Dataset){.count = (int)file.dims[0],
                     .height = (int)file.dims[1],
                     .width = (int)file.dims[2],
                     .channels = 1};
    bool done = dataset_allocate(set, labels, file.path, err);
    if (done) memcpy(set->pixels, file.data, (size_t)file.dims[0] * file.dims[1] * file.dims[2]);
    free(file.bytes);
    return done;
}

static bool read_labels(Dataset *set, const char *path, const char *name, Err *err)
{
    IdxFile file;
    if (!open_idx(&file, path, name, MAGIC_LABELS, err)) return false;
    bool same = file.dims[0] == (uint32_t)set->count;
    for (int i = 0; same && i < set->count; i++) {
        set->labels[i] = file.data[i];
        if (file.data[i] >= set->classes) set->classes = file.data[i] + 1;
    }
    if (!same)
        err_set(err, ERR_DATA, "%s: holds %u labels for %d images", file.path, file.dims[0],
                set->count);
    free(file.bytes);
    return same;
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
