/*
 * The distances are whole numbers, and they are computed as such by GEMM in floats: of bytes less
 * 128 a product is at most 2^14, so a sum of 2^10 of them is a whole number of at most 2^24, which
 * a float holds exactly, in whatever order it is summed. Images of more values are cut into pieces
 * of so many, whose products are added up in 64 bits. So there is nothing to refine afterwards.
 *
 * A mirrored image is as far from a query as the image from the mirrored query; there are fewer of
 * those, so it is the queries that are mirrored.
 */
#include "eval/nearest.h"

#include "base/gemm.h"
#include "base/memory.h"
#include "base/whole.h"

#include <assert.h>
#include <string.h>

enum { QUERIES = 512, COLUMNS = 2048, PIECE = 1024, MIDDLE = 128 };

typedef struct {
    size_t size;                    /* values of an image */
    int rows;                       /* queries of the block, and their mirror images after them */
    uint8_t *mirrored;              /* [rows/2,size] */
    const uint8_t **at;             /* [rows]: where their bytes are */
    float *a, *b, *c;               /* [rows,PIECE], [COLUMNS,PIECE], [rows,COLUMNS] */
    int64_t *products;              /* [rows,COLUMNS] */
    int64_t *squares_a, *squares_b; /* [rows], [COLUMNS] */
    Arena arena;
} Work;

static bool work_init(Work *w, const Dataset *queries, bool mirror, Err *err)
{
    size_t size = (size_t)queries->height * (size_t)queries->width * (size_t)queries->channels;
    size_t n = (size_t)whole_min(queries->count, QUERIES), rows = mirror ? 2 * n : n;
    size_t mirrored = memory_round(mirror ? n * size : 0), at = memory_round(rows * sizeof *w->at);
    size_t a = memory_round(rows * PIECE * sizeof(float));
    size_t b = memory_round(COLUMNS * PIECE * sizeof(float));
    size_t c = memory_round(rows * COLUMNS * sizeof(float));
    size_t products = memory_round(rows * COLUMNS * sizeof(int64_t));
    size_t squares_a = memory_round(rows * sizeof(int64_t));
    size_t squares_b = memory_round(COLUMNS * sizeof(int64_t));
    *w = (Work){.size = size};
    if (!arena_init(&w->arena, mirrored + at + a + b + c + products + squares_a + squares_b,
                    "the distances of images", err))
        return false;
    w->mirrored = arena_take(&w->arena, mirrored);
    w->at = arena_take(&w->arena, at);
    w->a = arena_take(&w->arena, a);
    w->b = arena_take(&w->arena, b);
    w->c = arena_take(&w->arena, c);
    w->products = arena_take(&w->arena, products);
    w->squares_a = arena_take(&w->arena, squares_a);
    w->squares_b = arena_take(&w->arena, squares_b);
    return true;
}

static int64_t sum_of_squares(const uint8_t *bytes, size_t size)
{
    int64_t sum = 0;
    for (size_t i = 0; i < size; i += PIECE) {
        size_t n = size - i < PIECE ? size - i : PIECE;
        int piece = 0;
        for (size_t j = 0; j < n; j++) {
            int value = bytes[i + j] - MIDDLE;
            piece += value * value;
        }
        sum += piece;
    }
    return sum;
}

static void to_floats(float *out, const uint8_t *bytes, int n)
{
    for (int i = 0; i < n; i++) out[i] = (float)(bytes[i] - MIDDLE);
}

/* The pixels of each line in reverse order. */
static void mirror_image(uint8_t *out, const uint8_t *image, const Dataset *set)
{
    size_t channels = (size_t)set->channels, width = (size_t)set->width;
    for (int y = 0; y < set->height; y++, out += width * channels, image += width * channels)
        for (size_t x = 0; x < width; x++)
            memcpy(out + x * channels, image + (width - 1 - x) * channels, channels);
}

/* The n queries from `first` on. */
static void take_queries(Work *w, const Dataset *queries, int first, int n, bool mirror)
{
    w->rows = mirror ? 2 * n : n;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < w->rows; i++) {
        const uint8_t *image = dataset_image(queries, first + i % n);
        uint8_t *mirrored = w->mirrored + (size_t)(i % n) * w->size;
        if (i >= n) mirror_image(mirrored, image, queries);
        w->at[i] = i < n ? image : mirrored;
        w->squares_a[i] = sum_of_squares(w->at[i], w->size);
    }
}

/* products [rows,n] += or, at the first piece, = those of the values [from, from + PIECE). */
static void add_piece(Work *w, const Dataset *set, int first, int n, size_t from)
{
    int length = (int)(w->size - from < PIECE ? w->size - from : PIECE);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < w->rows + n; i++) {
        if (i < w->rows)
            to_floats(w->a + (size_t)i * (size_t)length, w->at[i] + from, length);
        else
            to_floats(w->b + (size_t)(i - w->rows) * (size_t)length,
                      dataset_image(set, first + i - w->rows) + from, length);
    }
    gemm_parallel(w->c, w->a, w->b, gemm_dims(w->rows, n, length, false, true, 0));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < w->rows; i++)
        for (size_t j = (size_t)i * (size_t)n; j < (size_t)(i + 1) * (size_t)n; j++)
            w->products[j] = (from > 0 ? w->products[j] : 0) + (int64_t)w->c[j];
}

/* What comes first in the set comes first here, so that it wins ties. */
static void consider(NearestImages *best, Neighbour candidate)
{
    if (candidate.distance < best->nearest.distance) {
        best->next = best->nearest;
        best->nearest = candidate;
    } else if (candidate.distance < best->next.distance)
        best->next = candidate;
}

static int64_t distance(const Work *w, int row, int column, int n)
{
    int64_t product = w->products[(size_t)row * (size_t)n + (size_t)column];
    return w->squares_a[row] + w->squares_b[column] - 2 * product;
}

/* The images first .. first + n - 1 of `set` against the `count` queries. */
static void compare(Work *w, NearestImages *out, int count, const Dataset *set, int first, int n)
{
#pragma omp parallel for schedule(static)
    for (int j = 0; j < n; j++)
        w->squares_b[j] = sum_of_squares(dataset_image(set, first + j), w->size);
    for (size_t from = 0; from < w->size; from += PIECE) add_piece(w, set, first, n, from);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < count; i++)
        for (int j = 0; j < n; j++) {
            Neighbour candidate = {.index = first + j, .distance = distance(w, i, j, n)};
            int64_t other = w->rows > count ? distance(w, count + i, j, n) : candidate.distance;
            candidate.mirrored = other < candidate.distance;
            if (candidate.mirrored) candidate.distance = other;
            consider(&out[i], candidate);
        }
}

bool nearest_images(NearestImages *out, int *done, const Dataset *queries, const Dataset *set,
                    bool mirror, bool (*progress)(void *context, long done), void *context,
                    Err *err)
{
    Work w;
    assert(queries->height == set->height && queries->width == set->width &&
           queries->channels == set->channels);
    *done = 0;
    if (!work_init(&w, queries, mirror, err)) return false;
    while (*done < queries->count) {
        int count = whole_min(queries->count - *done, QUERIES);
        take_queries(&w, queries, *done, count, mirror);
        for (int i = 0; i < count; i++)
            out[*done + i] = (NearestImages){{-1, false, INT64_MAX}, {-1, false, INT64_MAX}};
        for (int first = 0; first < set->count; first += COLUMNS)
            compare(&w, out + *done, count, set, first, whole_min(set->count - first, COLUMNS));
        *done += count;
        if (progress && !progress(context, *done)) break;
    }
    arena_release(&w.arena);
    return true;
}
