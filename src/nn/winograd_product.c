/*
 * A block of rows by two vectors of outputs stays in registers over the whole depth: 12 x 2 of the
 * 32 registers of AVX-512, 6 x 2 of 16 elsewhere. b is read in one piece, and each element of a is
 * spread over a register and used twice.
 */
#include "nn/winograd_product.h"

enum { STEP = WINOGRAD_ROW_STEP, MAX_ROWS = 3 * STEP };

/* c [rows, PANEL] for the first `rows` rows of the product; a constant where it is called. */
static inline __attribute__((always_inline)) void block(float *c, WinogradProduct p, int rows,
                                                        bool accumulate)
{
    Simd sums[MAX_ROWS][2];
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = (Simd){0};
    for (int k = 0; k < p.depth; k++, p.a += p.step, p.b += WINOGRAD_PANEL) {
        Simd b0 = simd_load(p.b), b1 = simd_load(p.b + SIMD_LANES);
        for (int r = 0; r < rows; r++) {
            Simd spread = p.a[(size_t)r * p.row] - (Simd){0};
            sums[r][0] += spread * b0;
            sums[r][1] += spread * b1;
        }
    }
    for (int r = 0; r < rows; r++, c += p.c_row) {
        if (accumulate) {
            sums[r][0] += simd_load(c);
            sums[r][1] += simd_load(c + SIMD_LANES);
        }
        simd_store(c, sums[r][0]);
        simd_store(c + SIMD_LANES, sums[r][1]);
    }
}

void winograd_product(float *c, WinogradProduct p, bool accumulate)
{
    for (; p.rows > 2 * STEP; p.rows -= MAX_ROWS) {
        block(c, p, MAX_ROWS, accumulate);
        p.a += MAX_ROWS * p.row;
        c += MAX_ROWS * p.c_row;
    }
    if (p.rows > STEP)
        block(c, p, 2 * STEP, accumulate);
    else if (p.rows > 0)
        block(c, p, STEP, accumulate);
}
