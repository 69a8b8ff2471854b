/*
 * A block of rows by two vectors of columns stays in registers over the whole depth: 12 x 2 of the
 * 32 registers of AVX-512, 6 x 2 of 16 elsewhere. Each vector of b is read once, and each element
 * of a is spread over a register and used for both. c is asked for as a block begins, long before
 * it is written: up to a tenth where c comes from memory.
 */
#include "nn/panel_product.h"

enum { STEP = SIMD_LANES == 16 ? 4 : 2, MAX_ROWS = 3 * STEP };

/* c for the first `rows` rows of the product, `vectors` (1 or 2) wide: constants where it is
 * called. */
static inline __attribute__((always_inline)) void block(float *c, const PanelProduct *p, int rows,
                                                        int vectors, bool accumulate)
{
    Simd sums[MAX_ROWS][2];
    const float *a = p->a, *b = p->b;
    for (int v = 0; v < vectors; v++) {
        Simd start = p->start ? simd_load(p->start + v * SIMD_LANES) : (Simd){0};
        for (int r = 0; r < rows; r++) sums[r][v] = start;
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            __builtin_prefetch(c + (size_t)r * p->c_row + v * SIMD_LANES, 1);
    for (int k = 0; k < p->depth; k++, a += p->a_step, b += p->b_row) {
        Simd b0 = simd_load(b), b1 = vectors == 2 ? simd_load(b + SIMD_LANES) : b0;
        for (int r = 0; r < rows; r++) {
            Simd spread = a[(size_t)r * p->a_row] - (Simd){0};
            sums[r][0] += spread * b0;
            if (vectors == 2) sums[r][1] += spread * b1;
        }
    }
    for (int r = 0; r < rows; r++, c += p->c_row)
        for (int v = 0; v < vectors; v++) {
            if (accumulate) sums[r][v] += simd_load(c + v * SIMD_LANES);
            simd_store(c + v * SIMD_LANES, sums[r][v]);
        }
}

/* The rows that are left, fewer than STEP. */
static inline __attribute__((always_inline)) void tail(float *c, const PanelProduct *p, int vectors,
                                                       bool accumulate)
{
    if (p->rows == 3)
        block(c, p, 3, vectors, accumulate);
    else if (p->rows == 2)
        block(c, p, 2, vectors, accumulate);
    else if (p->rows == 1)
        block(c, p, 1, vectors, accumulate);
}

static inline __attribute__((always_inline)) void all_rows(float *c, PanelProduct p, int vectors,
                                                           bool accumulate)
{
    for (; p.rows >= MAX_ROWS; p.rows -= MAX_ROWS) {
        block(c, &p, MAX_ROWS, vectors, accumulate);
        p.a += MAX_ROWS * p.a_row;
        c += MAX_ROWS * p.c_row;
    }
    int rows = p.rows / STEP * STEP;
    if (rows == 2 * STEP)
        block(c, &p, 2 * STEP, vectors, accumulate);
    else if (rows == STEP)
        block(c, &p, STEP, vectors, accumulate);
    p.rows -= rows;
    p.a += (size_t)rows * p.a_row;
    tail(c + (size_t)rows * p.c_row, &p, vectors, accumulate);
}

void panel_product(float *c, PanelProduct p, bool accumulate)
{
    all_rows(c, p, 2, accumulate);
}

void panel_product_half(float *c, PanelProduct p, bool accumulate)
{
    all_rows(c, p, 1, accumulate);
}
