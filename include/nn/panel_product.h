/*
 * The micro-kernel of all matrix products that are not BLAS's: many rows times one panel of columns
 * as wide as the registers hold. nn/product.h cuts general products into such; Winograd's
 * algorithm calls it on operands that are laid out for it. Private to nn.
 */
#ifndef DDPM_NN_PANEL_PRODUCT_H
#define DDPM_NN_PANEL_PRODUCT_H

#include "nn/simd.h"

#include <stdbool.h>
#include <stddef.h>

enum { PANEL_COLUMNS = 2 * SIMD_LANES };

typedef struct {
    const float *a;       /* [rows, depth]: element (r,k) at a[r * a_row + k * a_step] */
    size_t a_row, a_step; /* in floats, as are all of these; a transposed a is as good */
    const float *b;       /* [depth, PANEL_COLUMNS], rows b_row apart */
    size_t b_row, c_row;  /* c is [rows, PANEL_COLUMNS] */
    const float *start;   /* [PANEL_COLUMNS], what each row's sums start from; NULL: 0 */
    int rows, depth;
} PanelProduct;

/* c = start + a b, or += with `accumulate`. Each element is summed over k in order, so its bits do
 * not depend on where the rows are split. Nothing beyond the rows is read or written. */
void panel_product(float *c, PanelProduct p, bool accumulate);

/* The same for panels of half the width, SIMD_LANES columns: what is left of a matrix. */
void panel_product_half(float *c, PanelProduct p, bool accumulate);

#endif
