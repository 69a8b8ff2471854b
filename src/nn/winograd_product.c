/*
 * A block of rows by two vectors of outputs stays in registers over the whole depth: 12 x 2 of the
 * 32 registers of AVX-512, 6 x 2 of 16 elsewhere. b is read in one piece, and each element of a is
 * spread over a register and used twice.
 */
#include "nn/winograd_product.h"

enum { STEP = WINOGRAD_ROW_STEP, MAX_ROWS = 3 * STEP };

static inline __attribute__((always_inline)) void block(float *c, const float *a, size_t row,
                                                        size_t step, const float *b, int depth,
                                                        int rows, bool accumulate)
{
    Simd sums[MAX_ROWS][2];
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = (Simd){0};
    for (int k = 0; k < depth; k++, a += step, b += WINOGRAD_PANEL) {
        Simd b0 = simd_load(b), b1 = simd_load(b + SIMD_LANES);
        for (int r = 0; r < rows; r++) {
            Simd spread = a[(size_t)r * row] - (Simd){0};
            sums[r][0] += spread * b0;
            sums[r][1] += spread * b1;
        }
    }
    for (int r = 0; r < rows; r++, c += WINOGRAD_PANEL) {
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
    int r = 0;
    for (; r + 2 * STEP < p.rows; r += MAX_ROWS)
        block(c + r * WINOGRAD_PANEL, p.a + (size_t)r * p.row, p.row, p.step, p.b, p.depth,
              3 * STEP, accumulate);
    if (r + STEP < p.rows)
        block(c + r * WINOGRAD_PANEL, p.a + (size_t)r * p.row, p.row, p.step, p.b, p.depth,
              2 * STEP, accumulate);
    else if (r < p.rows)
        block(c + r * WINOGRAD_PANEL, p.a + (size_t)r * p.row, p.row, p.step, p.b, p.depth, STEP,
              accumulate);
}
