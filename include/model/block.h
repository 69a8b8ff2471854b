/*
 * The blocks a U-Net is a list of. A block reads the outputs of earlier blocks, writes its own
 * output, and for the backward pass keeps what is not cheap to compute again. What every kind of
 * block is, is one BlockOps in its own source file; model/unet.c walks the list up and down.
 */
#ifndef DDPM_MODEL_BLOCK_H
#define DDPM_MODEL_BLOCK_H

#include "base/rng.h"
#include "model/config.h"
#include "model/params.h"
#include "nn/conv.h"

typedef enum {
    BLOCK_TIME,       /* SiLU of the embedding of t and class, [n,4 base_channels] */
    BLOCK_CONV_IN,    /* the image's channels to base_channels */
    BLOCK_RESNET,     /* norm, SiLU, conv, time, norm, SiLU, dropout, conv, shortcut */
    BLOCK_ATTENTION,  /* norm, self-attention over all pixels, residual */
    BLOCK_DOWNSAMPLE, /* convolution of stride 2 */
    BLOCK_UPSAMPLE,   /* pixels doubled, convolution */
    BLOCK_OUT,        /* norm, SiLU, conv to the output's channels */
} BlockKind;

enum { BLOCK_NONE = -1, BLOCK_MAX_CONVS = 2 };

typedef struct {
    BlockKind kind;
    char name[48];          /* the prefix of its parameters' names */
    int input, skip;        /* the blocks it reads, BLOCK_NONE if none; skip is concatenated */
    int h, w, c_in, c_skip; /* of the input; its channels are c_in + c_skip */
    int out_h, out_w, c_out;
    bool add_input, add_skip; /* the backward pass adds to the gradient of its input (skip), since
                                 a block further up reads it too and has written there before */
    int param, params;        /* the first of its parameters, and how many */
    size_t prepared[BLOCK_MAX_CONVS]; /* where its transformed filters lie, if they are kept */
} Block;

/* Floats for a batch of n. */
typedef struct {
    size_t keep;     /* from the forward pass to the backward pass */
    size_t forward;  /* scratch of the forward pass */
    size_t backward; /* scratch of the backward pass */
} BlockSizes;

/* One call of a block. Shapes are [n,h,w,c]. */
typedef struct {
    const Block *block;
    const ModelConfig *config;
    const Param *params;   /* the block's own */
    const float *weights;  /* the whole array */
    const float *prepared; /* all transformed filters, or NULL */
    int n;
    const float *x, *skip; /* outputs of `input` and `skip`; of conv_in, the image */
    const float *time;     /* the output of BLOCK_TIME */
    const float *t;        /* [n], 0-based, for BLOCK_TIME */
    const int32_t *labels; /* [n] or NULL, for BLOCK_TIME */
    float *y, *keep, *scratch;
    const RngKey *dropout; /* NULL: no dropout */
} BlockCall;

/* Where the gradients of one call go. dx and dskip are overwritten or added to as the block says;
 * dtime and dweights are always added to. dx may be NULL for conv_in. */
typedef struct {
    const float *dy;
    float *dx, *dskip, *dtime, *dweights;
} BlockGrads;

typedef struct {
    const char *label; /* for people */
    void (*declare)(ParamTable *table, const Block *block, const ModelConfig *config);
    BlockSizes (*sizes)(const Block *block, const ModelConfig *config, int n);
    void (*forward)(const BlockCall *call);
    void (*backward)(const BlockCall *call, const BlockGrads *grads);
    /* Multiply-adds over the pixels of one image, forward, counted as plain convolutions; the
     * embeddings' products, which are once an image and under a thousandth, are left out. */
    double (*macs)(const Block *block, const ModelConfig *config);
    /* The shape of its 3x3 convolution `index` for a batch of n, and which of its parameters the
     * filter is; false if it has none of that index. NULL: it has no convolution. */
    bool (*conv)(ConvDims *dims, int *param, const Block *block, const ModelConfig *config,
                 int index, int n);
} BlockOps;

const BlockOps *block_ops(BlockKind kind);

/* The weights, and the gradient, of the block's parameter `index`. */
const float *block_weight(const BlockCall *call, int index);
float *block_grad(const BlockCall *call, const BlockGrads *grads, int index);
/* The transformed filter of its convolution `index`, or NULL. */
const float *block_prepared(const BlockCall *call, int index);

/* Pixels of the input, and floats of the input, the skip, and the output, for a batch of n. */
size_t block_pixels(const Block *block);
size_t block_input_floats(const Block *block, int n);
size_t block_output_floats(const Block *block, int n);

/* A piece of a call's scratch, 64-byte aligned; moves `*scratch` past it. block_piece is how much
 * of the scratch it takes. */
float *block_take(float **scratch, size_t floats);
size_t block_piece(size_t floats);

extern const BlockOps block_time_ops, block_conv_in_ops, block_resnet_ops, block_attention_ops,
    block_downsample_ops, block_upsample_ops, block_out_ops;

#endif
