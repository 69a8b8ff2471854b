#include "cmd/sample_output.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/npy.h"
#include "data/grid.h"
#include "data/pixels.h"
#include "train/generate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcasecmp(path + length - tail, ending) == 0;
}

bool sample_output_kind(OutputKind *kind, const char *path, bool as_float, Err *err)
{
    *kind = OUTPUT_FOLDER;
    if (ends_with(path, ".png")) *kind = OUTPUT_GRID;
    if (ends_with(path, ".npz")) *kind = OUTPUT_NPZ;
    if (ends_with(path, ".npy")) *kind = as_float ? OUTPUT_FLOATS : OUTPUT_NPY;
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    bool named_like_a_file = dot && dot != path && (!slash || dot > slash + 1) && dot[1] != '\0';
    if (*kind == OUTPUT_FOLDER && named_like_a_file && !file_is_folder(path))
        return err_set(err, ERR_USAGE,
                       "--output %s: %s is no ending of an output; use .png, .npy, .npz, or the "
                       "name of a folder",
                       path, dot);
    if (as_float && *kind != OUTPUT_FLOATS)
        return err_set(err, ERR_USAGE, "--float writes .npy files, and --output is %s", path);
    return true;
}

size_t sample_output_floats(const SampleOutput *o)
{
    return (size_t)o->height * (size_t)o->width * (size_t)o->channels;
}

static GridDims grid_dims(const SampleOutput *o)
{
    return (GridDims){o->count, o->height, o->width, o->channels, o->columns};
}

/* What `path` would be made in: the nearest folder above it that there is. */
static void nearest_folder(char folder[FILE_PATH], const char *path)
{
    file_parent(folder, path);
    while (!file_exists(folder)) {
        char below[FILE_PATH];
        memcpy(below, folder, sizeof below);
        file_parent(folder, below);
    }
}

/* Asked before the hours of sampling, not after them. */
static bool check_writable(const SampleOutput *o, Err *err)
{
    char folder[FILE_PATH];
    if (file_is_folder(o->path))
        snprintf(folder, sizeof folder, "%s", o->path);
    else
        nearest_folder(folder, o->path);
    if (access(folder, W_OK | X_OK) == 0) return true;
    return err_set(err, ERR_FAILED, "--output %s: cannot write in the folder %s: %s", o->path,
                   folder, strerror(errno));
}

bool sample_output_check(const SampleOutput *o, Err *err)
{
    char parent[FILE_PATH];
    file_parent(parent, o->path);
    if (o->kind != OUTPUT_FOLDER && file_is_folder(o->path))
        return err_set(err, ERR_USAGE, "--output %s is a folder; name a file in it", o->path);
    if (o->kind != OUTPUT_FOLDER && !file_is_folder(parent))
        return err_set(err, ERR_FAILED, "--output %s: there is no folder %s", o->path, parent);
    if (o->kind == OUTPUT_FOLDER && file_exists(o->path) && !file_is_folder(o->path))
        return err_set(err, ERR_USAGE, "--output %s is a file, and no ending says of which kind",
                       o->path);
    if (!check_writable(o, err)) return false;
    if (o->kind != OUTPUT_GRID) return true;
    Image grid = {0};
    bool ok = grid_new(&grid, grid_dims(o), err);
    image_release(&grid);
    return ok;
}

/* [N,H,W,C] of bytes. */
static bool to_bytes(Array *array, const SampleOutput *o, const float *images, Err *err)
{
    size_t shape[] = {(size_t)o->count, (size_t)o->height, (size_t)o->width, (size_t)o->channels};
    if (!array_init(array, ARRAY_U8, 4, shape, "the samples", err)) return false;
    pixels_to_bytes(array->data, images, array->count);
    return true;
}

static bool write_npy(const SampleOutput *o, const float *images, Err *err)
{
    Array array;
    if (!to_bytes(&array, o, images, err)) return false;
    bool ok = npy_write(o->path, &array, err);
    array_release(&array);
    return ok;
}

static bool draw_labels(Array *labels, const SampleOutput *o, Err *err)
{
    if (!array_init(labels, ARRAY_I64, 1, (size_t[]){(size_t)o->count}, "the labels", err))
        return false;
    int64_t *label = labels->data;
    for (int i = 0; i < o->count; i++)
        label[i] = conditioning_class(o->classes, o->first + (uint32_t)i);
    return true;
}

/* With the labels, if there are any, as guided-diffusion does: what is trained on .npz reads both.
 */
static bool write_npz(const SampleOutput *o, const float *images, Err *err)
{
    Array array, labels = {0};
    if (!to_bytes(&array, o, images, err)) return false;
    NpzEntry entries[] = {{"arr_0", &array}, {"arr_1", &labels}};
    bool labelled = conditioning_class(o->classes, o->first) >= 0;
    bool ok = (!labelled || draw_labels(&labels, o, err)) &&
              npz_write(o->path, entries, labelled ? 2 : 1, err);
    array_release(&labels);
    array_release(&array);
    return ok;
}

/* [N,H,W,C] to [N,C,H,W]. */
static bool write_floats(const SampleOutput *o, const float *images, Err *err)
{
    size_t shape[] = {(size_t)o->count, (size_t)o->channels, (size_t)o->height, (size_t)o->width};
    size_t channels = shape[1], pixels = shape[2] * shape[3];
    Array array;
    if (!array_init(&array, ARRAY_F32, 4, shape, "the samples", err)) return false;
    float *out = array.data;
    for (size_t i = 0; i < shape[0]; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                out[(i * channels + c) * pixels + p] = images[(i * pixels + p) * channels + c];
    bool ok = npy_write(o->path, &array, err);
    array_release(&array);
    return ok;
}

static bool write_grid(const SampleOutput *o, const float *images, Err *err)
{
    Provenance how = *o->how;
    PngText texts[PROVENANCE_MAX];
    provenance_add_range(&how, o->classes, o->first, o->count);
    return grid_write(o->path, images, grid_dims(o), texts, provenance_texts(texts, &how), err);
}

bool sample_output_write(const SampleOutput *o, const float *images, Err *err)
{
    assert(o->kind != OUTPUT_FOLDER);
    switch (o->kind) {
    case OUTPUT_GRID:
        return write_grid(o, images, err);
    case OUTPUT_FLOATS:
        return write_floats(o, images, err);
    case OUTPUT_NPZ:
        return write_npz(o, images, err);
    default:
        return write_npy(o, images, err);
    }
}
