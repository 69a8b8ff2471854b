/*
 * What a layer puts out, z = conv(a), is kept for the backward pass; what its norm and its SiLU
 * make of it, the next layer's a, has one buffer for all layers, and is made again on the way back
 * by group_norm_backward. There the gradient of z takes the place of z.
 */
#include "model/convnet.h"

#include "base/memory.h"
#include "base/whole.h"
#include "nn/conv.h"
#include "nn/group_norm.h"
#include "nn/linear.h"
#include "nn/pointwise.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CHANNELS = 32, MOST_CHANNELS = 128, GROUPS = 8, MAX_LAYERS = 32 };
enum { HALVED_FROM = 5 }; /* the shorter side ends at 3 or 4 */

/* Means over the pixels of what has just been normalised over them differ little from image to
 * image: with a gain of 1 the features would take long to tell them apart. */
static const double FEATURE_GAIN = 4;

/* Parameters of a layer, and those behind all layers, counted from the first. */
enum { FILTER, GAMMA, BETA, LAYER_PARAMS };
enum { FEATURE_MATRIX, FEATURE_BIAS, CLASS_MATRIX, CLASS_BIAS, HEAD_PARAMS };

typedef struct {
    ConvDims conv; /* for the images that are reserved */
    int pixels;    /* of an image of its output */
    float *z, *stats;
} Layer;

struct Convnet {
    ConvnetShape shape;
    ParamTable params;
    int count;
    Layer layers[MAX_LAYERS];
    int reserved; /* images */
    Arena memory;
    float *a, *da, *pooled, *linear, *feature, *dfeature, *scratch;
    const float *x, *weights; /* of the last forward pass, and its images */
    int n;
};

bool convnet_check(const ConvnetShape *s, Err *err)
{
    int least = whole_min(s->height, s->width);
    if (least < CONVNET_MIN_SIDE || s->height > CONVNET_MAX_SIDE || s->width > CONVNET_MAX_SIDE)
        return err_set(err, ERR_DATA,
                       "images of %d x %d pixels: a classifier is for sides of %d to %d pixels",
                       s->height, s->width, CONVNET_MIN_SIDE, CONVNET_MAX_SIDE);
    if (s->channels != 1 && s->channels != 3)
        return err_set(err, ERR_DATA, "images of %d channels: a classifier is for 1 or 3",
                       s->channels);
    if (s->classes < 2 || s->classes > CONVNET_MAX_CLASSES)
        return err_set(err, ERR_DATA, "images of %d class%s: a classifier is for 2 to %d",
                       s->classes, s->classes == 1 ? "" : "es", CONVNET_MAX_CLASSES);
    return true;
}

/* ---- layers ---- */

static void add_layer(Convnet *net, int h, int w, int c_in, int c_out, int stride)
{
    assert(net->count < MAX_LAYERS);
    Layer *layer = &net->layers[net->count++];
    layer->conv =
        (ConvDims){.h = h, .w = w, .c_in = c_in, .c_out = c_out, .stride = stride, .pad = 1};
    layer->pixels = conv_out_height(&layer->conv) * conv_out_width(&layer->conv);
}

static void add_layers(Convnet *net)
{
    int h = net->shape.height, w = net->shape.width, c = FIRST_CHANNELS;
    add_layer(net, h, w, net->shape.channels, c, 1);
    while (whole_min(h, w) >= HALVED_FROM) {
        int wider = whole_min(2 * c, MOST_CHANNELS);
        add_layer(net, h, w, c, wider, 2);
        h = whole_divide_up(h, 2), w = whole_divide_up(w, 2), c = wider;
        add_layer(net, h, w, c, c, 1);
    }
}

static bool declare(Convnet *net, Err *err)
{
    ParamTable *table = &net->params;
    if (!params_init(table, LAYER_PARAMS * net->count + HEAD_PARAMS, err)) return false;
    for (int i = 0; i < net->count; i++) {
        const ConvDims *d = &net->layers[i].conv;
        char conv[32], norm[32];
        snprintf(conv, sizeof conv, "conv.%d", i), snprintf(norm, sizeof norm, "norm.%d", i);
        params_add(table, PARAM_FILTER, conv, "weight", d->c_out, d->c_in, 1);
        params_add(table, PARAM_VECTOR, norm, "weight", d->c_out, 0, 1);
        params_add(table, PARAM_VECTOR, norm, "bias", d->c_out, 0, 0);
    }
    int c = net->layers[net->count - 1].conv.c_out, classes = net->shape.classes;
    params_add(table, PARAM_MATRIX, "feature", "weight", CONVNET_FEATURES, c, FEATURE_GAIN);
    params_add(table, PARAM_VECTOR, "feature", "bias", CONVNET_FEATURES, 0, 0);
    params_add(table, PARAM_MATRIX, "class", "weight", classes, CONVNET_FEATURES, 1);
    params_add(table, PARAM_VECTOR, "class", "bias", classes, 0, 0);
    return true;
}

Convnet *convnet_new(const ConvnetShape *shape, Err *err)
{
    Convnet *net = memory_new(1, sizeof *net, "the classifier", err);
    if (!net) return NULL;
    net->shape = *shape;
    add_layers(net);
    if (declare(net, err)) return net;
    convnet_free(net);
    return NULL;
}

void convnet_free(Convnet *net)
{
    if (!net) return;
    params_release(&net->params);
    arena_release(&net->memory);
    free(net);
}

const ConvnetShape *convnet_shape(const Convnet *net)
{
    return &net->shape;
}

const ParamTable *convnet_params(const Convnet *net)
{
    return &net->params;
}

const float *convnet_features(const Convnet *net)
{
    return net->feature;
}

/* ---- memory ---- */

static size_t layer_floats(const Layer *layer, int n)
{
    return (size_t)n * (size_t)layer->pixels * (size_t)layer->conv.c_out;
}

static ConvDims conv_of(const Layer *layer, int n)
{
    ConvDims d = layer->conv;
    d.n = n;
    return d;
}

static GroupNormDims norm_of(const Layer *layer, int n)
{
    return (GroupNormDims){.n = n,
                           .pixels = layer->pixels,
                           .c_a = layer->conv.c_out,
                           .groups = GROUPS,
                           .eps = 1e-5f,
                           .silu = true};
}

/* `at` moves past `floats` floats; returns where they begin, in `base` unless that is NULL. */
static float *piece(size_t *at, float *base, size_t floats)
{
    float *begin = base ? base + *at : NULL;
    *at += memory_round(floats * sizeof *base) / sizeof *base;
    return begin;
}

static size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Walk over all memory: where each piece lies if there is a base. Returns the floats of all. */
static size_t place(Convnet *net, float *base, int n)
{
    size_t at = 0, largest = 0, scratch = 0, rows = (size_t)n;
    for (int i = 0; i < net->count; i++) {
        Layer *layer = &net->layers[i];
        ConvDims conv = conv_of(layer, n);
        GroupNormDims norm = norm_of(layer, n);
        layer->z = piece(&at, base, layer_floats(layer, n));
        layer->stats = piece(&at, base, 2 * rows * GROUPS);
        largest = size_max(largest, layer_floats(layer, n));
        scratch = size_max(scratch, size_max(conv_scratch(&conv), group_norm_scratch(&norm)));
    }
    net->a = piece(&at, base, largest);
    net->da = piece(&at, base, largest);
    net->pooled = piece(&at, base, rows * (size_t)net->layers[net->count - 1].conv.c_out);
    net->linear = piece(&at, base, rows * CONVNET_FEATURES);
    net->feature = piece(&at, base, rows * CONVNET_FEATURES);
    net->dfeature = piece(&at, base, rows * CONVNET_FEATURES);
    net->scratch = piece(&at, base, scratch);
    return at;
}

bool convnet_reserve(Convnet *net, int n, Err *err)
{
    arena_release(&net->memory);
    net->reserved = net->n = 0;
    size_t bytes = place(net, NULL, n) * sizeof(float);
    if (!arena_init(&net->memory, bytes, "the classifier's activations", err)) return false;
    place(net, (float *)net->memory.base, n);
    net->reserved = n;
    return true;
}

/* ---- forward ---- */

static size_t offset_of(const Convnet *net, int layer, int param)
{
    return net->params.list[LAYER_PARAMS * layer + param].offset;
}

static size_t head_offset(const Convnet *net, int param)
{
    return offset_of(net, net->count, param);
}

static GroupNormParams norm_params(const Convnet *net, int i)
{
    return (GroupNormParams){.gamma = net->weights + offset_of(net, i, GAMMA),
                             .beta = net->weights + offset_of(net, i, BETA)};
}

static void layer_forward(Convnet *net, int i, const float *input)
{
    Layer *layer = &net->layers[i];
    ConvDims conv = conv_of(layer, net->n);
    GroupNormDims norm = norm_of(layer, net->n);
    conv_forward(layer->z, input, net->weights + offset_of(net, i, FILTER), NULL, (ConvAdd){0},
                 &conv, net->scratch);
    group_norm_forward(net->a, layer->stats, (GroupNormInput){layer->z, NULL}, norm_params(net, i),
                       &norm, net->scratch);
}

static LinearDims feature_dims(const Convnet *net)
{
    return (LinearDims){net->n, net->layers[net->count - 1].conv.c_out, CONVNET_FEATURES};
}

static LinearDims class_dims(const Convnet *net)
{
    return (LinearDims){net->n, CONVNET_FEATURES, net->shape.classes};
}

static void head_forward(Convnet *net, float *y)
{
    LinearDims to_feature = feature_dims(net), to_class = class_dims(net);
    const Layer *last = &net->layers[net->count - 1];
    const float *w = net->weights;
    size_t pooled = (size_t)net->n * (size_t)to_feature.in;
    image_sums(net->pooled, net->a, net->n, last->pixels, to_feature.in);
    for (size_t i = 0; i < pooled; i++) net->pooled[i] /= (float)last->pixels;
    linear_forward(net->linear, net->pooled, w + head_offset(net, FEATURE_MATRIX),
                   w + head_offset(net, FEATURE_BIAS), false, &to_feature);
    silu_forward(net->feature, net->linear, (size_t)net->n * CONVNET_FEATURES);
    linear_forward(y, net->feature, w + head_offset(net, CLASS_MATRIX),
                   w + head_offset(net, CLASS_BIAS), false, &to_class);
}

void convnet_forward(Convnet *net, float *y, const float *x, int n, const float *weights)
{
    assert(n > 0 && n <= net->reserved);
    net->x = x, net->weights = weights, net->n = n;
    for (int i = 0; i < net->count; i++) layer_forward(net, i, i == 0 ? x : net->a);
    head_forward(net, y);
}

/* ---- backward ---- */

/* To `da`, the gradient of the last layer's a: that of the mean, spread over the pixels. */
static void spread(Convnet *net)
{
    const Layer *last = &net->layers[net->count - 1];
    size_t pixels = (size_t)last->pixels, c = (size_t)last->conv.c_out;
    for (size_t i = 0; i < (size_t)net->n; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t k = 0; k < c; k++)
                net->da[(i * pixels + p) * c + k] = net->pooled[i * c + k] / (float)pixels;
}

static void head_backward(Convnet *net, float *dw, const float *dy)
{
    LinearDims to_feature = feature_dims(net), to_class = class_dims(net);
    const float *w = net->weights;
    linear_backward_weight(dw + head_offset(net, CLASS_MATRIX), dw + head_offset(net, CLASS_BIAS),
                           dy, net->feature, &to_class);
    linear_backward_input(net->dfeature, dy, w + head_offset(net, CLASS_MATRIX), false, &to_class);
    silu_backward(net->dfeature, net->dfeature, net->linear, (size_t)net->n * CONVNET_FEATURES);
    linear_backward_weight(dw + head_offset(net, FEATURE_MATRIX),
                           dw + head_offset(net, FEATURE_BIAS), net->dfeature, net->pooled,
                           &to_feature);
    linear_backward_input(net->pooled, net->dfeature, w + head_offset(net, FEATURE_MATRIX), false,
                          &to_feature);
    spread(net);
}

/* From the gradient of layer i's a, in `da`, to that of its z, in z; a is made again. */
static void norm_backward(Convnet *net, float *dw, int i)
{
    Layer *layer = &net->layers[i];
    GroupNormDims norm = norm_of(layer, net->n);
    GroupNormGrads grads = {.da = layer->z,
                            .dgamma = dw + offset_of(net, i, GAMMA),
                            .dbeta = dw + offset_of(net, i, BETA)};
    group_norm_backward(grads, net->a, net->da, (GroupNormInput){layer->z, NULL}, layer->stats,
                        norm_params(net, i), &norm, net->scratch);
}

static void filter_backward(Convnet *net, float *dw, const float *input, int i)
{
    ConvDims conv = conv_of(&net->layers[i], net->n);
    conv_backward_weight(dw + offset_of(net, i, FILTER), NULL, net->layers[i].z, input, &conv,
                         net->scratch);
}

static void input_backward(Convnet *net, float *dx, int i)
{
    ConvDims conv = conv_of(&net->layers[i], net->n);
    conv_backward_input(dx, net->layers[i].z, net->weights + offset_of(net, i, FILTER), &conv,
                        net->scratch);
}

void convnet_backward(Convnet *net, float *dweights, float *dx, const float *dy)
{
    assert(net->n > 0);
    head_backward(net, dweights, dy);
    for (int i = net->count - 1; i >= 0; i--) {
        norm_backward(net, dweights, i);
        if (i < net->count - 1) filter_backward(net, dweights, net->a, i + 1);
        if (i > 0) input_backward(net, net->da, i);
    }
    filter_backward(net, dweights, net->x, 0);
    if (dx) input_backward(net, dx, 0);
    net->n = 0;
}
