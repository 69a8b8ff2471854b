/*
 * Kept beside the blocks rather than in them: their calls need no list. That the two agree is
 * tested by the multiply-adds, which both count.
 */
#include "model/kernels.h"

typedef struct {
    Kernel *list;
    int count;
    const Block *block;
    const ModelConfig *config;
    int n;
} Builder;

static Kernel *append(Builder *b, KernelKind kind)
{
    Kernel *kernel = &b->list[b->count++];
    *kernel = (Kernel){.kind = kind};
    return kernel;
}

static void append_norm(Builder *b, int c_a, int c_b, bool silu)
{
    append(b, KERNEL_NORM)->norm = (GroupNormDims){.n = b->n,
                                                   .pixels = (int)block_pixels(b->block),
                                                   .c_a = c_a,
                                                   .c_b = c_b,
                                                   .groups = b->config->norm_groups,
                                                   .eps = (float)b->config->norm_eps,
                                                   .silu = silu};
}

static void append_linear(Builder *b, int in)
{
    append(b, KERNEL_LINEAR)->linear =
        (LinearDims){b->n * (int)block_pixels(b->block), in, b->block->c_out};
}

static void append_conv(Builder *b, int index)
{
    int param;
    ConvDims dims;
    if (block_ops(b->block->kind)->conv(&dims, &param, b->block, b->config, index, b->n))
        append(b, KERNEL_CONV)->conv = dims;
}

static void append_resnet(Builder *b)
{
    const Block *block = b->block;
    append_norm(b, block->c_in, block->c_skip, true);
    append_conv(b, 0);
    append_norm(b, block->c_out, 0, true);
    if (b->config->dropout > 0)
        append(b, KERNEL_DROPOUT)->dropout =
            (DropoutDims){b->n, block_output_floats(block, 1), (float)b->config->dropout};
    append_conv(b, 1);
    if (block->c_in + block->c_skip == block->c_out) return;
    append_linear(b, block->c_in);
    if (block->c_skip > 0) append_linear(b, block->c_skip);
}

static void append_attention(Builder *b)
{
    int c = b->block->c_in, head = b->config->attention_head_dim;
    append_norm(b, c, 0, false);
    for (int i = 0; i < 4; i++) append_linear(b, c); /* q, k, v and the output */
    append(b, KERNEL_ATTENTION)->attention =
        (AttentionDims){b->n, (int)block_pixels(b->block), c, head > 0 ? c / head : 1};
}

int block_kernels(Kernel kernels[BLOCK_MAX_KERNELS], const Block *block, const ModelConfig *config,
                  int n)
{
    Builder b = {kernels, 0, block, config, n};
    switch (block->kind) {
    case BLOCK_TIME:
        break;
    case BLOCK_RESNET:
        append_resnet(&b);
        break;
    case BLOCK_ATTENTION:
        append_attention(&b);
        break;
    case BLOCK_OUT:
        append_norm(&b, block->c_in, 0, true);
        append_conv(&b, 0);
        break;
    case BLOCK_CONV_IN:
    case BLOCK_DOWNSAMPLE:
    case BLOCK_UPSAMPLE:
        append_conv(&b, 0);
        break;
    }
    return b.count;
}

static double conv_macs(const ConvDims *d)
{
    return 9.0 * d->n * conv_out_height(d) * conv_out_width(d) * d->c_in * d->c_out;
}

double kernel_macs(const Kernel *k)
{
    switch (k->kind) {
    case KERNEL_CONV:
        return conv_macs(&k->conv);
    case KERNEL_ATTENTION:
        return 2.0 * k->attention.n * k->attention.tokens * k->attention.tokens * k->attention.c;
    case KERNEL_LINEAR:
        return (double)k->linear.rows * k->linear.in * k->linear.out;
    case KERNEL_NORM:
    case KERNEL_DROPOUT:
    case KERNEL_KINDS:
        break;
    }
    return 0;
}
