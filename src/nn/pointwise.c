/*
 * Work is cut into pieces whose extents follow from the shape alone. Each piece is a plain
 * function: inside an OpenMP region the compiler knows less about its pointers, and the place
 * where a loop's vector part ends would depend on the number of threads.
 */
#include "nn/pointwise.h"

#include "nn/vector_math.h"

#include <assert.h>

enum { PIECE = 8192, DRAW = 1024, MASK_BITS = 32 }; /* DRAW: words at a time */

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

/* The share that is dropped, of 2^16. */
static uint32_t dropout_threshold(float rate)
{
    assert(rate >= 0.0f && rate < 1.0f);
    uint32_t threshold = (uint32_t)(rate * 0x1p16f + 0.5f);
    return threshold < 0xFFFF ? threshold : 0xFFFF;
}

float dropout_scale(float rate)
{
    return 0x1p16f / (0x1p16f - (float)dropout_threshold(rate));
}

size_t dropout_words(size_t size)
{
    return (size + MASK_BITS - 1) / MASK_BITS;
}

static uint32_t mask_word(const uint32_t draws[MASK_BITS / 2], uint32_t threshold)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < MASK_BITS / 2; i++) {
        uint32_t low = (draws[i] & 0xFFFFu) >= threshold, high = draws[i] >> 16 >= threshold;
        mask |= (low | high << 16) << i;
    }
    return mask;
}

/* Words [start, start + n) of an image's mask. */
static void draw_piece(uint32_t *mask, size_t start, size_t n, uint32_t threshold, RngKey key)
{
    enum { PER_WORD = MASK_BITS / 2, WORDS = DRAW / PER_WORD };
    uint32_t draws[DRAW];
    for (size_t i = start; i < start + n; i += WORDS) {
        size_t count = min_size(WORDS, start + n - i);
        rng_bits(draws, count * PER_WORD / 4, (uint32_t)(i * PER_WORD / 4), key);
        for (size_t k = 0; k < count; k++) mask[i + k] = mask_word(draws + k * PER_WORD, threshold);
    }
}

void dropout_draw(uint32_t *mask, int n, size_t size, float rate, RngKey key)
{
    enum { WORDS = PIECE / MASK_BITS };
    uint32_t threshold = dropout_threshold(rate);
    size_t words = dropout_words(size), pieces = (words + WORDS - 1) / WORDS;
    size_t tasks = (size_t)n * pieces;
#pragma omp parallel for schedule(static) if ((size_t)n * size >= VECTOR_PARALLEL_MIN)
    for (size_t task = 0; task < tasks; task++) {
        size_t image = task / pieces, start = task % pieces * WORDS;
        RngKey own = key;
        own.image += (uint32_t)image;
        draw_piece(mask + image * words, start, min_size(WORDS, words - start), threshold, own);
    }
}

/* The elements of bits [first, first + n) of one word. */
static inline void drop(float *restrict x, uint32_t word, uint32_t first, uint32_t n, float scale)
{
    for (uint32_t i = 0; i < n; i++) {
        float kept = x[i] * scale;
        x[i] = word >> (first + i) & 1 ? kept : 0.0f;
    }
}

void dropout_apply(float *x, const uint32_t *mask, size_t start, size_t n, float scale)
{
    size_t first = start % MASK_BITS, done = min_size(n, (MASK_BITS - first) % MASK_BITS);
    const uint32_t *word = mask + start / MASK_BITS;
    if (done > 0) drop(x, *word++, (uint32_t)first, (uint32_t)done, scale);
    for (; done + MASK_BITS <= n; done += MASK_BITS) drop(x + done, *word++, 0, MASK_BITS, scale);
    if (done < n) drop(x + done, *word, 0, (uint32_t)(n - done), scale);
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
