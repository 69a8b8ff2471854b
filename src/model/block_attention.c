/*
 * Self-attention over all pixels: y = x + out(attention(q(a), k(a), v(a))), a = norm(x), with no
 * activation after the norm. Kept: q, k, v, the attention's result o, and the statistics.
 */
#include "model/block.h"

#include "nn/attention.h"
#include "nn/group_norm.h"
#include "nn/linear.h"

#include <stdio.h>
#include <string.h>

enum { NORM, NORM_BIAS, Q, Q_BIAS, K, K_BIAS, V, V_BIAS, OUT, OUT_BIAS };

typedef struct {
    float *q, *k, *v, *o, *stats;
} Kept;

static void declare(ParamTable *table, const Block *b, const ModelConfig *config)
{
    (void)config;
    static const char *const layers[] = {"to_q", "to_k", "to_v", "to_out.0"};
    int c = b->c_out;
    params_add(table, PARAM_VECTOR, b->name, "group_norm.weight", c, 0, 1);
    params_add(table, PARAM_VECTOR, b->name, "group_norm.bias", c, 0, 0);
    for (int i = 0; i < 4; i++) {
        char prefix[sizeof b->name + 16];
        snprintf(prefix, sizeof prefix, "%s.%s", b->name, layers[i]);
        params_add(table, PARAM_MATRIX, prefix, "weight", c, c, i == 3 ? PARAM_GAIN_LAST : 1);
        params_add(table, PARAM_VECTOR, prefix, "bias", c, 0, 0);
    }
}

static GroupNormDims norm_dims(const Block *b, const ModelConfig *config, int n)
{
    return (GroupNormDims){.n = n,
                           .pixels = (int)block_pixels(b),
                           .c_a = b->c_in,
                           .groups = config->norm_groups,
                           .eps = (float)config->norm_eps};
}

static GroupNormParams norm_params(const BlockCall *c)
{
    return (GroupNormParams){.gamma = block_weight(c, NORM), .beta = block_weight(c, NORM_BIAS)};
}

static AttentionDims attention_dims(const Block *b, const ModelConfig *config, int n)
{
    int head = config->attention_head_dim > 0 ? config->attention_head_dim : b->c_in;
    return (AttentionDims){n, (int)block_pixels(b), b->c_in, b->c_in / head};
}

static BlockSizes sizes(const Block *b, const ModelConfig *config, int n)
{
    GroupNormDims norm = norm_dims(b, config, n);
    AttentionDims attention = attention_dims(b, config, n);
    size_t norm_floats = group_norm_scratch(&norm), core = attention_scratch(&attention);
    size_t kernels = block_piece(norm_floats > core ? norm_floats : core);
    size_t floats = block_piece(block_input_floats(b, n));
    return (BlockSizes){
        .keep = 4 * floats + block_piece(2 * (size_t)n * (size_t)config->norm_groups),
        .forward = floats + kernels,
        .backward = 4 * floats + kernels,
    };
}

static Kept kept(const BlockCall *c)
{
    float *at = c->keep;
    size_t floats = block_input_floats(c->block, c->n);
    Kept k;
    k.q = block_take(&at, floats);
    k.k = block_take(&at, floats);
    k.v = block_take(&at, floats);
    k.o = block_take(&at, floats);
    k.stats = block_take(&at, 2 * (size_t)c->n * (size_t)c->config->norm_groups);
    return k;
}

static LinearDims linear_dims(const BlockCall *c)
{
    return (LinearDims){c->n * (int)block_pixels(c->block), c->block->c_in, c->block->c_out};
}

static void forward(const BlockCall *c)
{
    size_t floats = block_input_floats(c->block, c->n);
    Kept k = kept(c);
    GroupNormInput x = {c->x, NULL};
    GroupNormDims norm = norm_dims(c->block, c->config, c->n);
    AttentionDims attention = attention_dims(c->block, c->config, c->n);
    LinearDims linear = linear_dims(c);
    float *at = c->scratch, *a = block_take(&at, floats);

    group_norm_forward(a, k.stats, x, norm_params(c), &norm, at);
    linear_forward(k.q, a, block_weight(c, Q), block_weight(c, Q_BIAS), false, &linear);
    linear_forward(k.k, a, block_weight(c, K), block_weight(c, K_BIAS), false, &linear);
    linear_forward(k.v, a, block_weight(c, V), block_weight(c, V_BIAS), false, &linear);
    attention_forward(k.o, k.q, k.k, k.v, &attention, at);
    memcpy(c->y, c->x, floats * sizeof *c->y);
    linear_forward(c->y, k.o, block_weight(c, OUT), block_weight(c, OUT_BIAS), true, &linear);
}

/* One of q, k, v = a w + b: its parameters' gradients. */
static void backward_projection(const float *d, const float *a, const BlockCall *c,
                                const BlockGrads *g, int weight)
{
    LinearDims linear = linear_dims(c);
    linear_backward_weight(block_grad(c, g, weight), block_grad(c, g, weight + 1), d, a, &linear);
}

static void backward(const BlockCall *c, const BlockGrads *g)
{
    size_t floats = block_input_floats(c->block, c->n);
    Kept k = kept(c);
    GroupNormInput x = {c->x, NULL};
    GroupNormDims norm = norm_dims(c->block, c->config, c->n);
    AttentionDims attention = attention_dims(c->block, c->config, c->n);
    LinearDims linear = linear_dims(c);
    float *at = c->scratch;
    float *a = block_take(&at, floats), *dq = block_take(&at, floats);
    float *dk = block_take(&at, floats), *dv = block_take(&at, floats);
    float *d_o = a, *da = a;

    /* y = x + out(o), o = attention(q, k, v) */
    backward_projection(g->dy, k.o, c, g, OUT);
    linear_backward_input(d_o, g->dy, block_weight(c, OUT), false, &linear);
    attention_backward(dq, dk, dv, d_o, k.q, k.k, k.v, &attention, at);
    /* q, k, v = linear layers of a = norm(x) */
    group_norm_apply(a, x, k.stats, norm_params(c), &norm, at);
    backward_projection(dq, a, c, g, Q);
    backward_projection(dk, a, c, g, K);
    backward_projection(dv, a, c, g, V);
    linear_backward_input(da, dq, block_weight(c, Q), false, &linear);
    linear_backward_input(da, dk, block_weight(c, K), true, &linear);
    linear_backward_input(da, dv, block_weight(c, V), true, &linear);
    GroupNormGrads grads = {.da = g->dx,
                            .accumulate_a = c->block->add_input,
                            .add_a = g->dy,
                            .dgamma = block_grad(c, g, NORM),
                            .dbeta = block_grad(c, g, NORM_BIAS)};
    group_norm_backward(grads, NULL, da, x, k.stats, norm_params(c), &norm, at);
}

static double macs(const Block *b, const ModelConfig *config)
{
    (void)config;
    double tokens = (double)block_pixels(b), c = b->c_out;
    return tokens * (4 * c * c + 2 * tokens * c);
}

const BlockOps block_attention_ops = {
    .label = "attention",
    .declare = declare,
    .sizes = sizes,
    .forward = forward,
    .backward = backward,
    .macs = macs,
};
