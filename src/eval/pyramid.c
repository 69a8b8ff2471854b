/*
 * The filter is a product of one along the lines and one along the columns, and each is a weighted
 * sum of five neighbours at some stride, so one function serves both ways.
 */
#include "eval/pyramid.h"

#include "base/whole.h"

#include <assert.h>

static const float filter[5] = {1 / 16.0f, 4 / 16.0f, 6 / 16.0f, 4 / 16.0f, 1 / 16.0f};

int pyramid_side(int pixels, int level)
{
    for (; level > 0; level--) pixels = (pixels + 1) / 2;
    return pixels;
}

int pyramid_levels(int height, int width)
{
    int levels = 1;
    while (pyramid_side(whole_min(height, width), levels) >= PYRAMID_SMALLEST) levels++;
    return levels;
}

static int mirror(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

/* One line or column of n pixels, `stride` floats apart, into every other of its pixels. */
static void shrink(float *out, const float *x, int n, size_t stride, int channels)
{
    for (int i = 0; i < n; i += 2)
        for (int c = 0; c < channels; c++) {
            float sum = 0;
            for (int k = -2; k <= 2; k++)
                sum += filter[k + 2] * x[(size_t)mirror(i + k, n) * stride + (size_t)c];
            out[(size_t)(i / 2) * stride + (size_t)c] = sum;
        }
}

/* n pixels from those of half as many, between which there are zeros: twice the filter. */
static void enlarge(float *out, const float *x, int n, size_t stride, int channels)
{
    for (int i = 0; i < n; i++)
        for (int c = 0; c < channels; c++) {
            float sum = 0;
            for (int k = -2; k <= 2; k++) {
                int j = mirror(i + k, n);
                if (j % 2 == 0) sum += filter[k + 2] * x[(size_t)(j / 2) * stride + (size_t)c];
            }
            out[(size_t)i * stride + (size_t)c] = 2 * sum;
        }
}

/* Lines, and the scratch, keep the larger of the two widths, so that strides are the same. */
void pyramid_down(float *out, const float *x, int height, int width, int channels, float *scratch)
{
    assert(height >= 3 && width >= 3);
    size_t line = (size_t)width * (size_t)channels, pixel = (size_t)channels;
    int half = (width + 1) / 2;
    for (int i = 0; i < width; i++)
        shrink(scratch + (size_t)i * pixel, x + (size_t)i * pixel, height, line, channels);
    for (int y = 0; y < (height + 1) / 2; y++)
        shrink(out + (size_t)y * (size_t)half * pixel, scratch + (size_t)y * line, width, pixel,
               channels);
}

void pyramid_up(float *out, const float *x, int height, int width, int channels, float *scratch)
{
    assert(height >= 3 && width >= 3);
    size_t line = (size_t)width * (size_t)channels, pixel = (size_t)channels;
    int half = (width + 1) / 2;
    for (int y = 0; y < (height + 1) / 2; y++)
        enlarge(scratch + (size_t)y * line, x + (size_t)y * (size_t)half * pixel, width, pixel,
                channels);
    for (int i = 0; i < width; i++)
        enlarge(out + (size_t)i * pixel, scratch + (size_t)i * pixel, height, line, channels);
}

void pyramid_level(float *out, int level, const uint8_t *image, int height, int width, int channels,
                   float *scratch)
{
    size_t size = (size_t)height * (size_t)width * (size_t)channels;
    float *now = scratch, *next = scratch + size, *rest = scratch + 2 * size;
    int levels = pyramid_levels(height, width);
    assert(level >= 0 && level < levels);
    for (size_t i = 0; i < size; i++) now[i] = (float)image[i];
    for (int k = 0; k < level; k++) {
        pyramid_down(next, now, height, width, channels, rest);
        float *swapped = now;
        now = next, next = swapped;
        height = (height + 1) / 2, width = (width + 1) / 2;
    }
    size = (size_t)height * (size_t)width * (size_t)channels;
    if (level < levels - 1) {
        pyramid_down(next, now, height, width, channels, rest);
        pyramid_up(out, next, height, width, channels, rest);
    }
    for (size_t i = 0; i < size; i++) out[i] = now[i] - (level < levels - 1 ? out[i] : 0);
}
