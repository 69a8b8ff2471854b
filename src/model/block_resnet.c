/*
 * The residual block (Ho et al. 2020, appendix B):
 *
 *     a_1 = silu(norm1(x))             x = [input | skip], never written down as one
 *     h   = conv1(a_1) + proj(time)    `time` is the SiLU of the embedding
 *     a_2 = dropout(silu(norm2(h)))
 *     y   = conv2(a_2) + shortcut(x)   the identity, or a 1x1 convolution if channels change
 *
 * Kept: h, both norms' statistics, and which elements dropout drops, a bit each. a_1 and a_2 are
 * made again as the backward passes of their norms come by; dh is then written over h.
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
    uint32_t *mask; /* dropout's, [n,dropout_words of an image] */
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

/* Floats that dropout's bits take. */
static size_t mask_floats(const Block *b, const ModelConfig *config, int n)
{
    _Static_assert(sizeof(uint32_t) == sizeof(float), "a word of bits takes the place of a float");
    return config->dropout > 0 ? (size_t)n * dropout_words(block_output_floats(b, 1)) : 0;
}

static BlockSizes sizes(const Block *b, const ModelConfig *config, int n)
{
    size_t in = input_floats(b, n), out = block_output_floats(b, n);
    size_t stats = block_piece(2 * (size_t)n * (size_t)config->norm_groups);
    size_t projection = block_piece((size_t)n * (size_t)b->c_out);
    size_t kernels = kernel_scratch(b, config, n);
    return (BlockSizes){
        .keep = block_piece(out) + 2 * stats + block_piece(mask_floats(b, config, n)),
        .forward = block_piece(most(in, out)) + projection + kernels,
        .backward = 2 * block_piece(most(in, out)) + projection + kernels,
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
    k.mask = (uint32_t *)block_take(&at, mask_floats(c->block, c->config, c->n));
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

static GroupNormParams norm_params_1(const BlockCall *c)
{
    return (GroupNormParams){.gamma = block_weight(c, NORM_1),
                             .beta = block_weight(c, NORM_1_BIAS)};
}

static GroupNormParams norm_params_2(const BlockCall *c)
{
    return (GroupNormParams){.gamma = block_weight(c, NORM_2),
                             .beta = block_weight(c, NORM_2_BIAS),
                             .mask = c->dropout ? kept(c).mask : NULL,
                             .mask_scale = dropout_scale((float)c->config->dropout)};
}

static void draw_dropout(const BlockCall *c)
{
    if (c->dropout)
        dropout_draw(kept(c).mask, c->n, block_output_floats(c->block, 1),
                     (float)c->config->dropout, *c->dropout);
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

    group_norm_forward(a, k.stats_1, x, norm_params_1(c), &norm_1, at);
    linear_forward(time, c->time, block_weight(c, PROJ), block_weight(c, PROJ_BIAS), false,
                   &projection);
    conv_forward(k.h, a, block_weight(c, CONV_1), block_prepared(c, 0),
                 (ConvAdd){.bias = block_weight(c, CONV_1_BIAS), .image = time}, &conv_1, at);

    draw_dropout(c);
    group_norm_forward(a, k.stats_2, h, norm_params_2(c), &norm_2, at);
    conv_forward(c->y, a, block_weight(c, CONV_2), block_prepared(c, 1),
                 (ConvAdd){.bias = block_weight(c, CONV_2_BIAS), .residual = residual(c)}, &conv_2,
                 at);
}

/* The gradients of the biases of conv2 and of the shortcut, which are one. */
static void backward_biases(const BlockCall *c, const BlockGrads *g, float *sums)
{
    int rows = c->n * (int)block_pixels(c->block), channels = c->block->c_out;
    memset(sums, 0, (size_t)channels * sizeof *sums);
    linear_column_sums(sums, g->dy, rows, channels);
    add_forward(block_grad(c, g, CONV_2_BIAS), sums, (size_t)channels);
    if (has_shortcut(c->block))
        add_forward(block_grad(c, g, SHORTCUT_BIAS), sums, (size_t)channels);
}

/* dh, over h, from dy, through conv2, dropout and norm2. */
static void backward_second_half(float *a, float *da, const BlockCall *c, const BlockGrads *g,
                                 float *scratch)
{
    Kept k = kept(c);
    GroupNormInput h = {k.h, NULL};
    GroupNormDims norm = norm_dims(c->block, c->config, 1, c->n);
    ConvDims conv_2 = conv_dims(c->block, 1, c->n);

    /* y = conv2(a) + ..., a = dropout(silu(norm2(h))) */
    conv_backward_input(da, g->dy, block_weight(c, CONV_2), &conv_2, scratch);
    GroupNormGrads grads = {
        .da = k.h, .dgamma = block_grad(c, g, NORM_2), .dbeta = block_grad(c, g, NORM_2_BIAS)};
    group_norm_backward(grads, a, da, h, k.stats_2, norm_params_2(c), &norm, scratch);
    conv_backward_weight(block_grad(c, g, CONV_2), NULL, g->dy, a, &conv_2, scratch);
}

/* h = conv1(a_1) + proj(time): the gradients of proj, of time, and of conv1's bias, which like
 * proj's is the sum of dh. */
static void backward_projection(const float *dh, float *dprojected, const BlockCall *c,
                                const BlockGrads *g)
{
    LinearDims projection = projection_dims(c);
    image_sums(dprojected, dh, c->n, (int)block_pixels(c->block), c->block->c_out);
    linear_column_sums(block_grad(c, g, CONV_1_BIAS), dprojected, c->n, c->block->c_out);
    linear_backward_weight(block_grad(c, g, PROJ), block_grad(c, g, PROJ_BIAS), dprojected, c->time,
                           &projection);
    linear_backward_input(g->dtime, dprojected, block_weight(c, PROJ), true, &projection);
}

/* y = ... + shortcut(x), a 1x1 convolution: writes or adds to dx and dskip, as the block says. */
static void backward_shortcut(const BlockCall *c, const BlockGrads *g)
{
    const Block *b = c->block;
    const float *w = block_weight(c, SHORTCUT);
    float *dw = block_grad(c, g, SHORTCUT);
    LinearDims input = shortcut_dims(c, b->c_in), skip = shortcut_dims(c, b->c_skip);
    linear_backward_weight(dw, NULL, g->dy, c->x, &input);
    linear_backward_input(g->dx, g->dy, w, b->add_input, &input);
    if (!c->skip) return;
    int border = b->c_in * b->c_out;
    linear_backward_weight(dw + border, NULL, g->dy, c->skip, &skip);
    linear_backward_input(g->dskip, g->dy, w + border, b->add_skip, &skip);
}

/* dx and dskip from dh, through conv1 and norm1, and from the shortcut. */
static void backward_first_half(float *a, float *da, const BlockCall *c, const BlockGrads *g,
                                float *scratch)
{
    const Block *b = c->block;
    Kept k = kept(c);
    const float *dh = k.h;
    GroupNormInput x = {c->x, c->skip};
    GroupNormDims norm = norm_dims(b, c->config, 0, c->n);
    ConvDims conv_1 = conv_dims(b, 0, c->n);

    /* h = conv1(a) + ..., a = silu(norm1(x)) */
    conv_backward_input(da, dh, block_weight(c, CONV_1), &conv_1, scratch);
    GroupNormGrads grads = {.da = g->dx,
                            .db = g->dskip,
                            .accumulate_a = true,
                            .accumulate_b = true,
                            .dgamma = block_grad(c, g, NORM_1),
                            .dbeta = block_grad(c, g, NORM_1_BIAS)};
    if (has_shortcut(b)) {
        backward_shortcut(c, g);
    } else {
        grads.add_a = g->dy;
        grads.accumulate_a = b->add_input;
    }
    group_norm_backward(grads, a, da, x, k.stats_1, norm_params_1(c), &norm, scratch);
    conv_backward_weight(block_grad(c, g, CONV_1), NULL, dh, a, &conv_1, scratch);
}

static void backward(const BlockCall *c, const BlockGrads *g)
{
    const Block *b = c->block;
    size_t floats = most(input_floats(b, c->n), block_output_floats(b, c->n));
    float *at = c->scratch;
    float *a = block_take(&at, floats), *da = block_take(&at, floats);
    float *dprojected = block_take(&at, (size_t)c->n * (size_t)b->c_out);

    backward_biases(c, g, dprojected);
    backward_second_half(a, da, c, g, at);
    backward_projection(kept(c).h, dprojected, c, g);
    backward_first_half(a, da, c, g, at);
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
