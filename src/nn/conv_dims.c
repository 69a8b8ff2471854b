#include "nn/conv_dims.h"

int conv_out_height(const ConvDims *d)
{
    return d->stride == 1 ? d->h : (d->h + d->pad) / 2;
}

int conv_out_width(const ConvDims *d)
{
    return d->stride == 1 ? d->w : (d->w + d->pad) / 2;
}
