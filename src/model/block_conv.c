/*
 * The blocks that are a 3x3 convolution and little else: conv_in, the resamplers, and the output
 * with the norm and the SiLU before it.
 */
#include "model/block.h"

#include "nn/group_norm.h"
#include "nn/pointwise.h"

enum { FILTER, BIAS, NORM, NORM_BIAS };

static void declare_conv(ParamTable *table, const Block *b, const char *filter, const char *bias,
                         double gain)
{
    params_add(table, PARAM_FILTER, b->name, filter, b->c_out, b->c_in, gain);
    params_add(table, PARAM_VECTOR, b->name, bias, b->c_out, 0, 0);
}

static void declare_plain(ParamTable *table, const Block *b, const ModelConfig *config)
{
    (void)config;
    declare_conv(table, b, "weight", "bias", 1);
}

static void declare_resampler(ParamTable *table, const Block *b, const ModelConfig *config)
{
    (void)config;
    declare_conv(table, b, "conv.weight", "conv.bias", 1);
}

static void declare_out(ParamTable *table, const Block *b, const ModelConfig *config)
{
    (void)config;
    declare_conv(table, b, "weight", "bias", PARAM_GAIN_LAST);
    params_add(table, PARAM_VECTOR, "conv_norm_out", "weight", b->c_in, 0, 1);
    params_add(table, PARAM_VECTOR, "conv_norm_out", "bias", b->c_in, 0, 0);
}

/* The convolution sees the doubled image in an upsampler, and steps by two in a downsampler. */
static ConvDims conv_dims(const Block *b, const ModelConfig *config, int n)
{
    bool down = b->kind == BLOCK_DOWNSAMPLE, up = b->kind == BLOCK_UPSAMPLE;
    return (ConvDims){.n = n,
                      .h = up ? b->out_h : b->h,
                      .w = up ? b->out_w : b->w,
                      .c_in = b->c_in,
                      .c_out = b->c_out,
                      .stride = down ? 2 : 1,
                      .pad = down ? config->downsample_padding : 1};
}

static bool conv(ConvDims *dims, int *param, const Block *b, const ModelConfig *config, int index,
                 int n)
{
    *dims = conv_dims(b, config, n);
    *param = FILTER;
    return index == 0;
}

static size_t conv_input_floats(const ConvDims *d)
{
    return (size_t)d->n * (size_t)d->h * (size_t)d->w * (size_t)d->c_in;
}

static double macs(const Block *b, const ModelConfig *config)
{
    (void)config;
    return 9.0 * b->c_in * b->c_out * b->out_h * b->out_w;
}

static void run_conv(float *y, const float *x, const BlockCall *c, float *scratch)
{
    ConvDims dims = conv_dims(c->block, c->config, c->n);
    conv_forward(y, x, block_weight(c, FILTER), block_prepared(c, 0),
                 (ConvAdd){.bias = block_weight(c, BIAS)}, &dims, scratch);
}

static void run_conv_backward(float *dx, const float *x, const BlockCall *c, const BlockGrads *g,
                              float *scratch)
{
    ConvDims dims = conv_dims(c->block, c->config, c->n);
    conv_backward_weight(block_grad(c, g, FILTER), block_grad(c, g, BIAS), g->dy, x, &dims,
                         scratch);
    if (dx) conv_backward_input(dx, g->dy, block_weight(c, FILTER), &dims, scratch);
}

/* conv_in: y = conv(x), x the image. */

static BlockSizes sizes_conv_in(const Block *b, const ModelConfig *config, int n)
{
    ConvDims dims = conv_dims(b, config, n);
    size_t scratch = block_piece(conv_scratch(&dims));
    return (BlockSizes){.forward = scratch, .backward = scratch};
}

static void forward_plain(const BlockCall *c)
{
    run_conv(c->y, c->x, c, c->scratch);
}

static void backward_conv_in(const BlockCall *c, const BlockGrads *g)
{
    run_conv_backward(g->dx, c->x, c, g, c->scratch);
}

/* Downsampler: y = conv(x) with stride 2. Its input is a skip too, so dx is mostly added to. */

static BlockSizes sizes_down(const Block *b, const ModelConfig *config, int n)
{
    ConvDims dims = conv_dims(b, config, n);
    size_t scratch = block_piece(conv_scratch(&dims));
    return (BlockSizes){.forward = scratch,
                        .backward = block_piece(conv_input_floats(&dims)) + scratch};
}

static void backward_down(const BlockCall *c, const BlockGrads *g)
{
    size_t floats = block_input_floats(c->block, c->n);
    float *at = c->scratch;
    float *dx = c->block->add_input ? block_take(&at, floats) : g->dx;
    run_conv_backward(dx, c->x, c, g, at);
    if (c->block->add_input) add_forward(g->dx, dx, floats);
}

/* Upsampler: y = conv(u), u = x with its pixels doubled. */

static BlockSizes sizes_up(const Block *b, const ModelConfig *config, int n)
{
    ConvDims dims = conv_dims(b, config, n);
    size_t doubled = block_piece(conv_input_floats(&dims)), scratch = conv_scratch(&dims);
    return (BlockSizes){.forward = doubled + block_piece(scratch),
                        .backward = 2 * doubled + block_piece(scratch)};
}

static void forward_up(const BlockCall *c)
{
    const Block *b = c->block;
    ConvDims dims = conv_dims(b, c->config, c->n);
    float *at = c->scratch, *u = block_take(&at, conv_input_floats(&dims));
    upsample_forward(u, c->x, c->n, b->h, b->w, b->c_in);
    run_conv(c->y, u, c, at);
}

static void backward_up(const BlockCall *c, const BlockGrads *g)
{
    const Block *b = c->block;
    ConvDims dims = conv_dims(b, c->config, c->n);
    float *at = c->scratch, *u = block_take(&at, conv_input_floats(&dims));
    float *du = block_take(&at, conv_input_floats(&dims));
    upsample_forward(u, c->x, c->n, b->h, b->w, b->c_in);
    run_conv_backward(du, u, c, g, at);
    upsample_backward(g->dx, du, b->add_input, c->n, b->h, b->w, b->c_in);
}

/* Output: y = conv(a), a = silu(norm(x)). Kept: the norm's statistics. */

static GroupNormDims norm_dims(const Block *b, const ModelConfig *config, int n)
{
    return (GroupNormDims){.n = n,
                           .pixels = (int)block_pixels(b),
                           .c_a = b->c_in,
                           .groups = config->norm_groups,
                           .eps = (float)config->norm_eps,
                           .silu = true};
}

static BlockSizes sizes_out(const Block *b, const ModelConfig *config, int n)
{
    ConvDims dims = conv_dims(b, config, n);
    GroupNormDims norm = norm_dims(b, config, n);
    size_t conv_floats = conv_scratch(&dims), norm_floats = group_norm_scratch(&norm);
    size_t kernels = block_piece(conv_floats > norm_floats ? conv_floats : norm_floats);
    size_t floats = block_piece(block_input_floats(b, n));
    return (BlockSizes){.keep = block_piece(2 * (size_t)n * (size_t)config->norm_groups),
                        .forward = floats + kernels,
                        .backward = 2 * floats + kernels};
}

static GroupNormParams norm_params(const BlockCall *c)
{
    return (GroupNormParams){.gamma = block_weight(c, NORM), .beta = block_weight(c, NORM_BIAS)};
}

static void forward_out(const BlockCall *c)
{
    GroupNormDims norm = norm_dims(c->block, c->config, c->n);
    GroupNormInput x = {c->x, NULL};
    float *at = c->scratch, *a = block_take(&at, block_input_floats(c->block, c->n));
    group_norm_forward(a, c->keep, x, norm_params(c), &norm, at);
    run_conv(c->y, a, c, at);
}

static void backward_out(const BlockCall *c, const BlockGrads *g)
{
    size_t floats = block_input_floats(c->block, c->n);
    GroupNormDims norm = norm_dims(c->block, c->config, c->n);
    GroupNormInput x = {c->x, NULL};
    ConvDims dims = conv_dims(c->block, c->config, c->n);
    float *at = c->scratch, *a = block_take(&at, floats), *da = block_take(&at, floats);
    conv_backward_input(da, g->dy, block_weight(c, FILTER), &dims, at);
    GroupNormGrads grads = {.da = g->dx,
                            .accumulate_a = c->block->add_input,
                            .dgamma = block_grad(c, g, NORM),
                            .dbeta = block_grad(c, g, NORM_BIAS)};
    group_norm_backward(grads, a, da, x, c->keep, norm_params(c), &norm, at);
    conv_backward_weight(block_grad(c, g, FILTER), block_grad(c, g, BIAS), g->dy, a, &dims, at);
}

const BlockOps block_conv_in_ops = {
    .label = "input convolution",
    .declare = declare_plain,
    .sizes = sizes_conv_in,
    .forward = forward_plain,
    .backward = backward_conv_in,
    .macs = macs,
    .conv = conv,
};

const BlockOps block_downsample_ops = {
    .label = "downsampler",
    .declare = declare_resampler,
    .sizes = sizes_down,
    .forward = forward_plain,
    .backward = backward_down,
    .macs = macs,
    .conv = conv,
};

const BlockOps block_upsample_ops = {
    .label = "upsampler",
    .declare = declare_resampler,
    .sizes = sizes_up,
    .forward = forward_up,
    .backward = backward_up,
    .macs = macs,
    .conv = conv,
};

const BlockOps block_out_ops = {
    .label = "output convolution",
    .declare = declare_out,
    .sizes = sizes_out,
    .forward = forward_out,
    .backward = backward_out,
    .macs = macs,
    .conv = conv,
};
