/*
 * The embedding of t and of the class: sinusoids, linear, SiLU, linear, plus the class's row. What
 * the other blocks read is its SiLU, which each of them would compute first.
 */
#include "model/block.h"

#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/pointwise.h"

#include <string.h>

enum { LINEAR_1, BIAS_1, LINEAR_2, BIAS_2, CLASS_TABLE };

/* What it keeps: the sinusoids, the first linear layer's result and its SiLU, and the sum. */
typedef struct {
    float *sinusoids, *hidden, *hidden_silu, *sum;
} Kept;

static void declare(ParamTable *table, const Block *b, const ModelConfig *config)
{
    params_add(table, PARAM_MATRIX, b->name, "linear_1.weight", b->c_out, b->c_in, 1);
    params_add(table, PARAM_VECTOR, b->name, "linear_1.bias", b->c_out, 0, 0);
    params_add(table, PARAM_MATRIX, b->name, "linear_2.weight", b->c_out, b->c_out, 1);
    params_add(table, PARAM_VECTOR, b->name, "linear_2.bias", b->c_out, 0, 0);
    if (config->num_classes > 0)
        params_add(table, PARAM_TABLE, "class_embedding", "weight", config->num_classes, b->c_out,
                   1);
}

static BlockSizes sizes(const Block *b, const ModelConfig *config, int n)
{
    (void)config;
    size_t in = block_piece((size_t)n * (size_t)b->c_in),
           out = block_piece((size_t)n * (size_t)b->c_out);
    return (BlockSizes){.keep = in + 3 * out, .backward = 2 * out};
}

static Kept kept(const BlockCall *c)
{
    float *at = c->keep;
    size_t out = (size_t)c->n * (size_t)c->block->c_out;
    Kept k;
    k.sinusoids = block_take(&at, (size_t)c->n * (size_t)c->block->c_in);
    k.hidden = block_take(&at, out);
    k.hidden_silu = block_take(&at, out);
    k.sum = block_take(&at, out);
    return k;
}

static void forward(const BlockCall *c)
{
    const ModelConfig *config = c->config;
    int in = c->block->c_in, out = c->block->c_out;
    size_t floats = (size_t)c->n * (size_t)out;
    Kept k = kept(c);
    timestep_embedding(k.sinusoids, c->t, c->n, in, config->freq_shift, config->flip_sin_to_cos);
    linear_forward(k.hidden, k.sinusoids, block_weight(c, LINEAR_1), block_weight(c, BIAS_1), false,
                   &(LinearDims){c->n, in, out});
    silu_forward(k.hidden_silu, k.hidden, floats);
    linear_forward(k.sum, k.hidden_silu, block_weight(c, LINEAR_2), block_weight(c, BIAS_2), false,
                   &(LinearDims){c->n, out, out});
    if (c->labels)
        class_embedding_forward(k.sum, block_weight(c, CLASS_TABLE), c->labels, c->n, out);
    silu_forward(c->y, k.sum, floats);
}

static void backward(const BlockCall *c, const BlockGrads *g)
{
    int in = c->block->c_in, out = c->block->c_out;
    size_t floats = (size_t)c->n * (size_t)out;
    Kept k = kept(c);
    float *at = c->scratch;
    float *dsum = block_take(&at, floats), *dhidden = block_take(&at, floats);
    LinearDims first = {c->n, in, out}, second = {c->n, out, out};
    silu_backward(dsum, g->dy, k.sum, floats);
    if (c->labels)
        class_embedding_backward(block_grad(c, g, CLASS_TABLE), dsum, c->labels, c->n, out);
    linear_backward_weight(block_grad(c, g, LINEAR_2), block_grad(c, g, BIAS_2), dsum,
                           k.hidden_silu, &second);
    linear_backward_input(dhidden, dsum, block_weight(c, LINEAR_2), false, &second);
    silu_backward(dhidden, dhidden, k.hidden, floats);
    linear_backward_weight(block_grad(c, g, LINEAR_1), block_grad(c, g, BIAS_1), dhidden,
                           k.sinusoids, &first);
}

/* Not over pixels: see BlockOps. */
static double macs(const Block *b, const ModelConfig *config)
{
    (void)b;
    (void)config;
    return 0;
}

const BlockOps block_time_ops = {
    .label = "time embedding",
    .declare = declare,
    .sizes = sizes,
    .forward = forward,
    .backward = backward,
    .macs = macs,
};
