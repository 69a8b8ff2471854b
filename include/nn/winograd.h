/*
 * 3x3 convolution with stride 1 by Winograd's F(4x4, 3x3) (Lavin & Gray 2016): 36 products where
 * the definition has 144. The contracts are those of nn/conv.h, whose functions are the only
 * callers.
 */
#ifndef DDPM_NN_WINOGRAD_H
#define DDPM_NN_WINOGRAD_H

#include "nn/conv_dims.h"

#include <stddef.h>

/* Floats of the transformed filter; 0 where transforming it again is as fast as reading it. */
size_t winograd_prepared_size(const ConvDims *d);
void winograd_prepare(float *prepared, const float *w, const ConvDims *d);

size_t winograd_forward_scratch(const ConvDims *d);
void winograd_forward(float *y, const float *x, const float *w, const float *prepared, ConvAdd add,
                      const ConvDims *d, float *scratch);

/* Without the bias. */
size_t winograd_backward_weight_scratch(const ConvDims *d);
void winograd_backward_weight(float *dw, const float *dy, const float *x, const ConvDims *d,
                              float *scratch);

#endif
