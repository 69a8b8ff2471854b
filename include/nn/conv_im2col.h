/*
 * 3x3 convolution as matrix products over gathered pixels: stride 2, images of one or three
 * channels, and whatever else Winograd's algorithm does not suit. The contracts are those of
 * nn/conv.h, whose functions are the only callers.
 */
#ifndef DDPM_NN_CONV_IM2COL_H
#define DDPM_NN_CONV_IM2COL_H

#include "nn/conv_dims.h"

#include <stddef.h>

/* Each pass has its own need of scratch, in floats. */
size_t im2col_forward_scratch(const ConvDims *d);
void im2col_forward(float *y, const float *x, const float *w, ConvAdd add, const ConvDims *d,
                    float *scratch);

/* Meant for stride 2. */
size_t im2col_backward_input_scratch(const ConvDims *d);
void im2col_backward_input(float *dx, const float *dy, const float *w, const ConvDims *d,
                           float *scratch);

/* Without the bias. */
size_t im2col_backward_weight_scratch(const ConvDims *d);
void im2col_backward_weight(float *dw, const float *dy, const float *x, const ConvDims *d,
                            float *scratch);

#endif
