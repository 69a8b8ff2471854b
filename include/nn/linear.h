/*
 * Linear layer over rows, which are pixels (a 1x1 convolution), tokens or images:
 *
 *     y[r,o] = sum over i of x[r,i] w[i,o] + b[o]
 *
 * x [rows,in], w [in,out] (files hold [out,in]), y [rows,out].
 */
#ifndef DDPM_NN_LINEAR_H
#define DDPM_NN_LINEAR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int rows, in, out;
} LinearDims;

/* y = x w + b, or y += x w + b with `accumulate`. b may be NULL. On a concatenation [a | b] of
 * channels, call it twice: w's first rows are a's. */
void linear_forward(float *y, const float *x, const float *w, const float *bias, bool accumulate,
                    const LinearDims *d);

/* dx = dy w^T, or dx += with `accumulate`. */
void linear_backward_input(float *dx, const float *dy, const float *w, bool accumulate,
                           const LinearDims *d);

/* dw += x^T dy, dbias += column sums of dy (dbias may be NULL). */
void linear_backward_weight(float *dw, float *dbias, const float *dy, const float *x,
                            const LinearDims *d);

/* sums[c] += the sum over rows of x[r,c], x [rows,c]; in double, in fixed chunks. For biases. */
void linear_column_sums(float *sums, const float *x, int rows, int c);

#endif
