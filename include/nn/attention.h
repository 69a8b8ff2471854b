/*
 * The core of self-attention over the tokens (pixels) of each image, head by head:
 *
 *     o = softmax(q k^T / sqrt(c / heads)) v        (Vaswani et al. 2017, eq. 1)
 *
 * q, k, v, o are [n,tokens,c]; head j has the channels [j c/heads, (j+1) c/heads). The
 * probabilities are never kept whole: both passes make them for a block of queries at a time, in
 * per-thread scratch, and the backward pass makes them again.
 */
#ifndef DDPM_NN_ATTENTION_H
#define DDPM_NN_ATTENTION_H

#include <stddef.h>

typedef struct {
    int n, tokens, c, heads;
} AttentionDims;

/* Floats of scratch for either pass. Grows with parallel_threads(). */
size_t attention_scratch(const AttentionDims *d);

void attention_forward(float *o, const float *q, const float *k, const float *v,
                       const AttentionDims *d, float *scratch);

/* dq, dk, dv are overwritten. */
void attention_backward(float *dq, float *dk, float *dv, const float *d_o, const float *q,
                        const float *k, const float *v, const AttentionDims *d, float *scratch);

#endif
