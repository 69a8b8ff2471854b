/*
 * Softmax cross entropy, what classifiers are trained by (Bishop 2006, eqs. 4.104 and 4.108):
 *
 *     loss[i] = log sum over k of exp(y[i,k]) - y[i,label[i]]
 *     d loss[i] / d y[i,k] = softmax(y[i])[k] - [k = label[i]]
 */
#ifndef DDPM_NN_CROSS_ENTROPY_H
#define DDPM_NN_CROSS_ENTROPY_H

#include <stdint.h>

/* loss [n], natural logarithms; dy [n,classes] = scale times the gradient, NULL if it is not
 * wanted, may be y. Exponentials in double, of differences from the largest y of a row, so that no
 * finite y overflows. y [n,classes], labels [n] in [0, classes). */
void cross_entropy(double *loss, float *dy, const float *y, const int32_t *labels, double scale,
                   int n, int classes);

#endif
