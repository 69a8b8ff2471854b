/*
 * Sums for the means are kept for each image and added up in order, so that threads do not matter.
 */
#include "eval/patches.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "eval/pyramid.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHANNELS = 4, PLACES_AT_ONCE = 64 };

typedef struct {
    double sum[MAX_CHANNELS], squares[MAX_CHANNELS];
} Sums;

static size_t patch_floats(const Patches *p)
{
    return PATCH_PIXELS * (size_t)p->set->channels;
}

static size_t image_bytes(const Patches *p)
{
    return (size_t)p->set->height * (size_t)p->set->width * (size_t)p->set->channels;
}

/* A whole number in [0, limit) from 32 bits; its bias is below limit 2^-32. */
static int below(int limit, uint32_t bits)
{
    return (int)(((uint64_t)bits * (uint64_t)limit) >> 32);
}

/* out [7,7,channels] = the patch whose top left pixel is at (top, left). */
static void cut(float *out, const float *level, int width, int channels, int top, int left)
{
    size_t line = PATCH_SIDE * (size_t)channels;
    for (int y = 0; y < PATCH_SIDE; y++, out += line)
        memcpy(out, level + ((size_t)(top + y) * (size_t)width + (size_t)left) * (size_t)channels,
               line * sizeof *out);
}

static void cut_image(float *out, const Patches *p, int j, const float *level)
{
    RngKey key = {.seed = p->seed,
                  .image = (uint32_t)j,
                  .step = (uint32_t)p->level,
                  .stream = RNG_PATCH,
                  .part = p->part};
    int height = pyramid_side(p->set->height, p->level);
    int width = pyramid_side(p->set->width, p->level);
    uint32_t places[2 * PLACES_AT_ONCE];
    for (int i = 0; i < p->patches; i++, out += patch_floats(p)) {
        const uint32_t *place = places + 2 * (i % PLACES_AT_ONCE);
        if (i % PLACES_AT_ONCE == 0) rng_bits(places, PLACES_AT_ONCE / 2, (uint32_t)i / 2, key);
        cut(out, level, width, p->set->channels, below(height - PATCH_SIDE + 1, place[0]),
            below(width - PATCH_SIDE + 1, place[1]));
    }
}

static Sums sums_of(const float *x, const Patches *p)
{
    Sums sums = {0};
    size_t n = (size_t)p->patches * patch_floats(p), channels = (size_t)p->set->channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = c; i < n; i += channels) {
            sums.sum[c] += (double)x[i];
            sums.squares[c] += (double)x[i] * (double)x[i];
        }
    return sums;
}

/* `scratch` [threads, 4 x bytes of an image]; sums [images]. */
static void cut_all(float *out, const Patches *p, float *scratch, Sums *sums)
{
    const Dataset *set = p->set;
    size_t bytes = image_bytes(p), floats = (size_t)p->patches * patch_floats(p);
#pragma omp parallel for schedule(static)
    for (int j = 0; j < p->images; j++) {
        int index = (int)((int64_t)j * set->count / p->images);
        float *level = scratch + (size_t)parallel_thread() * 4 * bytes;
        pyramid_level(level, p->level, dataset_image(set, index), set->height, set->width,
                      set->channels, level + bytes);
        cut_image(out + (size_t)j * floats, p, j, level);
        sums[j] = sums_of(out + (size_t)j * floats, p);
    }
}

static void normalise(float *out, const Patches *p, const Sums *sums)
{
    int channels = p->set->channels;
    int64_t pixels = (int64_t)p->images * p->patches * PATCH_PIXELS;
    float mean[MAX_CHANNELS], scale[MAX_CHANNELS];
    for (int c = 0; c < channels; c++) {
        double sum = 0, squares = 0;
        for (int j = 0; j < p->images; j++) sum += sums[j].sum[c], squares += sums[j].squares[c];
        double average = sum / (double)pixels;
        double variance = squares / (double)pixels - average * average;
        /* below what rounding leaves of a constant there is no variance to divide by */
        bool varies = variance > 1e-9 * (1 + average * average);
        mean[c] = (float)average;
        scale[c] = varies ? (float)(1 / sqrt(variance)) : 0.0f;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            out[i * channels + c] = (out[i * channels + c] - mean[c]) * scale[c];
}

bool patches_cut(float *out, const Patches *p, Err *err)
{
    assert(p->set->channels <= MAX_CHANNELS && p->images > 0 && p->patches > 0);
    assert(pyramid_side(p->set->height, p->level) >= PATCH_SIDE &&
           pyramid_side(p->set->width, p->level) >= PATCH_SIDE);
    float *scratch = memory_new((size_t)parallel_threads() * 4 * image_bytes(p), sizeof *scratch,
                                "pyramids of images", err);
    Sums *sums =
        scratch ? memory_new((size_t)p->images, sizeof *sums, "sums over images", err) : NULL;
    if (sums) {
        cut_all(out, p, scratch, sums);
        normalise(out, p, sums);
    }
    free(scratch);
    free(sums);
    return sums != NULL;
}
