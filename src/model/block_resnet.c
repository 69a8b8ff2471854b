/*
 * The residual block (Ho et al. 2020, appendix B):
 *
 *     a_1 = silu(norm1(x))             x = [input | skip], never written down as one
 *     h   = conv1(a_1) + proj(time)    `time` is the SiLU of the embedding
 *     a_2 = dropout(silu(norm2(h)))
 *     y   = conv2(a_2) + shortcut(x)   the identity, or a 1x1 convolution if channels change
 *
 * Kept: h and both norms' statistics. a_1 and a_2 are made again.
 */
#include "model/block.h"

#include "nn/group_norm.h"
#include "nn/linear.h"
#include "nn/pointwise.h"

#include <string.h>

enum {
    NORM_1,
    NORM_1_BIAS,
    CONV_1,
    CONV_1_BIAS,
    PROJ,
    PROJ_BIAS,
    NORM_2,
    NORM_2_BIAS,
    CONV_2,
    CONV_2_BIAS,
    SHORTCUT,
    SHORTCUT_BIAS,
};

typedef struct {
    float *h, *stats_1, *stats_2;
} Kept;

static bool has_shortcut(const Block *b)
{
    return b->c_in + b->c_skip != b->c_out;
}

static void declare(ParamTable *table, const Block *b, const ModelConfig *config)
{
    int in = b->c_in + b->c_skip, out = b->c_out;
    params_add(table, PARAM_VECTOR, b->name, "norm1.weight", in, 0, 1);
    params_add(table, PARAM_VECTOR, b->name, "norm1.bias", in, 0, 0);
    params_add(table, PARAM_FILTER, b->name, "conv1.weight", out, in, 1);
    params_add(table, PARAM_VECTOR, b->name, "conv1.bias", out, 0, 0);
    params_add(table, PARAM_MATRIX, b->name, "time_emb_proj.weight", out, 4 * config->base_channels,
               1);
    params_add(table, PARAM_VECTOR, b->name, "time_emb_proj.bias", out, 0, 0);
    params_add(table, PARAM_VECTOR, b->name, "norm2.weight", out, 0, 1);
    params_add(table, PARAM_VECTOR, b->name, "norm2.bias", out, 0, 0);
    params_add(table, PARAM_FILTER, b->name, "conv2.weight", out, out, PARAM_GAIN_LAST);
    params_add(table, PARAM_VECTOR, b->name, "conv2.bias", out, 0, 0);
    if (!has_shortcut(b)) return;
    params_add_1x1(table, b->name, "conv_shortcut.weight", out, in);
    params_add(table, PARAM_VECTOR, b->name, "conv_shortcut.bias", out, 0, 0);
}

static ConvDims conv_dims(const Block *b, int index, int n)
{
    int in = index == 0 ? b->c_in + b->c_skip : b->c_out;
    return (ConvDims){
        .n = n, .h = b->h, .w = b->w, .c_in = in, .c_out = b->c_out, .stride = 1, .pad = 1};
}

static bool conv(ConvDims *dims, int *param, const Block *b, const ModelConfig *config, int index,
                 int n)
{
    (void)config;
    *dims = conv_dims(b, index, n);
    *param = index == 0 ? CONV_1 : CONV_2;
    return index < 2;
}

static GroupNormDims norm_dims(const Block *b, const ModelConfig *config, int index, int n)
{
    return (GroupNormDims){.n = n,
                           .pixels = (int)block_pixels(b),
                           .c_a = index == 0 ? b->c_in : b->c_out,
                           .c_b = index == 0 ? b->c_skip : 0,
                           .groups = config->norm_groups,
                           .eps = (float)config->norm_eps,
                           .silu = true};
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Scratch that any of its kernels needs. */
static size_t kernel_scratch(const Block *b, const ModelConfig *config, int n)
{
    size_t floats = 0;
    for (int i = 0; i < 2; i++) {
        ConvDims dims = conv_dims(b, i, n);
        GroupNormDims norm = norm_dims(b, config, i, n);
        floats = most(floats, most(conv_scratch(&dims), group_norm_scratch(&norm)));
    }
    return block_piece(floats);
}

static size_t input_floats(const Block *b, int n)
{
    return (size_t)n * block_pixels(b) * (size_t)(b->c_in + b->c_skip);
}

static BlockSizes sizes(const Block *b, const ModelConfig *config, int n)
{
    size_t in = input_floats(b, n), out = block_output_floats(b, n);
    size_t stats = block_piece(2 * (size_t)n * (size_t)config->norm_groups);
    size_t projection = block_piece((size_t)n * (size_t)b->c_out);
    size_t kernels = kernel_scratch(b, config, n);
    return (BlockSizes){
        .keep = block_piece(out) + 2 * stats,
        .forward = block_piece(most(in, out)) + projection + kernels,
        .backward = block_piece(out) + block_piece(most(in, out)) + projection + kernels,
    };
}

static Kept kept(const BlockCall *c)
{
    float *at = c->keep;
    size_t stats = 2 * (size_t)c->n * (size_t)c->config->norm_groups;
    Kept k;
    k.h = block_take(&at, block_output_floats(c->block, c->n));
    k.stats_1 = block_take(&at, stats);
    k.stats_2 = block_take(&at, stats);
    return k;
}

static LinearDims projection_dims(const BlockCall *c)
{
    return (LinearDims){c->n, 4 * c->config->base_channels, c->block->c_out};
}

/* Rows of a 1x1 convolution over the first or the second part of [input | skip]. */
static LinearDims shortcut_dims(const BlockCall *c, int channels)
{
    return (LinearDims){c->n * (int)block_pixels(c->block), channels, c->block->c_out};
}

static void apply_dropout(float *a, const BlockCall *c)
{
    if (!c->dropout) return;
    size_t size = block_pixels(c->block) * (size_t)c->block->c_out;
    dropout_apply(a, c->n, size, (float)c->config->dropout, *c->dropout);
}

/* What conv2 is added to: x itself, or y filled with the shortcut's result. */
static const float *residual(const BlockCall *c)
{
    const Block *b = c->block;
    if (!has_shortcut(b)) return c->x;
    const float *w = block_weight(c, SHORTCUT);
    LinearDims input = shortcut_dims(c, b->c_in), skip = shortcut_dims(c, b->c_skip);
    linear_forward(c->y, c->x, w, block_weight(c, SHORTCUT_BIAS), false, &input);
    if (c->skip) linear_forward(c->y, c->skip, w + b->c_in * b->c_out, NULL, true, &skip);
    return c->y;
}

static void forward(const BlockCall *c)
{
    const Block *b = c->block;
    Kept k = kept(c);
    GroupNormInput x = {c->x, c->skip}, h = {k.h, NULL};
    GroupNormDims norm_1 = norm_dims(b, c->config, 0, c->n);
    GroupNormDims norm_2 = norm_dims(b, c->config, 1, c->n);
    ConvDims conv_1 = conv_dims(b, 0, c->n), conv_2 = conv_dims(b, 1, c->n);
    LinearDims projection = projection_dims(c);
    float *at = c->scratch;
    float *a = block_take(&at, most(input_floats(b, c->n), block_output_floats(b, c->n)));
    float *time = block_take(&at, (size_t)c->n * (size_t)b->c_out);

    group_norm_stats(k.stats_1, x, &norm_1, at);
    group_norm_apply(a, x, k.stats_1, block_weight(c, NORM_1), block_weight(c, NORM_1_BIAS),
                     &norm_1, at);
    linear_forward(time, c->time, block_weight(c, PROJ), block_weight(c, PROJ_BIAS), false,
                   &projection);
    conv_forward(k.h, a, block_weight(c, CONV_1), block_prepared(c, 0),
                 (ConvAdd){.bias = block_weight(c, CONV_1_BIAS), .image = time}, &conv_1, at);

    group_norm_stats(k.stats_2, h, &norm_2, at);
    group_norm_apply(a, h, k.stats_2, block_weight(c, NORM_2), block_weight(c, NORM_2_BIAS),
                     &norm_2, at);
    apply_dropout(a, c);
    conv_forward(c->y, a, block_weight(c, CONV_2), block_prepared(c, 1),
                 (ConvAdd){.bias = block_weight(c, CONV_2_BIAS), .residual = residual(c)}, &conv_2,
                 at);
}

/* dh from dy, through conv2, dropout and norm2. `b_buffer` is overwritten. */
static void backward_second_half(float *dh, float *b_buffer, const BlockCall *c,
                                 const BlockGrads *g, float *scratch)
{
    Kept k = kept(c);
    GroupNormInput h = {k.h, NULL};
    GroupNormDims norm = norm_dims(c->block, c->config, 1, c->n);
    ConvDims conv_2 = conv_dims(c->block, 1, c->n);
    const float *gamma = block_weight(c, NORM_2), *beta = block_weight(c, NORM_2_BIAS);
    float *a = dh, *da = b_buffer;

    /* y = conv2(a) + ..., a = dropout(silu(norm2(h))) */
    group_norm_apply(a, h, k.stats_2, gamma, beta, &norm, scratch);
    apply_dropout(a, c);
    conv_backward_weight(block_grad(c, g, CONV_2), block_grad(c, g, CONV_2_BIAS), g->dy, a, &conv_2,
                         scratch);
    conv_backward_input(da, g->dy, block_weight(c, CONV_2), &conv_2, scratch);
    apply_dropout(da, c);
    GroupNormGrads grads = {
        .da = dh, .dgamma = block_grad(c, g, NORM_2), .dbeta = block_grad(c, g, NORM_2_BIAS)};
    group_norm_backward(grads, da, h, k.stats_2, gamma, beta, &norm, scratch);
}

/* h = conv1(a_1) + proj(time): the gradients of proj and of time. */
static void backward_projection(const float *dh, float *dprojected, const BlockCall *c,
                                const BlockGrads *g)
{
    LinearDims projection = projection_dims(c);
    image_sums(dprojected, dh, c->n, (int)block_pixels(c->block), c->block->c_out);
    linear_backward_weight(block_grad(c, g, PROJ), block_grad(c, g, PROJ_BIAS), dprojected, c->time,
                           &projection);
    linear_backward_input(g->dtime, dprojected, block_weight(c, PROJ), true, &projection);
}

/* y = ... + shortcut(x): writes or adds to dx and dskip, as the block says. */
static void backward_shortcut(const BlockCall *c, const BlockGrads *g)
{
    const Block *b = c->block;
    if (!has_shortcut(b)) {
        if (b->add_input)
            add_forward(g->dx, g->dy, block_input_floats(b, c->n));
        else
            memcpy(g->dx, g->dy, block_input_floats(b, c->n) * sizeof *g->dx);
        return;
    }
    const float *w = block_weight(c, SHORTCUT);
    float *dw = block_grad(c, g, SHORTCUT), *dbias = block_grad(c, g, SHORTCUT_BIAS);
    LinearDims input = shortcut_dims(c, b->c_in), skip = shortcut_dims(c, b->c_skip);
    linear_backward_weight(dw, dbias, g->dy, c->x, &input);
    linear_backward_input(g->dx, g->dy, w, b->add_input, &input);
    if (!c->skip) return;
    int border = b->c_in * b->c_out;
    linear_backward_weight(dw + border, NULL, g->dy, c->skip, &skip);
    linear_backward_input(g->dskip, g->dy, w + border, b->add_skip, &skip);
}

static void backward(const BlockCall *c, const BlockGrads *g)
{
    const Block *b = c->block;
    Kept k = kept(c);
    GroupNormInput x = {c->x, c->skip};
    GroupNormDims norm = norm_dims(b, c->config, 0, c->n);
    ConvDims conv_1 = conv_dims(b, 0, c->n);
    const float *gamma = block_weight(c, NORM_1), *beta = block_weight(c, NORM_1_BIAS);
    float *at = c->scratch;
    float *dh = block_take(&at, block_output_floats(b, c->n));
    float *a = block_take(&at, most(input_floats(b, c->n), block_output_floats(b, c->n)));
    float *dprojected = block_take(&at, (size_t)c->n * (size_t)b->c_out);

    backward_second_half(dh, a, c, g, at);
    backward_projection(dh, dprojected, c, g);
    /* h = conv1(a) + ..., a = silu(norm1(x)) */
    group_norm_apply(a, x, k.stats_1, gamma, beta, &norm, at);
    conv_backward_weight(block_grad(c, g, CONV_1), block_grad(c, g, CONV_1_BIAS), dh, a, &conv_1,
                         at);
    conv_backward_input(a, dh, block_weight(c, CONV_1), &conv_1, at);
    backward_shortcut(c, g);
    GroupNormGrads grads = {.da = g->dx,
                            .db = g->dskip,
                            .accumulate_a = true,
                            .accumulate_b = true,
                            .dgamma = block_grad(c, g, NORM_1),
                            .dbeta = block_grad(c, g, NORM_1_BIAS)};
    group_norm_backward(grads, a, x, k.stats_1, gamma, beta, &norm, at);
}

static double macs(const Block *b, const ModelConfig *config)
{
    (void)config;
    double pixels = (double)block_pixels(b), in = b->c_in + b->c_skip, out = b->c_out;
    double shortcut = has_shortcut(b) ? in * out : 0;
    return pixels * (9 * in * out + 9 * out * out + shortcut);
}

const BlockOps block_resnet_ops = {
    .label = "residual block",
    .declare = declare,
    .sizes = sizes,
    .forward = forward,
    .backward = backward,
    .macs = macs,
    .conv = conv,
};
