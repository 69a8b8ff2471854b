/*
 * The comparisons in pixels_to_bytes are those that are false for NaN, which therefore ends as 0
 * rather than in a conversion to an integer that C leaves undefined.
 */
#include "data/pixels.h"

static float to_float(uint8_t byte)
{
    return (float)byte / 127.5f - 1.0f;
}

void pixels_to_floats(float *x, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = to_float(bytes[i]);
}

void pixels_to_floats_mirrored(float *x, const uint8_t *bytes, int height, int width, int channels)
{
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            int mirrored = width - 1 - column;
            size_t from = ((size_t)row * (size_t)width + (size_t)mirrored) * (size_t)channels;
            for (int c = 0; c < channels; c++) *x++ = to_float(bytes[from + (size_t)c]);
        }
}

void pixels_to_bytes(uint8_t *bytes, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float level = (x[i] + 1.0f) * 127.5f + 0.5f;
        float floored = level > 0.0f ? level : 0.0f;
        bytes[i] = (uint8_t)(floored < 255.0f ? floored : 255.0f);
    }
}
