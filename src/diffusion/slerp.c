#include "diffusion/slerp.h"

#include <math.h>

static double dot(const float *a, const float *b, size_t size)
{
    double sum = 0.0;
    for (size_t k = 0; k < size; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

void slerp(float *out, const float *a, const float *b, double part, size_t size)
{
    double of_a = 1.0 - part, of_b = part;
    double lengths = sqrt(dot(a, a, size) * dot(b, b, size));
    double cosine = lengths > 0.0 ? dot(a, b, size) / lengths : 1.0;
    double theta = acos(fmax(-1.0, fmin(cosine, 1.0)));
    if (sin(theta) > 1e-4 && part > 0.0 && part < 1.0) {
        of_a = sin((1.0 - part) * theta) / sin(theta);
        of_b = sin(part * theta) / sin(theta);
    }
    for (size_t k = 0; k < size; k++) out[k] = (float)(of_a * (double)a[k] + of_b * (double)b[k]);
}
