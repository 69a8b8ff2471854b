/*
 * base/npy checks the file; here it is asked whether the array is one of images, which it then
 * becomes as it is: there may be no room for two.
 */
#include "data/npy_images.h"

#include "base/npy.h"
#include "base/zip.h"

#include <limits.h>

enum { MAX_LABEL = 65535 };

static bool check_images(const Array *array, const char *path, Err *err)
{
    size_t channels = array->ndim == 4 ? array->shape[3] : 1;
    if (array->type != ARRAY_U8 || (array->ndim != 3 && array->ndim != 4) ||
        (channels != 1 && channels != 3))
        return err_set(err, ERR_DATA,
                       "%s: an array of %d dimensions of %s; images are uint8 N x H x W x C, C 1 "
                       "or 3",
                       path, array->ndim, array_type_name(array->type));
    for (int i = 0; i < array->ndim; i++)
        if (array->shape[i] == 0 || array->shape[i] > INT_MAX)
            return err_set(err, ERR_DATA, "%s: dimension %d of the array is %zu", path, i,
                           array->shape[i]);
    return true;
}

static bool check_labels(const Array *array, int count, const char *path, Err *err)
{
    if (array->type != ARRAY_I64 || array->ndim != 1 || array->shape[0] != (size_t)count)
        return err_set(err, ERR_DATA, "%s: arr_1 is not the int64 labels of the %d images", path,
                       count);
    const int64_t *labels = array->data;
    for (int i = 0; i < count; i++)
        if (labels[i] < 0 || labels[i] > MAX_LABEL)
            return err_set(err, ERR_DATA, "%s: label %lld of image %d is outside of 0 .. %d", path,
                           (long long)labels[i], i, MAX_LABEL);
    return true;
}

static bool read_images(Dataset *set, const char *path, bool labels, Err *err)
{
    Array array;
    if (!npy_read(&array, path, err)) return false;
    bool done = check_images(&array, path, err);
    if (done) {
        *set = (Dataset){.count = (int)array.shape[0],
                         .height = (int)array.shape[1],
                         .width = (int)array.shape[2],
                         .channels = array.ndim == 4 ? (int)array.shape[3] : 1};
        done = dataset_adopt(set, array.data, labels, path, err);
        array.data = NULL;
    }
    array_release(&array);
    return done;
}

static bool read_labels(Dataset *set, const char *path, Err *err)
{
    Array array;
    if (!npz_read(&array, path, "arr_1", err)) return false;
    bool done = check_labels(&array, set->count, path, err);
    const int64_t *labels = array.data;
    for (int i = 0; done && i < set->count; i++) {
        set->labels[i] = (int32_t)labels[i];
        if (set->labels[i] >= set->classes) set->classes = set->labels[i] + 1;
    }
    array_release(&array);
    return done;
}

bool npy_images_read(Dataset *set, const char *path, bool labels, Err *err)
{
    *set = (Dataset){0};
    bool labelled = labels && zip_is_archive(path);
    bool done = read_images(set, path, labelled, err) && (!labelled || read_labels(set, path, err));
    if (!done) dataset_release(set);
    return done;
}
