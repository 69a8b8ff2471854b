/*
 * Images that `ddpm sample` and `ddpm schedule` are given, as the model takes them.
 */
#ifndef DDPM_CMD_SAMPLE_IMAGE_H
#define DDPM_CMD_SAMPLE_IMAGE_H

#include "data/config.h"
#include "data/image.h"
#include "model/config.h"

/* The image file `path` that `option` names ("init"), of the model's size, with 1 or 3 `channels`:
 * grey and colour are converted (data/image.h), another size is let in as `fit` says (data.fit of a
 * config), or is an error where that is FIT_NONE. The caller releases `image`. */
bool sample_image_read(Image *image, const char *option, const char *path, int channels, Fit fit,
                       const ModelConfig *model, Err *err);

/* The same of the model's channels, in [-1, 1]: x [height,width,channels]. A model whose images
 * have two channels has no image files: ERR_USAGE. */
bool sample_image_read_floats(float *x, const char *option, const char *path, Fit fit,
                              const ModelConfig *model, Err *err);

#endif
