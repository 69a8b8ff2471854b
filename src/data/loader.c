/*
 * A batch may run from one epoch into the next, so the permutations of two neighbours are kept, by
 * parity, and drawn again when another epoch comes; that costs some milliseconds for each 50,000
 * images.
 */
#include "data/loader.h"

#include "base/memory.h"
#include "base/rng.h"
#include "data/pixels.h"

#include <assert.h>
#include <stdlib.h>

static void draw_order(uint32_t *order, uint32_t count, uint64_t seed, uint64_t epoch)
{
    RngKey key = {.seed = seed,
                  .image = (uint32_t)(epoch >> 32),
                  .step = (uint32_t)epoch,
                  .stream = RNG_SHUFFLE};
    rng_order(order, count, key);
}

bool loader_init(Loader *loader, const Dataset *set, uint64_t seed, bool flip, Err *err)
{
    assert(set->count > 0);
    *loader = (Loader){.set = set, .seed = seed, .flip = flip};
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        uint32_t *order =
            memory_new((size_t)set->count, sizeof *order, "the order of the images", err);
        if (!order) {
            loader_release(loader);
            return false;
        }
        draw_order(order, (uint32_t)set->count, seed, epoch);
        loader->orders[epoch] = order;
        loader->epochs[epoch] = epoch;
    }
    return true;
}

void loader_release(Loader *loader)
{
    free(loader->orders[0]);
    free(loader->orders[1]);
    *loader = (Loader){0};
}

uint32_t loader_index(Loader *loader, uint64_t k)
{
    uint32_t count = (uint32_t)loader->set->count;
    uint64_t epoch = k / count;
    if (loader->epochs[epoch % 2] != epoch) {
        draw_order(loader->orders[epoch % 2], count, loader->seed, epoch);
        loader->epochs[epoch % 2] = epoch;
    }
    return loader->orders[epoch % 2][k % count];
}

static bool is_mirrored(const Loader *loader, uint32_t step, int position)
{
    RngKey key = {
        .seed = loader->seed, .image = (uint32_t)position, .step = step, .stream = RNG_FLIP};
    return loader->flip && rng_below(2, 0, key) == 1;
}

void loader_batch(Loader *loader, float *x, int32_t *labels, uint64_t first_image, uint32_t step,
                  int first_position, int n)
{
    const Dataset *set = loader->set;
    size_t size = (size_t)set->height * (size_t)set->width * (size_t)set->channels;
    assert(!labels || set->labels);
    for (int i = 0; i < n; i++) {
        uint32_t index = loader_index(loader, first_image + (uint64_t)i);
        const uint8_t *image = dataset_image(set, (int)index);
        float *out = x + (size_t)i * size;
        if (is_mirrored(loader, step, first_position + i))
            pixels_to_floats_mirrored(out, image, set->height, set->width, set->channels);
        else
            pixels_to_floats(out, image, size);
        if (labels) labels[i] = set->labels[index];
    }
}

void loader_drop_labels(const Loader *loader, int32_t *labels, int32_t none, double rate,
                        uint32_t step, int first_position, int n)
{
    for (int i = 0; i < n; i++) {
        RngKey key = {.seed = loader->seed,
                      .image = (uint32_t)(first_position + i),
                      .step = step,
                      .stream = RNG_LABEL_DROPOUT};
        float u;
        rng_uniform(&u, 1, key);
        if ((double)u < rate) labels[i] = none;
    }
}
