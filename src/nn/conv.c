#include "nn/conv.h"

#include "nn/conv_im2col.h"
#include "nn/linear.h"

#include <assert.h>

static void check(const ConvDims *d)
{
    assert(d->n > 0 && d->c_in > 0 && d->c_out > 0);
    assert((d->stride == 1 && d->pad == 1) || (d->stride == 2 && (d->pad == 0 || d->pad == 1)));
    assert(conv_out_height(d) > 0 && conv_out_width(d) > 0);
    (void)d;
}

int conv_out_height(const ConvDims *d)
{
    return d->stride == 1 ? d->h : (d->h + d->pad) / 2;
}

int conv_out_width(const ConvDims *d)
{
    return d->stride == 1 ? d->w : (d->w + d->pad) / 2;
}

size_t conv_scratch(const ConvDims *d)
{
    check(d);
    return im2col_scratch(d);
}

size_t conv_prepared_size(const ConvDims *d)
{
    (void)d;
    return 0;
}

void conv_prepare(float *prepared, const float *w, const ConvDims *d)
{
    (void)prepared, (void)w, (void)d;
}

void conv_forward(float *y, const float *x, const float *w, const float *prepared, ConvAdd add,
                  const ConvDims *d, float *scratch)
{
    check(d);
    (void)prepared;
    im2col_forward(y, x, w, add, d, scratch);
}

void conv_backward_input(float *dx, const float *dy, const float *w, const ConvDims *d,
                         float *scratch)
{
    check(d);
    im2col_backward_input(dx, dy, w, d, scratch);
}

void conv_backward_weight(float *dw, float *dbias, const float *dy, const float *x,
                          const ConvDims *d, float *scratch)
{
    check(d);
    im2col_backward_weight(dw, dy, x, d, scratch);
    if (dbias)
        linear_column_sums(dbias, dy, d->n * conv_out_height(d) * conv_out_width(d), d->c_out);
}
