/*
 * The shape of a 3x3 convolution (nn/conv.h), for it and for the algorithms behind it.
 */
#ifndef DDPM_NN_CONV_DIMS_H
#define DDPM_NN_CONV_DIMS_H

typedef struct {
    int n, h, w, c_in, c_out; /* of the input x */
    int stride;               /* 1 or 2 */
    int pad;                  /* at the top and left: 1 with stride 1; 0 or 1 with stride 2 */
} ConvDims;

/* What is added to the convolution's result, each part NULL if there is none. */
typedef struct {
    const float *bias;     /* [c_out] */
    const float *image;    /* [n,c_out], the same for all pixels of an image: the time embedding */
    const float *residual; /* [n,h_out,w_out,c_out]; may be y itself */
} ConvAdd;

int conv_out_height(const ConvDims *d);
int conv_out_width(const ConvDims *d);

#endif
