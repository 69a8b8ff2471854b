/*
 * The network that is evaluated: asked for many rows at once, each at its own t and of its own
 * class; and the images that it is evaluated on, in floats.
 */
#ifndef DDPM_EVAL_NETWORK_H
#define DDPM_EVAL_NETWORK_H

#include "data/dataset.h"
#include "diffusion/config.h"
#include "diffusion/image_source.h"
#include "model/unet.h"

#include <stdbool.h>

enum { EVAL_MOST_ROWS = 1024 };

typedef struct {
    Unet *unet; /* reserved for `rows` */
    const float *weights;
    const DiffusionConfig *diffusion;
    int classes;       /* that the network knows, 0 .. classes - 1; 0: none, and it is not told */
    bool no_class_row; /* it also knows class `classes`: none */
    int rows;          /* at once, 1 .. EVAL_MOST_ROWS */
} EvalModel;

/* Floats of an image, and of what the network puts out for one. */
size_t eval_size(const EvalModel *model);
size_t eval_out_size(const EvalModel *model);

/* What the network says of the `n` rows of x_t [n, size] at their t (1..T): out [n, out_size].
 * `labels` [n]: the rows' classes; NULL: of none, and then a network with classes has a
 * no_class_row. */
void eval_network(const EvalModel *model, float *out, const float *x_t, const int *t,
                  const int32_t *labels, int n);

/* `count` of the images of a set, spread evenly over it. */
typedef struct {
    const Dataset *set;
    int count;     /* 1 .. set->count */
    bool mirrored; /* followed by the mirror images of all of them */
} EvalImages;

/* As a source of `count` images, or twice that; points at `images`. */
ImageSource eval_images(EvalImages *images);

/* The class of image j of that source; -1 where the set has no classes. */
int32_t eval_images_label(const EvalImages *images, int j);

/* eval_network for rows of which row k is of image image[k] of `images`, with its class, or none
 * where the set has no classes. */
void eval_network_on(const EvalModel *model, const EvalImages *images, float *out, const float *x_t,
                     const int *t, const int *image, int n);

#endif
