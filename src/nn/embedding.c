/*
 * Frequencies and angles are taken in double and rounded last: at t = 999 a float's angle would
 * already be off by 6e-5.
 */
#include "nn/embedding.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

void timestep_embedding(float *y, const float *t, int n, int dim, double freq_shift, bool flip)
{
    assert(dim % 2 == 0);
    int half = dim / 2, sine = flip ? half : 0, cosine = flip ? 0 : half;
    for (int k = 0; k < half; k++) {
        double frequency = k ? exp(-log(10000.0) * k / (half - freq_shift)) : 1.0;
        for (int i = 0; i < n; i++) {
            float *row = y + (size_t)i * (size_t)dim;
            row[sine + k] = (float)sin((double)t[i] * frequency);
            row[cosine + k] = (float)cos((double)t[i] * frequency);
        }
    }
}

void class_embedding_forward(float *y, const float *table, const int32_t *labels, int n, int dim)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < dim; k++)
            y[(size_t)i * (size_t)dim + (size_t)k] +=
                table[(size_t)labels[i] * (size_t)dim + (size_t)k];
}

void class_embedding_backward(float *dtable, const float *dy, const int32_t *labels, int n, int dim)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < dim; k++)
            dtable[(size_t)labels[i] * (size_t)dim + (size_t)k] +=
                dy[(size_t)i * (size_t)dim + (size_t)k];
}
