/*
 * A small convolutional network that tells classes of images apart, and whose last layer but one
 * are features to compare sets of images by (eval/frechet.h and others), made of the U-Net's
 * kernels:
 *
 *     3x3 convolution to 32 channels
 *     while the shorter side is 5 or more: 3x3 convolution of stride 2 to twice the channels, at
 *         most 128; 3x3 convolution
 *     the mean over the pixels, linear to CONVNET_FEATURES, SiLU, linear to the classes
 *
 * where a group norm and a SiLU follow each convolution, whose bias the norm's stands for. Weights
 * and gradients belong to the caller, as flat arrays in the layout of convnet_params().
 */
#ifndef DDPM_MODEL_CONVNET_H
#define DDPM_MODEL_CONVNET_H

#include "model/params.h"

enum {
    CONVNET_FEATURES = 64,
    CONVNET_MIN_SIDE = 8,
    CONVNET_MAX_SIDE = 4096,
    CONVNET_MAX_CLASSES = 65536,
};

typedef struct {
    int height, width, channels, classes;
} ConvnetShape;

typedef struct Convnet Convnet;

/* Sides of CONVNET_MIN_SIDE to CONVNET_MAX_SIDE pixels, 1 or 3 channels, 2 to CONVNET_MAX_CLASSES
 * classes; ERR_DATA says which of them is another. */
bool convnet_check(const ConvnetShape *shape, Err *err);

/* The list of layers and the parameter table; hardly any memory yet. `shape` has passed
 * convnet_check. NULL and `err` if there is none. */
Convnet *convnet_new(const ConvnetShape *shape, Err *err);
void convnet_free(Convnet *net);

const ConvnetShape *convnet_shape(const Convnet *net);
const ParamTable *convnet_params(const Convnet *net);

/* Take the memory for batches of up to n images. Replaces what an earlier call took. */
bool convnet_reserve(Convnet *net, int n, Err *err);

/* y [n,classes], before the softmax, of x [n,height,width,channels]. */
void convnet_forward(Convnet *net, float *y, const float *x, int n, const float *weights);

/* The features of the last convnet_forward, [n,CONVNET_FEATURES]: until the next call. */
const float *convnet_features(const Convnet *net);

/* The gradients of the last convnet_forward, once: the activations are overwritten with theirs.
 * dweights += ; dx [n,height,width,channels] is overwritten unless NULL. The input and weights of
 * that call must still be as they were. */
void convnet_backward(Convnet *net, float *dweights, float *dx, const float *dy);

#endif
