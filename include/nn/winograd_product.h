/*
 * The matrix products between Winograd's transforms: many small ones on operands that are laid out
 * for them beforehand, which is what a general GEMM spends its time on at these sizes.
 */
#ifndef DDPM_NN_WINOGRAD_PRODUCT_H
#define DDPM_NN_WINOGRAD_PRODUCT_H

#include "nn/winograd_transform.h"

#include <stdbool.h>

/* c rows may be written past `rows` up to a multiple of this, and a's read so far. */
enum { WINOGRAD_ROW_STEP = SIMD_LANES == 16 ? 4 : 2 };

typedef struct {
    const float *a; /* element (r,k) at a[r * row + k * step] */
    size_t row, step;
    const float *b; /* [depth, WINOGRAD_PANEL] */
    int rows, depth;
} WinogradProduct;

/* c [rows, WINOGRAD_PANEL] = a b, or += with `accumulate`. Each element is summed over k in order,
 * so its bits do not depend on where the rows are split. */
void winograd_product(float *c, WinogradProduct p, bool accumulate);

#endif
