/*
 * A reader of a format gives the images as they are; what is common to all formats (where the path
 * is, sizes, channels, labels) is settled here.
 */
#include "data/dataset_open.h"

#include "base/file.h"
#include "data/cifar10.h"
#include "data/folder.h"
#include "data/idx.h"
#include "data/image.h"
#include "data/npy_images.h"
#include "data/shapes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Where the data is --- */

static const char *remedy(DataFormat format)
{
    switch (format) {
    case DATA_CIFAR10:
        return "scripts/fetch_cifar10.sh fetches CIFAR-10";
    case DATA_IDX:
        return "Debian's package dataset-fashion-mnist holds such data in "
               "/usr/share/datasets/fashion-mnist";
    default:
        return "data.path must name it";
    }
}

/* Add one more place to `looked`, and say whether the data is there. */
static bool look(char *out, size_t size, char *looked, size_t room, const char *folder,
                 const char *path)
{
    int length = snprintf(out, size, "%s%s%s", folder, *folder ? "/" : "", path);
    size_t used = strlen(looked);
    snprintf(looked + used, room - used, "%s%s", used > 0 ? ", " : "", out);
    return length > 0 && (size_t)length < size && file_exists(out);
}

bool dataset_find(char *out, size_t size, const DataConfig *config, const char *share, Err *err)
{
    char looked[1536] = "", shared[FILE_PATH];
    const char *path = config->path, *variable = getenv("DDPM_DATA");
    const char *inside = strncmp(path, "data/", 5) == 0 ? path + 5 : path;
    if (*path == '\0')
        return err_set(err, ERR_USAGE, "data.path is empty; %s", remedy(config->format));
    if (look(out, size, looked, sizeof looked, "", path)) return true;
    if (*path != '/') {
        if (variable && *variable && look(out, size, looked, sizeof looked, variable, inside))
            return true;
        if (share && file_path(shared, err, "%s/data", share) &&
            look(out, size, looked, sizeof looked, shared, inside))
            return true;
    }
    return err_set(err, ERR_DATA, "data.path = %s: not found (looked at %s%s); %s", path, looked,
                   *path != '/' && !variable ? "; $DDPM_DATA is not set" : "",
                   remedy(config->format));
}

/* --- Sizes --- */

static bool refuse_size(const Dataset *set, const char *path, int height, int width, Fit fit,
                        Err *err)
{
    const char *cure = fit == FIT_PAD ? "data.fit = pad only makes images larger: set data.fit = "
                                        "resize or model.image_size"
                                      : "set data.fit = pad or resize, or model.image_size";
    return err_set(err, ERR_DATA, "%s: the images are %d x %d, but model.image_size is %d x %d; %s",
                   path, set->height, set->width, height, width, cure);
}

/* Put every image into `fitted`, which has another size. */
static bool fit_images(Dataset *fitted, const Dataset *set, Fit fit, Err *err)
{
    size_t size = (size_t)fitted->height * (size_t)fitted->width * (size_t)fitted->channels;
    for (int i = 0; i < set->count; i++) {
        Image image = {set->height, set->width, set->channels, dataset_image(set, i)}, other;
        bool done = fit == FIT_PAD ? image_pad(&other, &image, fitted->height, fitted->width, err)
                                   : image_fit(&other, &image, fitted->height, fitted->width, err);
        if (!done) return false;
        memcpy(dataset_image(fitted, i), other.pixels, size);
        image_release(&other);
    }
    return true;
}

static bool settle_size(Dataset *set, const char *path, int height, int width, Fit fit, Err *err)
{
    if (set->height == height && set->width == width) return true;
    bool grows = set->height <= height && set->width <= width;
    if (fit == FIT_NONE || (fit == FIT_PAD && !grows))
        return refuse_size(set, path, height, width, fit, err);
    Dataset fitted = *set;
    fitted.height = height, fitted.width = width;
    fitted.pixels = NULL, fitted.labels = NULL;
    if (!dataset_allocate(&fitted, false, path, err)) return false;
    if (!fit_images(&fitted, set, fit, err)) {
        dataset_release(&fitted);
        return err_prefix(err, "%s", path);
    }
    free(set->pixels);
    fitted.labels = set->labels;
    *set = fitted;
    return true;
}

/* --- What the configuration asks of the images --- */

static bool settle_channels(const Dataset *set, const char *path, int channels, Err *err)
{
    if (set->channels == channels) return true;
    return err_set(err, ERR_DATA,
                   "%s: the images have %d channel%s, but model.channels = %d; set model.channels "
                   "= %d",
                   path, set->channels, set->channels == 1 ? "" : "s", channels, set->channels);
}

static bool settle_labels(Dataset *set, const char *path, bool labels, Err *err)
{
    if (labels && !set->labels)
        return err_set(err, ERR_DATA, "%s: holds no labels; set data.labels = false", path);
    if (labels) return true;
    free(set->labels);
    set->labels = NULL;
    set->classes = 0;
    return true;
}

static bool read_format(Dataset *set, const DataConfig *config, const char *path, DatasetPart part,
                        int height, int width, int channels, Err *err)
{
    switch (config->format) {
    case DATA_CIFAR10:
        return cifar10_read(set, path, part, err);
    case DATA_IDX:
        return idx_read(set, path, part, config->labels, err);
    case DATA_FOLDER:
        return folder_read(set, path, part, height, width, channels, err);
    case DATA_NPY:
        return npy_images_read(set, path, config->labels, err);
    case DATA_SHAPES:
        return shapes_draw(set, part, height, width, channels, err);
    }
    assert(!"a format without a reader");
    return false;
}

bool dataset_open(Dataset *set, const DataConfig *config, DatasetPart part, int height, int width,
                  int channels, Err *err)
{
    char path[FILE_PATH] = "shapes";
    *set = (Dataset){0};
    bool done = (config->format == DATA_SHAPES ||
                 dataset_find(path, sizeof path, config, DDPM_SHARE, err)) &&
                read_format(set, config, path, part, height, width, channels, err) &&
                settle_channels(set, path, channels, err) &&
                settle_size(set, path, height, width, config->fit, err) &&
                settle_labels(set, path, config->labels, err);
    if (!done) dataset_release(set);
    return done;
}

/* As the readers have it. */
static bool has_test(DataFormat format, const char *path)
{
    char train[FILE_PATH], test[FILE_PATH];
    Err ignored;
    switch (format) {
    case DATA_CIFAR10:
        return file_is_folder(path);
    case DATA_FOLDER:
        return file_path(train, &ignored, "%s/train", path) && file_is_folder(train) &&
               file_path(test, &ignored, "%s/test", path) && file_is_folder(test);
    default:
        return format != DATA_NPY;
    }
}

bool dataset_check_test(const DataConfig *config, Err *err)
{
    char path[FILE_PATH] = "";
    if (config->format != DATA_SHAPES && !dataset_find(path, sizeof path, config, DDPM_SHARE, err))
        return false;
    if (has_test(config->format, path)) return true;
    return err_set(err, ERR_USAGE,
                   "data.validation = test, but %s has no test part beside the training images%s; "
                   "hold some of them out, such as data.validation = 0.05",
                   path, config->format == DATA_FOLDER ? " (folders train and test)" : "");
}
