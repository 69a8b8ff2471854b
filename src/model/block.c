#include "model/block.h"

#include "base/memory.h"

const BlockOps *block_ops(BlockKind kind)
{
    static const BlockOps *const ops[] = {
        [BLOCK_TIME] = &block_time_ops,
        [BLOCK_CONV_IN] = &block_conv_in_ops,
        [BLOCK_RESNET] = &block_resnet_ops,
        [BLOCK_ATTENTION] = &block_attention_ops,
        [BLOCK_DOWNSAMPLE] = &block_downsample_ops,
        [BLOCK_UPSAMPLE] = &block_upsample_ops,
        [BLOCK_OUT] = &block_out_ops,
    };
    return ops[kind];
}

const float *block_weight(const BlockCall *call, int index)
{
    return call->weights + call->params[index].offset;
}

float *block_grad(const BlockCall *call, const BlockGrads *grads, int index)
{
    return grads->dweights + call->params[index].offset;
}

const float *block_prepared(const BlockCall *call, int index)
{
    return call->prepared ? call->prepared + call->block->prepared[index] : NULL;
}

size_t block_pixels(const Block *block)
{
    return (size_t)block->h * (size_t)block->w;
}

size_t block_input_floats(const Block *block, int n)
{
    return (size_t)n * block_pixels(block) * (size_t)block->c_in;
}

size_t block_output_floats(const Block *block, int n)
{
    return (size_t)n * (size_t)block->out_h * (size_t)block->out_w * (size_t)block->c_out;
}

size_t block_piece(size_t floats)
{
    return memory_round(floats * sizeof(float)) / sizeof(float);
}

float *block_take(float **scratch, size_t floats)
{
    float *piece = *scratch;
    *scratch += block_piece(floats);
    return piece;
}
