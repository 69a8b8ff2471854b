/*
 * B is cut into panels of as many columns as the micro-kernel makes at a time, and in depth into
 * chunks, so that a panel stays in the first cache while all rows of A pass by. A chunk of a panel
 * is copied to the stack, where it lies in one piece (transposed if B is); for few rows that does
 * not pay, and B is read where it lies. Later chunks add to C.
 */
#include "nn/product.h"

#include "base/whole.h"
#include "nn/narrow_product.h"
#include "nn/panel_product.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum {
    COLUMNS = PANEL_COLUMNS,
    DEPTH = 256,      /* of a chunk: 32 KiB of b with AVX-512 */
    FEW_ROWS = 24,    /* no more than these read b where it lies */
    EDGE_ROWS = 48,   /* of c at a time where its columns do not fill a panel */
    BLOCK_ROWS = 480, /* of c, for one task, whose part of a should stay in the second cache */
    BLOCK_COLUMNS = 512,
    TASKS = 8,            /* as many are wanted */
    SUM_FLOATS = 1 << 17, /* for the parts of a sum: 512 KiB of the stack */
    QUAD = 4,
};

typedef float Quad __attribute__((vector_size(QUAD * sizeof(float))));

static inline Quad quad_load(const float *from)
{
    Quad q;
    memcpy(&q, from, sizeof q);
    return q;
}

/* The elements of a's and b's first halves by turns, and of their second halves. */
static inline Quad first_halves(Quad a, Quad b)
{
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}

static inline Quad second_halves(Quad a, Quad b)
{
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

/* to[j * COLUMNS + i] = from[i * ld + j] for i, j < 4. */
static inline void transpose_quad(float *to, const float *from, size_t ld)
{
    Quad a = quad_load(from), b = quad_load(from + ld);
    Quad c = quad_load(from + 2 * ld), d = quad_load(from + 3 * ld);
    Quad ac0 = first_halves(a, c), ac1 = second_halves(a, c);
    Quad bd0 = first_halves(b, d), bd1 = second_halves(b, d);
    Quad columns[QUAD] = {first_halves(ac0, bd0), second_halves(ac0, bd0), first_halves(ac1, bd1),
                          second_halves(ac1, bd1)};
    for (size_t j = 0; j < QUAD; j++) memcpy(to + j * COLUMNS, &columns[j], sizeof columns[j]);
}

/* panel [depth, COLUMNS] = b^T, b [columns, depth] with rows ld apart. */
static void copy_transposed(float *panel, const float *b, size_t ld, int depth, int columns)
{
    int whole_columns = columns / QUAD * QUAD, whole_depth = depth / QUAD * QUAD;
    for (int j = 0; j < whole_columns; j += QUAD)
        for (int k = 0; k < whole_depth; k += QUAD)
            transpose_quad(panel + k * COLUMNS + j, b + (size_t)j * ld + k, ld);
    for (int j = 0; j < columns; j++)
        for (int k = j < whole_columns ? whole_depth : 0; k < depth; k++)
            panel[k * COLUMNS + j] = b[(size_t)j * ld + (size_t)k];
}

/* panel [depth, COLUMNS] = alpha op(b), zero from `columns` on to the end of the vector. */
static void copy_panel(float *restrict panel, const float *restrict b, const Gemm *g, int depth,
                       int columns)
{
    size_t ld = (size_t)g->ldb, width = columns > SIMD_LANES ? COLUMNS : SIMD_LANES;
    if (columns % SIMD_LANES != 0)
        for (size_t k = 0; k < (size_t)depth; k++)
            simd_store(panel + k * COLUMNS + width - SIMD_LANES, (Simd){0});
    if (g->trans_b)
        copy_transposed(panel, b, ld, depth, columns);
    else if (columns == COLUMNS)
        for (size_t k = 0; k < (size_t)depth; k++)
            memcpy(panel + k * COLUMNS, b + k * ld, COLUMNS * sizeof *panel);
    else
        for (size_t k = 0; k < (size_t)depth; k++)
            memcpy(panel + k * COLUMNS, b + k * ld, (size_t)columns * sizeof *panel);
    for (size_t k = 0; g->alpha != 1.0f && k < (size_t)depth; k++)
        for (size_t j = 0; j < width; j++) panel[k * COLUMNS + j] *= g->alpha;
}

/* A panel of which only `columns` belong to c, by way of a buffer. */
static void edge_product(float *c, PanelProduct p, bool accumulate, int columns)
{
    float buffer[EDGE_ROWS * COLUMNS];
    size_t c_row = p.c_row;
    int rows = p.rows;
    p.c_row = COLUMNS;
    for (int first = 0; first < rows; first += EDGE_ROWS, p.a += EDGE_ROWS * p.a_row) {
        p.rows = whole_min(EDGE_ROWS, rows - first);
        if (columns > SIMD_LANES)
            panel_product(buffer, p, false);
        else
            panel_product_half(buffer, p, false);
        for (int r = 0; r < p.rows; r++, c += c_row) {
            const float *from = buffer + r * COLUMNS;
            for (int j = 0; j < columns; j++) c[j] = accumulate ? c[j] + from[j] : from[j];
        }
    }
}

/* One chunk of a panel; p.a and p.start are where it begins. */
static void chunk_product(float *c, PanelProduct p, const float *b, const Gemm *g, int columns,
                          bool accumulate)
{
    float panel[DEPTH * COLUMNS] __attribute__((aligned(64)));
    float start[COLUMNS] = {0};
    bool in_place = columns == COLUMNS && g->m <= FEW_ROWS && !g->trans_b && g->alpha == 1.0f;
    if (!in_place) copy_panel(panel, b, g, p.depth, columns);
    p.b = in_place ? b : panel;
    p.b_row = in_place ? (size_t)g->ldb : COLUMNS;
    if (p.start && columns < COLUMNS) {
        memcpy(start, p.start, (size_t)columns * sizeof *start);
        p.start = start;
    }
    if (columns == COLUMNS)
        panel_product(c, p, accumulate);
    else if (columns == SIMD_LANES)
        panel_product_half(c, p, accumulate);
    else
        edge_product(c, p, accumulate, columns);
}

void product(float *c, const float *a, const float *b, const float *start, Gemm g)
{
    assert(g.m > 0 && g.n > 0 && g.k > 0 && (g.beta == 0.0f || g.beta == 1.0f));
    if (g.n <= NARROW_COLUMNS) {
        narrow_product(c, a, b, start, g);
        return;
    }
    size_t lda = (size_t)g.lda, ldb = (size_t)g.ldb;
    PanelProduct p = {.a_row = g.trans_a ? 1 : lda,
                      .a_step = g.trans_a ? lda : 1,
                      .c_row = (size_t)g.ldc,
                      .rows = g.m};
    int chunk = whole_divide_up(g.k, whole_divide_up(g.k, DEPTH));
    for (int k = 0; k < g.k; k += chunk)
        for (int j = 0; j < g.n; j += COLUMNS) {
            p.a = a + (size_t)k * p.a_step;
            p.depth = whole_min(chunk, g.k - k);
            p.start = start && k == 0 ? start + j : NULL;
            const float *part =
                b + (g.trans_b ? (size_t)j * ldb + (size_t)k : (size_t)k * ldb + (size_t)j);
            chunk_product(c + j, p, part, &g, whole_min(COLUMNS, g.n - j), k > 0 || g.beta != 0.0f);
        }
}

/* How a product is cut: blocks of c, and parts of the sum over k. */
typedef struct {
    int rows, columns, depth;
    int down, across, parts;
} Cut;

static long tasks_of(const Cut *cut, const Gemm *g)
{
    return (long)whole_divide_up(g->m, cut->rows) * whole_divide_up(g->n, cut->columns) *
           cut->parts;
}

/* TASKS blocks at least where the product is large enough. A long sum over k with a small c, the
 * gradient of a weight, is split first: all else reads a and b more than once. */
static Cut cut_work(const Gemm *g)
{
    Cut cut = {.rows = whole_min(BLOCK_ROWS, g->m), .columns = BLOCK_COLUMNS, .parts = 1};
    long size = (long)g->m * g->n;
    while (tasks_of(&cut, g) < TASKS && g->k / (2 * cut.parts) >= 2 * DEPTH &&
           (2 * cut.parts - 1) * size <= SUM_FLOATS)
        cut.parts *= 2;
    for (int least = 4; least >= 2; least -= 2) {
        while (tasks_of(&cut, g) < TASKS && cut.columns > least * COLUMNS) cut.columns /= 2;
        while (tasks_of(&cut, g) < TASKS && cut.rows > least * COLUMNS)
            cut.rows = whole_divide_up(cut.rows, 2);
    }
    cut.depth = whole_divide_up(g->k, cut.parts);
    cut.down = whole_divide_up(g->m, cut.rows), cut.across = whole_divide_up(g->n, cut.columns);
    return cut;
}

/* One block of c, or of a part of the sum that is kept in `sums`. */
static void run_task(float *c, float *sums, const float *a, const float *b, const float *start,
                     Gemm g, const Cut *cut, int task)
{
    int block = task % (cut->down * cut->across), part = task / (cut->down * cut->across);
    int i = block / cut->across * cut->rows, j = block % cut->across * cut->columns;
    int k = part * cut->depth;
    size_t lda = (size_t)g.lda, ldb = (size_t)g.ldb;
    a += g.trans_a ? (size_t)k * lda + (size_t)i : (size_t)i * lda + (size_t)k;
    b += g.trans_b ? (size_t)j * ldb + (size_t)k : (size_t)k * ldb + (size_t)j;
    if (part > 0) {
        c = sums + (size_t)(part - 1) * (size_t)g.m * (size_t)g.n;
        g.ldc = g.n, g.beta = 0, start = NULL;
    }
    c += (size_t)i * (size_t)g.ldc + (size_t)j;
    g.m = whole_min(cut->rows, g.m - i);
    g.n = whole_min(cut->columns, g.n - j);
    g.k = whole_min(cut->depth, g.k - k);
    product(c, a, b, start ? start + j : NULL, g);
}

void product_parallel(float *c, const float *a, const float *b, const float *start, Gemm g)
{
    float sums[SUM_FLOATS];
    Cut cut = cut_work(&g);
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < cut.down * cut.across * cut.parts; task++)
        run_task(c, sums, a, b, start, g, &cut, task);
    size_t size = (size_t)g.m * (size_t)g.n;
    for (int part = 1; part < cut.parts; part++)
        for (size_t i = 0; i < (size_t)g.m; i++)
            for (size_t j = 0; j < (size_t)g.n; j++)
                c[i * (size_t)g.ldc + j] += sums[(size_t)(part - 1) * size + i * (size_t)g.n + j];
}
