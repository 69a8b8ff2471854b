/*
 * A head's products are on a slice of the channels (the row stride stays c), one thread each;
 * the threads share out images, heads and, in the forward pass, blocks of queries. A block's
 * scores are small enough to be still in the second cache when softmax and the next product want
 * them. In the backward pass all blocks of a head add to the same dk and dv and so stay on one
 * thread, in order.
 */
#include "nn/attention.h"

#include "base/parallel.h"
#include "nn/product.h"
#include "nn/vector_math.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

enum { QUERIES = 128, RUN = 256 };

static int block_count(const AttentionDims *d)
{
    return (d->tokens + QUERIES - 1) / QUERIES;
}

/* Of a block: blocks are about equal, as each of them has its k and v copied for the products. */
static int block_queries(const AttentionDims *d)
{
    return (d->tokens + block_count(d) - 1) / block_count(d);
}

static size_t score_floats(const AttentionDims *d)
{
    return (size_t)block_queries(d) * (size_t)d->tokens;
}

size_t attention_scratch(const AttentionDims *d)
{
    return 2 * score_floats(d) * (size_t)parallel_threads();
}

/* One block of queries of one head: where its first query is in q and o, where the head's first
 * token is in k and v. */
typedef struct {
    size_t query, token;
    int queries, first; /* first: of the head's queries */
} Block;

static Block block_of(const AttentionDims *d, int image, int head, int first)
{
    assert(d->c % d->heads == 0);
    size_t c = (size_t)d->c;
    Block b = {.first = first, .token = (size_t)image * (size_t)d->tokens * c};
    b.token += (size_t)head * (c / (size_t)d->heads);
    b.query = b.token + (size_t)first * c;
    int queries = block_queries(d);
    b.queries = d->tokens - first < queries ? d->tokens - first : queries;
    return b;
}

static float scale_of(const AttentionDims *d)
{
    return (float)(1.0 / sqrt((double)d->c / d->heads));
}

/* scores [queries,tokens] = alpha x y^T, x a block's rows and y the head's. */
static void score(float *scores, const float *x, const float *y, Block b, const AttentionDims *d,
                  float alpha)
{
    Gemm g = {.m = b.queries,
              .n = d->tokens,
              .k = d->c / d->heads,
              .lda = d->c,
              .ldb = d->c,
              .ldc = d->tokens,
              .trans_b = true,
              .alpha = alpha};
    product(scores, x, y, NULL, g);
}

/* out [queries,c/heads] = scores x: rows weighted by the scores. */
static void gather(float *out, const float *scores, const float *x, Block b, const AttentionDims *d)
{
    Gemm g = {.m = b.queries,
              .n = d->c / d->heads,
              .k = d->tokens,
              .lda = d->tokens,
              .ldb = d->c,
              .ldc = d->c,
              .alpha = 1.0f};
    product(out, scores, x, NULL, g);
}

/* out [tokens,c/heads] += scores^T x, x a block's rows; the first block overwrites. */
static void scatter(float *out, const float *scores, const float *x, Block b,
                    const AttentionDims *d)
{
    Gemm g = {.m = d->tokens,
              .n = d->c / d->heads,
              .k = b.queries,
              .lda = d->tokens,
              .ldb = d->c,
              .ldc = d->c,
              .trans_a = true,
              .alpha = 1.0f,
              .beta = b.first ? 1.0f : 0.0f};
    product(out, scores, x, NULL, g);
}

static float row_max(const float *x, size_t n)
{
    float most = x[0];
#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* x = exp(x - most); the sum. */
static float exp_run(float *x, float most, size_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        x[i] = vector_exp(x[i] - most);
        sum += x[i];
    }
    return sum;
}

static float dot_run(const float *x, const float *y, size_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static size_t run_length(size_t start, size_t n)
{
    return n - start < RUN ? n - start : RUN;
}

static void softmax_row(float *x, size_t n)
{
    float most = row_max(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i += RUN) sum += (double)exp_run(x + i, most, run_length(i, n));
    float scale = (float)(1.0 / sum);
    for (size_t i = 0; i < n; i++) x[i] *= scale;
}

/* ds = p (dp - sum of p dp) scale, in place of dp. */
static void softmax_backward_row(float *restrict dp, const float *restrict p, size_t n, float scale)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += RUN) sum += (double)dot_run(p + i, dp + i, run_length(i, n));
    float mean = (float)sum;
    for (size_t i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - mean) * scale;
}

/* p [queries,tokens] = softmax(q k^T scale). */
static void probabilities(float *p, const float *q, const float *k, Block b, const AttentionDims *d)
{
    size_t tokens = (size_t)d->tokens;
    score(p, q + b.query, k + b.token, b, d, scale_of(d));
    for (int i = 0; i < b.queries; i++) softmax_row(p + (size_t)i * tokens, tokens);
}

void attention_forward(float *o, const float *q, const float *k, const float *v,
                       const AttentionDims *d, float *scratch)
{
    int blocks = block_count(d), queries = block_queries(d);
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < d->n * d->heads * blocks; task++) {
        int pair = task / blocks;
        Block b = block_of(d, pair / d->heads, pair % d->heads, task % blocks * queries);
        float *p = scratch + (size_t)parallel_thread() * 2 * score_floats(d);
        probabilities(p, q, k, b, d);
        gather(o + b.query, p, v + b.token, b, d);
    }
}

typedef struct {
    float *dq, *dk, *dv;
} Gradients;

/* One block of queries: o = p v, p = softmax(s), s = q k^T scale. */
static void backward_block(Gradients out, const float *d_o, const float *q, const float *k,
                           const float *v, Block b, const AttentionDims *d, float *scratch)
{
    float *p = scratch, *dp = scratch + score_floats(d);
    size_t tokens = (size_t)d->tokens;
    probabilities(p, q, k, b, d);
    scatter(out.dv + b.token, p, d_o + b.query, b, d);
    score(dp, d_o + b.query, v + b.token, b, d, 1.0f);
    for (int i = 0; i < b.queries; i++) {
        size_t row = (size_t)i * tokens;
        softmax_backward_row(dp + row, p + row, tokens, scale_of(d));
    }
    gather(out.dq + b.query, dp, k + b.token, b, d);
    scatter(out.dk + b.token, dp, q + b.query, b, d);
}

void attention_backward(float *dq, float *dk, float *dv, const float *d_o, const float *q,
                        const float *k, const float *v, const AttentionDims *d, float *scratch)
{
#pragma omp parallel for schedule(dynamic)
    for (int pair = 0; pair < d->n * d->heads; pair++) {
        float *own = scratch + (size_t)parallel_thread() * 2 * score_floats(d);
        for (int first = 0; first < d->tokens; first += block_queries(d)) {
            Block b = block_of(d, pair / d->heads, pair % d->heads, first);
            backward_block((Gradients){dq, dk, dv}, d_o, q, k, v, b, d, own);
        }
    }
}
