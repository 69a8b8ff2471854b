/*
 * Most of the time goes into sorting: 131,072 projections on each of 512 directions, at each level
 * and of both sets. So they are sorted by radix, each with the group of images that it comes from;
 * leaving out a group then needs no other sorting.
 */
#include "eval/sliced_wasserstein.h"

#include "base/gemm.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/whole.h"
#include "eval/patches.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 32, GROUPS = 8, DIGIT = 11, DIGITS = 3, LANES = 16 };

/* One thread's sorting of two lists. */
typedef struct {
    uint64_t *entries, *other; /* [count]: a projection's bits, its group below them */
    float *values[2], *kept[2];
    uint8_t *groups[2];
} Lane;

/* Distances: of all images, and without each of the groups. */
typedef struct {
    double all, without[GROUPS];
} Distances;

typedef struct {
    int images, patches, groups;
    int length; /* of a patch */
    size_t count;
    float *patches_of[2];     /* [count,length] */
    float *projections_of[2]; /* [AT_ONCE,count] */
    float *directions;        /* [AT_ONCE,length] */
    Lane *lanes;              /* [threads] */
    Arena arena;
} Work;

/* ---- memory ---- */

static void *take(Arena *arena, size_t count, size_t size)
{
    return arena_take(arena, memory_round(count * size));
}

static size_t lane_bytes(size_t count)
{
    return 2 * memory_round(count * sizeof(uint64_t)) + 4 * memory_round(count * sizeof(float)) +
           2 * memory_round(count);
}

static Lane take_lane(Arena *arena, size_t count)
{
    Lane lane = {.entries = take(arena, count, sizeof *lane.entries),
                 .other = take(arena, count, sizeof *lane.other)};
    for (int i = 0; i < 2; i++) {
        lane.values[i] = take(arena, count, sizeof(float));
        lane.kept[i] = take(arena, count, sizeof(float));
        lane.groups[i] = take(arena, count, 1);
    }
    return lane;
}

static bool work_init(Work *w, const Dataset *a, const Dataset *b, Err *err)
{
    size_t threads = (size_t)parallel_threads(), floats = sizeof(float);
    *w = (Work){.images = whole_min(whole_min(a->count, b->count), SWD_DESCRIPTORS),
                .length = PATCH_PIXELS * a->channels};
    w->patches = whole_min(SWD_PATCHES, SWD_DESCRIPTORS / w->images);
    w->groups = whole_min(w->images, GROUPS);
    w->count = (size_t)w->images * (size_t)w->patches;
    size_t patches = w->count * (size_t)w->length, projections = w->count * AT_ONCE;
    size_t directions = AT_ONCE * (size_t)w->length;
    size_t bytes = 2 * memory_round(patches * floats) + 2 * memory_round(projections * floats) +
                   memory_round(directions * floats) + memory_round(threads * sizeof(Lane)) +
                   threads * lane_bytes(w->count);
    if (!arena_init(&w->arena, bytes, "patches of images", err)) return false;
    for (int i = 0; i < 2; i++) {
        w->patches_of[i] = take(&w->arena, patches, floats);
        w->projections_of[i] = take(&w->arena, projections, floats);
    }
    w->directions = take(&w->arena, directions, floats);
    w->lanes = take(&w->arena, threads, sizeof(Lane));
    for (size_t i = 0; i < threads; i++) w->lanes[i] = take_lane(&w->arena, w->count);
    return true;
}

/* ---- one direction ---- */

/* Whole numbers in the order of the floats. */
static uint32_t ordered_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static float float_of(uint32_t ordered)
{
    uint32_t bits = ordered >> 31 ? ordered & 0x7FFFFFFFu : ~ordered;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One digit of the bits above the lowest 32: stable, from `entries` into `other`. */
static void sort_digit(uint64_t *other, const uint64_t *entries, size_t count, int shift)
{
    size_t at[1 << DIGIT] = {0}, sum = 0;
    const uint64_t mask = (1 << DIGIT) - 1;
    for (size_t i = 0; i < count; i++) at[entries[i] >> shift & mask]++;
    for (size_t i = 0; i <= mask; i++) {
        size_t here = at[i];
        at[i] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++) other[at[entries[i] >> shift & mask]++] = entries[i];
}

static void sort_projections(Lane *lane, int which, const float *projections, const Work *w)
{
    for (size_t i = 0; i < w->count; i++) {
        size_t group = i / (size_t)w->patches * (size_t)w->groups / (size_t)w->images;
        lane->entries[i] = (uint64_t)ordered_bits(projections[i]) << 32 | group;
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        sort_digit(lane->other, lane->entries, w->count, 32 + digit * DIGIT);
        uint64_t *swapped = lane->entries;
        lane->entries = lane->other, lane->other = swapped;
    }
    for (size_t i = 0; i < w->count; i++) {
        lane->values[which][i] = float_of((uint32_t)(lane->entries[i] >> 32));
        lane->groups[which][i] = (uint8_t)lane->entries[i];
    }
}

/* LANES sums side by side, which compilers turn into vector code. */
static double mean_difference(const float *a, const float *b, size_t n)
{
    double sums[LANES] = {0}, sum = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t k = 0; k < LANES; k++) sums[k] += fabs((double)a[i + k] - (double)b[i + k]);
    for (size_t i = whole; i < n; i++) sum += fabs((double)a[i] - (double)b[i]);
    for (size_t k = 0; k < LANES; k++) sum += sums[k];
    return sum / (double)n;
}

/* How many are left of a sorted list without a group: in both lists the same number. */
static size_t leave_out(Lane *lane, int which, size_t count, int group)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        lane->kept[which][n] = lane->values[which][i];
        n += lane->groups[which][i] != group;
    }
    return n;
}

static Distances one_direction(const Work *w, int direction)
{
    Lane *lane = &w->lanes[parallel_thread()];
    Distances d = {0};
    for (int i = 0; i < 2; i++)
        sort_projections(lane, i, w->projections_of[i] + (size_t)direction * w->count, w);
    d.all = mean_difference(lane->values[0], lane->values[1], w->count);
    for (int g = 0; w->groups > 1 && g < w->groups; g++) {
        size_t n = leave_out(lane, 0, w->count, g), m = leave_out(lane, 1, w->count, g);
        assert(n == m && n > 0);
        d.without[g] = mean_difference(lane->kept[0], lane->kept[1], n);
    }
    return d;
}

/* ---- a level ---- */

/* Directions first .. first + AT_ONCE - 1 of the level: normals made as long as 1. */
static void draw_directions(const Work *w, uint64_t seed, int level, int first)
{
    for (int i = 0; i < AT_ONCE; i++) {
        float *u = w->directions + (size_t)i * (size_t)w->length;
        double square = 0;
        rng_normal(u, (size_t)w->length,
                   (RngKey){.seed = seed,
                            .image = (uint32_t)(first + i),
                            .step = (uint32_t)level,
                            .stream = RNG_DIRECTION});
        for (int j = 0; j < w->length; j++) square += (double)u[j] * (double)u[j];
        for (int j = 0; j < w->length; j++) u[j] = (float)((double)u[j] / sqrt(square));
    }
}

/* sum += the distances of AT_ONCE directions, in their order. */
static void add_directions(const Work *w, Distances *sum)
{
    Distances of[AT_ONCE];
    for (int i = 0; i < 2; i++)
        gemm_parallel(w->projections_of[i], w->directions, w->patches_of[i],
                      gemm_dims(AT_ONCE, (int)w->count, w->length, false, true, 0));
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < AT_ONCE; i++) of[i] = one_direction(w, i);
    for (int i = 0; i < AT_ONCE; i++) {
        sum->all += of[i].all;
        for (int g = 0; g < GROUPS; g++) sum->without[g] += of[i].without[g];
    }
}

static void scale(Distances *d, double by)
{
    d->all *= by;
    for (int g = 0; g < GROUPS; g++) d->without[g] *= by;
}

/* The jackknife's: (G-1)/G sum (x_g - mean)^2 of the results x_g without each group. */
static double error_of(const Distances *d, int groups)
{
    double mean = 0, squares = 0;
    if (groups < 2) return (double)NAN;
    for (int g = 0; g < groups; g++) mean += d->without[g] / groups;
    for (int g = 0; g < groups; g++) squares += (d->without[g] - mean) * (d->without[g] - mean);
    return sqrt(squares * (groups - 1) / groups);
}

typedef struct {
    const Dataset *set[2];
    uint64_t seed;
    bool (*progress)(void *context, long done);
    void *context;
    long done;
} Run;

/* False if it was stopped; `sum` then is the mean over the directions there were. */
static bool run_level(Run *run, const Work *w, int level, Distances *sum, int *directions)
{
    bool on = true;
    *sum = (Distances){0};
    for (*directions = 0; on && *directions < SWD_DIRECTIONS; *directions += AT_ONCE) {
        draw_directions(w, run->seed, level, *directions);
        add_directions(w, sum);
        on = !run->progress || run->progress(run->context, ++run->done);
    }
    scale(sum, 1000.0 / *directions);
    return on;
}

static bool cut_level(const Run *run, const Work *w, int level, Err *err)
{
    for (uint32_t i = 0; i < 2; i++)
        if (!patches_cut(w->patches_of[i],
                         &(Patches){.set = run->set[i],
                                    .images = w->images,
                                    .patches = w->patches,
                                    .level = level,
                                    .seed = run->seed,
                                    .part = i},
                         err))
            return false;
    return true;
}

static bool run_levels(SlicedWasserstein *out, Run *run, const Work *w, Err *err)
{
    const Dataset *set = run->set[0];
    int levels = pyramid_levels(set->height, set->width);
    Distances total = {0};
    for (int k = 0; k < levels && !out->partial; k++) {
        Distances of;
        SlicedWassersteinLevel *level = &out->level[k];
        if (!cut_level(run, w, k, err)) return false;
        bool on = run_level(run, w, k, &of, &level->directions);
        level->height = pyramid_side(set->height, k);
        level->width = pyramid_side(set->width, k);
        level->distance = of.all;
        level->error = error_of(&of, w->groups);
        total.all += of.all;
        for (int g = 0; g < GROUPS; g++) total.without[g] += of.without[g];
        out->levels++;
        out->partial = !on && (k + 1 < levels || level->directions < SWD_DIRECTIONS);
    }
    scale(&total, 1.0 / out->levels);
    out->distance = total.all;
    out->error = error_of(&total, w->groups);
    return true;
}

long sliced_wasserstein_steps(const Dataset *set)
{
    return (long)pyramid_levels(set->height, set->width) * (SWD_DIRECTIONS / AT_ONCE);
}

bool sliced_wasserstein(SlicedWasserstein *out, const Dataset *a, const Dataset *b, uint64_t seed,
                        bool (*progress)(void *context, long done), void *context, Err *err)
{
    Work w;
    Run run = {{a, b}, seed, progress, context, 0};
    *out = (SlicedWasserstein){0};
    assert(a->height == b->height && a->width == b->width && a->channels == b->channels);
    if (a->height < PATCH_SIDE || a->width < PATCH_SIDE)
        return err_set(err, ERR_USAGE,
                       "images of %d x %d pixels are smaller than the patches of %d x %d that the "
                       "sliced Wasserstein distance compares",
                       a->height, a->width, PATCH_SIDE, PATCH_SIDE);
    if (!work_init(&w, a, b, err)) return false;
    out->images = w.images;
    out->patches = w.patches;
    bool done = run_levels(out, &run, &w, err);
    arena_release(&w.arena);
    return done;
}
