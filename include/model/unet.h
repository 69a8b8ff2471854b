/*
 * The U-Net: epsilon(x_t, t, class), forward and backward, over a list of blocks whose memory is
 * planned and taken once. Weights and gradients belong to the caller, as flat arrays in the layout
 * of unet_params().
 */
#ifndef DDPM_MODEL_UNET_H
#define DDPM_MODEL_UNET_H

#include "model/topology.h"

typedef enum {
    UNET_SAMPLE, /* forward only: outputs are dropped as soon as nothing reads them any more */
    UNET_TRAIN,
} UnetUse;

typedef struct Unet Unet;

/* The list of blocks and the parameter table; hardly any memory yet. `strict` as in
 * model_config_check, which is called first. NULL and `err` if the config cannot work. */
Unet *unet_new(const ModelConfig *config, bool strict, Err *err);
void unet_free(Unet *unet);

const ModelConfig *unet_config(const Unet *unet);
const Topology *unet_topology(const Unet *unet);
const ParamTable *unet_params(const Unet *unet);
/* Multiply-adds of one image's forward pass, as BlockOps counts them. */
double unet_macs(const Unet *unet);

/* Bytes that unet_reserve would take. ERR_USAGE for more pixels at once than kernels can count. */
bool unet_memory(size_t *bytes, const Unet *unet, int n, UnetUse use, Err *err);
/* Take the memory for batches of up to n images, on at most the threads that there are now
 * (parallel_threads). Replaces what an earlier call took. */
bool unet_reserve(Unet *unet, int n, UnetUse use, Err *err);

/* Keep the filters of `weights` as the kernels transform them, so that forward passes need not do
 * it each time; about four times the weights' memory. After unet_reserve, whose batch it is
 * for, and again whenever the weights change, or unet_unprepare'd. */
bool unet_prepare(Unet *unet, const float *weights, Err *err);
void unet_unprepare(Unet *unet);

typedef struct {
    const float *x;        /* [n,h,w,channels] */
    const float *t;        /* [n], 0-based steps */
    const int32_t *labels; /* [n], or NULL where the config has no classes */
    int n;                 /* at most what was reserved */
} UnetInput;

/* y [n,h,w,out_channels]. `dropout` is the seed, step and first position to draw dropout from, or
 * NULL for none. */
void unet_forward(Unet *unet, float *y, UnetInput input, const float *weights,
                  const RngKey *dropout);

/* The first block whose output in the last unet_forward is not finite, by name; NULL if all are.
 * `y` is what that call wrote. Only where UNET_TRAIN was reserved, and before unet_backward. */
const char *unet_first_bad(const Unet *unet, const float *y);

/* The gradients of the last unet_forward, which UNET_TRAIN was reserved for: dweights += ;
 * dx [n,h,w,channels] is overwritten unless NULL. The input and weights of that call must still be
 * as they were. */
void unet_backward(Unet *unet, float *dweights, float *dx, const float *dy);

/* Who wants to know how long each call of a block takes. */
typedef struct {
    void (*call)(void *context, int block, bool backward, double seconds);
    void *context;
} UnetObserver;

/* Tell it from the next call on; `{0}`: nobody, and no clock is read. */
void unet_observe(Unet *unet, UnetObserver observer);

#endif
