/*
 * Products of few columns, which would leave most of a panel empty: nn/product.h's way to make an
 * image's one or three channels. Private to nn.
 */
#ifndef DDPM_NN_NARROW_PRODUCT_H
#define DDPM_NN_NARROW_PRODUCT_H

#include "base/gemm.h"

enum { NARROW_COLUMNS = 4 };

/* product() for n <= NARROW_COLUMNS, with the same contract. */
void narrow_product(float *c, const float *a, const float *b, const float *start, Gemm g);

#endif
