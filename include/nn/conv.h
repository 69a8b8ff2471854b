/*
 * 3x3 convolution, forward and backward. x is [n,h,w,c_in], y [n,h_out,w_out,c_out], the filter w
 * [3,3,c_in,c_out] (files hold [c_out,c_in,3,3]; model/params.h turns one into the other):
 *
 *     y[n,i,j,o] = sum over u, v, c of x[n, s i + u - p, s j + v - p, c] w[u,v,c,o]
 *
 * with stride s and zero padding: s = 1 has p = 1 all around; s = 2 has p = 0 and one row and
 * column of zeros at the bottom and right (TensorFlow's SAME, Ho et al.'s), or p = 1 (`pad` 1).
 * 1x1 convolutions are nn/linear.h's, over all pixels.
 *
 * Stride 1 uses Winograd's F(4x4, 3x3) (Lavin & Gray 2016) where it is faster, im2col and GEMM
 * otherwise; which one follows from the shape alone.
 */
#ifndef DDPM_NN_CONV_H
#define DDPM_NN_CONV_H

#include "nn/conv_dims.h"

#include <stddef.h>

/* Floats of scratch that any of the functions below needs for n images or fewer. Grows with
 * parallel_threads(). */
size_t conv_scratch(const ConvDims *d);

/* Floats of the filter as conv_prepare leaves it; 0 if this shape needs no preparing. What is
 * prepared serves calls with the same dims and n images or fewer: whether a filter is transformed
 * beforehand depends on n, but not how. */
size_t conv_prepared_size(const ConvDims *d);
/* Transform the filter once for many calls of conv_forward (while sampling it does not change). */
void conv_prepare(float *prepared, const float *w, const ConvDims *d);

/* y = x * w + add. `prepared` is conv_prepare's result or NULL. y is overwritten. */
void conv_forward(float *y, const float *x, const float *w, const float *prepared, ConvAdd add,
                  const ConvDims *d, float *scratch);

/* dx = the adjoint of x -> x * w applied to dy; dx is overwritten. */
void conv_backward_input(float *dx, const float *dy, const float *w, const ConvDims *d,
                         float *scratch);

/* dw += the gradient of the filter; dbias += the sum of dy over images and pixels, unless NULL. */
void conv_backward_weight(float *dw, float *dbias, const float *dy, const float *x,
                          const ConvDims *d, float *scratch);

#endif
