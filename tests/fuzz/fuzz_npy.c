/*
 * Arrays of images, and of features. An input of one part is the file itself, .npy or .npz. Of two
 * or three, cut at lines "==", those behind the first are the members arr_0.npy and arr_1.npy of a
 * .npz that is made here, whose checksums are then right.
 */
#include "fuzz/fuzz.h"

#include "base/npy.h"
#include "base/zip.h"
#include "data/dataset_open.h"
#include "data/npy_images.h"
#include "eval/features.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What was read is written and read again. */
static void write_again(const Array *array)
{
    Array again;
    Err err;
    const char *path = fuzz_path("again");
    fuzz_require(npy_write(path, array, &err), "an array that was read is written");
    fuzz_require(npy_read(&again, path, &err), "and read again");
    fuzz_require(again.type == array->type && again.ndim == array->ndim, "as what it was");
    fuzz_require(memcmp(again.shape, array->shape, sizeof again.shape) == 0, "its shape stays");
    size_t bytes = array->count * array_type_size(array->type);
    fuzz_require(bytes == 0 || memcmp(again.data, array->data, bytes) == 0, "its elements stay");
    array_release(&again);
}

static void read_array(const char *path, size_t size)
{
    Array array;
    Err err;
    if (!npy_read(&array, path, &err)) {
        fuzz_refused(&err);
        return;
    }
    size_t bytes = array.count * array_type_size(array.type);
    fuzz_require(zip_is_archive(path) || bytes < size, "an array is no larger than its file");
    fuzz_touch(array.data, bytes);
    write_again(&array);
    array_release(&array);
}

static void read_images(const char *path, bool labels)
{
    Dataset set;
    Err err;
    if (!npy_images_read(&set, path, labels, &err)) {
        fuzz_refused(&err);
        fuzz_require(!set.pixels && !set.labels, "a set that was refused is empty");
        return;
    }
    size_t image = (size_t)set.height * (size_t)set.width * (size_t)set.channels;
    fuzz_require(set.channels == 1 || set.channels == 3, "images are grey or colour");
    fuzz_touch(set.pixels, (size_t)set.count * image);
    fuzz_touch(dataset_image(&set, set.count - 1), image);
    for (int i = 0; set.labels && i < set.count; i++)
        fuzz_require(set.labels[i] >= 0 && set.labels[i] < set.classes, "labels are of classes");
    dataset_release(&set);
}

/* As training has them, by the sizes of the config. */
static void open_images(const char *path, Fit fit)
{
    DataConfig config = {.format = DATA_NPY, .fit = fit};
    snprintf(config.path, sizeof config.path, "%s", path);
    for (int channels = 1; channels <= 3; channels += 2) {
        Dataset set;
        Err err;
        if (!dataset_open(&set, &config, DATASET_TRAIN, 5, 7, channels, &err)) {
            fuzz_refused(&err);
            continue;
        }
        fuzz_require(set.height == 5 && set.width == 7, "images have the size that is asked for");
        fuzz_touch(set.pixels, dataset_bytes(&set));
        dataset_release(&set);
    }
}

static void read_features(const char *path)
{
    Features features;
    Err err;
    if (!features_read(&features, path, &err)) {
        fuzz_refused(&err);
        fuzz_require(!features.rows, "features that were refused are none");
        return;
    }
    for (size_t i = 0; i < (size_t)features.count * (size_t)features.dim; i++)
        fuzz_require(isfinite(features.rows[i]), "features are finite");
    features_release(&features);
}

static const char *make_archive(const FuzzPart *parts, int count)
{
    static const char *const names[] = {"arr_0.npy", "arr_1.npy"};
    ZipMember members[2] = {{0}};
    Err err;
    const char *path = fuzz_path("input");
    for (int i = 0; i < count; i++)
        members[i] =
            (ZipMember){.name = names[i], .data = parts[i].data, .data_size = parts[i].size};
    fuzz_require(zip_write(path, members, (size_t)count, &err), "an archive is written");
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzPart parts[3];
    int count = fuzz_split(parts, 3, data, size);
    const char *path = count > 1 ? make_archive(parts + 1, count - 1) : fuzz_file(data, size);
    read_array(path, size);
    path = fuzz_path("input");
    read_images(path, false);
    if (zip_is_archive(path)) read_images(path, true);
    open_images(path, FIT_RESIZE);
    open_images(path, FIT_PAD);
    read_features(path);
    return 0;
}
