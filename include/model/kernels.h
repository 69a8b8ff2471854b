/*
 * Which kernels a block's call consists of, and at which shapes, for measuring each alone. Only
 * those over the pixels: what is once an image is under a thousandth of the work.
 */
#ifndef DDPM_MODEL_KERNELS_H
#define DDPM_MODEL_KERNELS_H

#include "model/block.h"
#include "nn/attention.h"
#include "nn/group_norm.h"
#include "nn/linear.h"

typedef enum {
    KERNEL_CONV,
    KERNEL_NORM,
    KERNEL_DROPOUT, /* training only, where the rate is not 0 */
    KERNEL_ATTENTION,
    KERNEL_LINEAR,
    KERNEL_KINDS,
} KernelKind;

typedef struct {
    int n;
    size_t size; /* floats of an image */
    float rate;
} DropoutDims;

typedef struct {
    KernelKind kind;
    union {
        ConvDims conv;
        GroupNormDims norm;
        DropoutDims dropout;
        AttentionDims attention;
        LinearDims linear;
    };
} Kernel;

enum { BLOCK_MAX_KERNELS = 7 };

/* The kernels of `block` for n images, in the order of the forward pass; returns how many. */
int block_kernels(Kernel kernels[BLOCK_MAX_KERNELS], const Block *block, const ModelConfig *config,
                  int n);

/* Multiply-adds of a forward pass over all n images, counted as BlockOps counts them; each pass of
 * the backward has as many (attention's: twice as many). 0 for norms
 * and dropout. */
double kernel_macs(const Kernel *kernel);

#endif
