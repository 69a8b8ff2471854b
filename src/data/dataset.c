#include "data/dataset.h"

#include "base/memory.h"
#include "base/whole.h"
#include "data/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* With `pixels`, or new ones. */
static bool complete(Dataset *set, uint8_t *pixels, bool labels, const char *path, Err *err)
{
    assert(set->count > 0 && set->height > 0 && set->width > 0 && set->channels > 0);
    set->pixels = pixels, set->labels = NULL;
    bool done = image_is_possible(set->height, set->width, set->channels) ||
                err_set(err, ERR_DATA,
                        "%s: images of %d x %d x %d bytes are too large: they must be fewer than "
                        "2^30",
                        path, set->height, set->width, set->channels);
    size_t image = (size_t)set->height * (size_t)set->width * (size_t)set->channels;
    if (done && !pixels) set->pixels = memory_new((size_t)set->count, image, path, err);
    if (done && set->pixels && labels)
        set->labels = memory_new((size_t)set->count, sizeof *set->labels, path, err);
    if (done && set->pixels && (!labels || set->labels)) return true;
    dataset_release(set);
    return false;
}

bool dataset_allocate(Dataset *set, bool labels, const char *path, Err *err)
{
    return complete(set, NULL, labels, path, err);
}

bool dataset_adopt(Dataset *set, uint8_t *pixels, bool labels, const char *path, Err *err)
{
    assert(pixels);
    return complete(set, pixels, labels, path, err);
}

void dataset_release(Dataset *set)
{
    free(set->pixels);
    free(set->labels);
    *set = (Dataset){0};
}

size_t dataset_bytes(const Dataset *set)
{
    return (size_t)set->count * (size_t)set->height * (size_t)set->width * (size_t)set->channels;
}

uint8_t *dataset_image(const Dataset *set, int index)
{
    size_t image = (size_t)set->height * (size_t)set->width * (size_t)set->channels;
    return set->pixels + (size_t)index * image;
}

int dataset_spread(int j, int n, int count)
{
    return (int)((int64_t)j * count / n);
}

bool dataset_choose(Dataset *out, const Dataset *from, const uint32_t *index, int count, Err *err)
{
    size_t image = (size_t)from->height * (size_t)from->width * (size_t)from->channels;
    *out = *from;
    out->count = count;
    if (!dataset_allocate(out, from->labels != NULL, "chosen images", err)) return false;
    for (int i = 0; i < count; i++) {
        assert(index[i] < (uint32_t)from->count);
        memcpy(dataset_image(out, i), dataset_image(from, (int)index[i]), image);
        if (from->labels) out->labels[i] = from->labels[index[i]];
    }
    return true;
}

bool dataset_choose_spread(Dataset *out, const Dataset *from, int first, int step, int n, Err *err)
{
    int count = whole_divide_up(n - first, step);
    uint32_t *index = memory_new((size_t)count, sizeof *index, "the choice of images", err);
    if (!index) return false;
    for (int i = 0; i < count; i++)
        index[i] = (uint32_t)dataset_spread(first + i * step, n, from->count);
    bool done = dataset_choose(out, from, index, count, err);
    free(index);
    return done;
}
