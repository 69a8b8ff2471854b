/*
 * The vectors go along whatever A has contiguous: its rows if it is transposed (the product is
 * then made transposed, with A in the place of B), else its depth, whose lanes are summed at the
 * end. B is turned into [n, depth] on the stack, a chunk of the depth at a time.
 */
#include "nn/narrow_product.h"

#include "base/whole.h"
#include "nn/panel_product.h"

#include <stdbool.h>
#include <string.h>

enum { DEPTH = 512, ROWS = 4 };

typedef struct {
    float at[NARROW_COLUMNS][DEPTH]; /* alpha op(B)^T */
} Turned;

static void turn(Turned *t, const float *b, const Gemm *g, int first, int depth)
{
    size_t ld = (size_t)g->ldb;
    for (size_t j = 0; j < (size_t)g->n; j++)
        for (size_t k = 0; k < (size_t)depth; k++) {
            size_t of_b = (size_t)first + k;
            t->at[j][k] = g->alpha * b[g->trans_b ? j * ld + of_b : of_b * ld + j];
        }
}

static void put(float *c, float sum, bool accumulate, const float *start)
{
    if (start) sum += *start;
    *c = accumulate ? *c + sum : sum;
}

/* sums[r] = the sum over k of a[r a_row + k] b[k]; `rows` a constant where it is called. */
static inline __attribute__((always_inline)) void dots(float *sums, const float *a, size_t a_row,
                                                       const float *b, int depth, int rows)
{
    Simd lanes[ROWS];
    int whole = depth / SIMD_LANES * SIMD_LANES;
    for (int r = 0; r < rows; r++) lanes[r] = (Simd){0};
    for (int k = 0; k < whole; k += SIMD_LANES)
        for (int r = 0; r < rows; r++)
            lanes[r] += simd_load(a + (size_t)r * a_row + k) * simd_load(b + k);
    for (int r = 0; r < rows; r++) {
        float part[SIMD_LANES];
        simd_store(part, lanes[r]);
        for (int half = SIMD_LANES / 2; half > 0; half /= 2)
            for (int i = 0; i < half; i++) part[i] += part[i + half];
        for (int k = whole; k < depth; k++) part[0] += a[(size_t)r * a_row + (size_t)k] * b[k];
        sums[r] = part[0];
    }
}

static void along_depth(float *c, const float *a, const Turned *t, const float *start,
                        const Gemm *g, int depth, bool accumulate)
{
    size_t lda = (size_t)g->lda;
    for (int i = 0; i < g->m; i += ROWS, a += ROWS * lda, c += ROWS * (size_t)g->ldc) {
        int rows = whole_min(ROWS, g->m - i);
        float sums[ROWS];
        for (int j = 0; j < g->n; j++) {
            if (rows == ROWS)
                dots(sums, a, lda, t->at[j], depth, ROWS);
            else
                for (int r = 0; r < rows; r++)
                    dots(sums + r, a + (size_t)r * lda, lda, t->at[j], depth, 1);
            for (int r = 0; r < rows; r++)
                put(c + (size_t)r * (size_t)g->ldc + j, sums[r], accumulate,
                    start ? start + j : NULL);
        }
    }
}

/* Rows of A that do not fill a panel. */
static void last_rows(float *made, const float *a, const Turned *t, const Gemm *g, int rows,
                      int depth)
{
    for (int j = 0; j < g->n; j++) {
        float *sums = made + j * PANEL_COLUMNS;
        memset(sums, 0, PANEL_COLUMNS * sizeof *sums);
        for (int k = 0; k < depth; k++)
            for (int i = 0; i < rows; i++)
                sums[i] += a[(size_t)k * (size_t)g->lda + (size_t)i] * t->at[j][k];
    }
}

static void along_rows(float *c, const float *a, const Turned *t, const float *start, const Gemm *g,
                       int depth, bool accumulate)
{
    float made[NARROW_COLUMNS * PANEL_COLUMNS];
    for (int i = 0; i < g->m; i += PANEL_COLUMNS, a += PANEL_COLUMNS) {
        int rows = whole_min(PANEL_COLUMNS, g->m - i);
        PanelProduct p = {.a = t->at[0],
                          .a_row = DEPTH,
                          .a_step = 1,
                          .b = a,
                          .b_row = (size_t)g->lda,
                          .c_row = PANEL_COLUMNS,
                          .rows = g->n,
                          .depth = depth};
        if (rows == PANEL_COLUMNS)
            panel_product(made, p, false);
        else
            last_rows(made, a, t, g, rows, depth);
        for (int r = 0; r < rows; r++, c += g->ldc)
            for (int j = 0; j < g->n; j++)
                put(c + j, made[j * PANEL_COLUMNS + r], accumulate, start ? start + j : NULL);
    }
}

void narrow_product(float *c, const float *a, const float *b, const float *start, Gemm g)
{
    Turned t;
    for (int k = 0; k < g.k; k += DEPTH) {
        int depth = whole_min(DEPTH, g.k - k);
        bool accumulate = k > 0 || g.beta != 0.0f;
        turn(&t, b, &g, k, depth);
        if (g.trans_a)
            along_rows(c, a + (size_t)k * (size_t)g.lda, &t, start, &g, depth, accumulate);
        else
            along_depth(c, a + k, &t, start, &g, depth, accumulate);
        start = NULL;
    }
}
