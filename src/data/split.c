/*
 * The images that stay are moved up within the memory that they have: a set may be most of what
 * there is.
 */
#include "data/split.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void copy_image(Dataset *to, int at, const Dataset *from, int index)
{
    size_t size = (size_t)from->height * (size_t)from->width * (size_t)from->channels;
    memmove(dataset_image(to, at), dataset_image(from, index), size);
    if (from->labels) to->labels[at] = from->labels[index];
}

static void close_gaps(Dataset *set, const bool *moved)
{
    int kept = 0;
    for (int i = 0; i < set->count; i++)
        if (!moved[i]) copy_image(set, kept++, set, i);
    set->count = kept;
}

/* `order` and `moved` are [set->count]. */
static bool move_images(Dataset *set, Dataset *held, int count, const uint32_t *order, bool *moved,
                        Err *err)
{
    *held = *set;
    held->count = count;
    if (!dataset_allocate(held, set->labels != NULL, "the images held out", err)) return false;
    for (int i = 0; i < count; i++) {
        copy_image(held, i, set, (int)order[i]);
        moved[order[i]] = true;
    }
    close_gaps(set, moved);
    return true;
}

bool dataset_split(Dataset *set, Dataset *held, double fraction, uint64_t seed, Err *err)
{
    *held = (Dataset){0};
    if (set->count < 2)
        return err_set(err, ERR_DATA, "data.validation = %g: there is a single image", fraction);
    int count = (int)fmin(fmax(1, round(fraction * set->count)), set->count - 1);
    uint32_t *order = memory_new((size_t)set->count, sizeof *order, "the order of the images", err);
    bool *moved = memory_new((size_t)set->count, sizeof *moved, "the images held out", err);
    bool done = order && moved;
    if (done) {
        rng_order(order, (uint32_t)set->count, (RngKey){.seed = seed, .stream = RNG_SPLIT});
        done = move_images(set, held, count, order, moved, err);
    }
    free(order);
    free(moved);
    return done;
}
