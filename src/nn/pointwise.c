/*
 * Work is cut into pieces whose extents follow from the shape alone. Each piece is a plain
 * function: inside an OpenMP region the compiler knows less about its pointers, and the place
 * where a loop's vector part ends would depend on the number of threads.
 */
#include "nn/pointwise.h"

#include "nn/vector_math.h"

#include <assert.h>

enum { PIECE = 8192, DRAW = 1024 }; /* elements; DRAW divides PIECE */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void silu_piece(float *y, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) y[i] = x[i] * vector_sigmoid(x[i]);
}

void silu_forward(float *y, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n >= VECTOR_PARALLEL_MIN)
    for (size_t i = 0; i < n; i += PIECE) silu_piece(y + i, x + i, min_size(PIECE, n - i));
}

static void silu_slope_piece(float *dx, const float *dy, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * vector_silu_slope(x[i], vector_sigmoid(x[i]));
}

void silu_backward(float *dx, const float *dy, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n >= VECTOR_PARALLEL_MIN)
    for (size_t i = 0; i < n; i += PIECE)
        silu_slope_piece(dx + i, dy + i, x + i, min_size(PIECE, n - i));
}

static void add_piece(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void add_forward(float *y, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n >= VECTOR_PARALLEL_MIN)
    for (size_t i = 0; i < n; i += PIECE) add_piece(y + i, x + i, min_size(PIECE, n - i));
}

/* Element i is dropped where its word, as a fraction of 2^32, is below the rate. */
static void drop(float *restrict x, const uint32_t *restrict words, size_t n, uint32_t threshold,
                 float scale)
{
    for (size_t i = 0; i < n; i++) {
        float kept = x[i] * scale;
        x[i] = words[i] < threshold ? 0.0f : kept;
    }
}

/* Elements [start, start + n) of the image at x. */
static void dropout_piece(float *x, size_t start, size_t n, float rate, RngKey key)
{
    uint32_t words[DRAW], threshold = (uint32_t)((double)rate * 0x1p32);
    float scale = 1.0f / (1.0f - rate);
    for (size_t i = start; i < start + n; i += DRAW) {
        size_t count = min_size(DRAW, start + n - i);
        rng_bits(words, (count + 3) / 4, (uint32_t)(i / 4), key);
        drop(x + i, words, count, threshold, scale);
    }
}

void dropout_apply(float *x, int n, size_t size, float rate, RngKey key)
{
    assert(rate >= 0.0f && rate < 1.0f);
    if (rate == 0.0f) return;
    size_t pieces = (size + PIECE - 1) / PIECE, tasks = (size_t)n * pieces;
#pragma omp parallel for schedule(static) if ((size_t)n * size >= VECTOR_PARALLEL_MIN / 4)
    for (size_t task = 0; task < tasks; task++) {
        size_t image = task / pieces, start = task % pieces * PIECE;
        RngKey own = key;
        own.image += (uint32_t)image;
        dropout_piece(x + image * size, start, min_size(PIECE, size - start), rate, own);
    }
}

/* One row of w pixels into the two rows of 2w pixels at y. */
static void upsample_row(float *restrict y, const float *restrict x, size_t w, size_t c)
{
    for (size_t j = 0; j < w; j++)
        for (size_t k = 0; k < c; k++) y[2 * j * c + k] = y[(2 * j + 1) * c + k] = x[j * c + k];
    memcpy(y + 2 * w * c, y, 2 * w * c * sizeof *y);
}

void upsample_forward(float *y, const float *x, int n, int h, int w, int c)
{
    size_t rows = (size_t)n * (size_t)h, width = (size_t)w, channels = (size_t)c;
#pragma omp parallel for schedule(static) if (4 * rows * width * channels >= VECTOR_PARALLEL_MIN)
    for (size_t r = 0; r < rows; r++)
        upsample_row(y + 4 * r * width * channels, x + r * width * channels, width, channels);
}

static void downsum_row(float *restrict dx, const float *restrict dy, bool accumulate, size_t w,
                        size_t c)
{
    const float *restrict below = dy + 2 * w * c;
    for (size_t j = 0; j < w; j++)
        for (size_t k = 0; k < c; k++) {
            size_t left = 2 * j * c + k, right = left + c, i = j * c + k;
            float sum = (dy[left] + dy[right]) + (below[left] + below[right]);
            dx[i] = accumulate ? dx[i] + sum : sum;
        }
}

void upsample_backward(float *dx, const float *dy, bool accumulate, int n, int h, int w, int c)
{
    size_t rows = (size_t)n * (size_t)h, width = (size_t)w, channels = (size_t)c;
#pragma omp parallel for schedule(static) if (4 * rows * width * channels >= VECTOR_PARALLEL_MIN)
    for (size_t r = 0; r < rows; r++)
        downsum_row(dx + r * width * channels, dy + 4 * r * width * channels, accumulate, width,
                    channels);
}

void image_sums(float *sums, const float *x, int n, int pixels, int c)
{
    size_t columns = (size_t)c, size = (size_t)pixels * columns;
#pragma omp parallel for schedule(static) if ((size_t)n * size >= VECTOR_PARALLEL_MIN)
    for (int i = 0; i < n; i++)
        for (size_t first = 0; first < columns; first += VECTOR_SUM_COLUMNS) {
            double total[VECTOR_SUM_COLUMNS] = {0};
            size_t count = min_size(VECTOR_SUM_COLUMNS, columns - first);
            vector_row_sums(total, x + (size_t)i * size + first, (size_t)pixels, columns, count);
            for (size_t j = 0; j < count; j++)
                sums[(size_t)i * columns + first + j] = (float)total[j];
        }
}
