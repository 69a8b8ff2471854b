/*
 * What a U-Net is built from: the keys of `model` in a config, and those of diffusers'
 * UNet2DModel that they stand for. Filled by train/config.c or model/diffusers.c.
 */
#ifndef DDPM_MODEL_CONFIG_H
#define DDPM_MODEL_CONFIG_H

#include "base/err.h"

/* Width is that of a level, in channels: kernels count in int, products of two widths among it. */
enum { MODEL_MAX_LEVELS = 10, MODEL_MAX_WIDTH = 8192 };

typedef struct {
    int height, width; /* image_size, in pixels */
    int channels;      /* of the image: 1 or 3 */
    int out_channels;  /* of the output: `channels`, or twice that with a learned variance */
    int base_channels;
    int levels;                            /* resolutions, the highest first */
    double channel_mult[MODEL_MAX_LEVELS]; /* of each level, 1 first; base_channels times it is
                                              whole */
    int res_blocks; /* of each level on the way down; one more on the way up */
    int attention_count;
    int attention_resolutions[MODEL_MAX_LEVELS]; /* heights of the levels with attention */
    int attention_head_dim; /* channels of a head; 0: one head of all channels (null in JSON) */
    int norm_groups;
    double norm_eps;
    double dropout;         /* the rate, in [0, 1) */
    int num_classes;        /* rows of the class embedding; 0: none */
    double freq_shift;      /* the time embedding's frequencies: 10000^(-i / (half - freq_shift)) */
    bool flip_sin_to_cos;   /* [cos | sin] instead of [sin | cos] */
    int downsample_padding; /* 0: bottom and right only; 1: all around */
} ModelConfig;

/* The network of Ho et al. 2020 for CIFAR-10, the default of every key. */
ModelConfig model_config_default(void);

/* Channels of a level, base_channels * channel_mult[level]. */
int model_config_width(const ModelConfig *config, int level);

/* Whether the level, `height` pixels high, has attention. */
bool model_config_attends(const ModelConfig *config, int height);

/* Refuse what cannot work, before any memory is taken: a size that does not halve often enough,
 * channels that the groups or heads do not divide, or more than kernels can count, an attention
 * resolution no level has, and, with
 * `strict`, one channel a group, which would take out again what the time embedding adds and leave
 * the network blind to t. ERR_USAGE; the message names the key. */
bool model_config_check(const ModelConfig *config, bool strict, Err *err);

#endif
