/*
 * A few numbers an image, next to the convolutions before them: plain loops in double.
 */
#include "nn/cross_entropy.h"

#include <math.h>
#include <stddef.h>

static double row_loss(float *dy, const float *y, int label, double scale, int classes)
{
    double largest = (double)y[0], sum = 0, own = (double)y[label];
    for (int k = 1; k < classes; k++) largest = fmax(largest, (double)y[k]);
    for (int k = 0; k < classes; k++) sum += exp((double)y[k] - largest);
    for (int k = 0; dy && k < classes; k++) {
        double share = exp((double)y[k] - largest) / sum;
        dy[k] = (float)(scale * (share - (k == label)));
    }
    return log(sum) + (largest - own);
}

void cross_entropy(double *loss, float *dy, const float *y, const int32_t *labels, double scale,
                   int n, int classes)
{
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)classes;
        loss[i] = row_loss(dy ? dy + at : NULL, y + at, labels[i], scale, classes);
    }
}
