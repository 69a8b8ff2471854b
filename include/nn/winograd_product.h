/*
 * The matrix products between Winograd's transforms: many small ones on operands that are laid out
 * for them beforehand, which is what a general GEMM spends its time on at these sizes.
 */
#ifndef DDPM_NN_WINOGRAD_PRODUCT_H
#define DDPM_NN_WINOGRAD_PRODUCT_H

#include "nn/winograd_transform.h"

#include <stdbool.h>

/* The rows of a that are read and of c that are written are `rows` rounded up to this. */
enum { WINOGRAD_ROW_STEP = SIMD_LANES == 16 ? 4 : 2 };

typedef struct {
    const float *a;   /* [rows, depth]: element (r,k) at a[r * row + k * step] */
    size_t row, step; /* in floats */
    const float *b;   /* [depth, WINOGRAD_PANEL], in one piece */
    size_t c_row;     /* from row to row of c */
    int rows, depth;
} WinogradProduct;

/* c [rows, WINOGRAD_PANEL] = a b, or += with `accumulate`. Each element is summed over k in order,
 * so its bits do not depend on where the rows are split. */
void winograd_product(float *c, WinogradProduct p, bool accumulate);

#endif
