#include "cmd/sample_image.h"

#include "data/pixels.h"

static bool refuse_size(const Image *image, Fit fit, const ModelConfig *m, Err *err)
{
    const char *cure = fit == FIT_PAD ? "pad only makes images larger: --fit resize resizes it and "
                                        "crops it to the middle"
                                      : "--fit resize resizes it and crops it to the middle, --fit "
                                        "pad puts it on black";
    return err_set(err, ERR_DATA, "the image is %d x %d, and the model draws %d x %d; %s",
                   image->height, image->width, m->height, m->width, cure);
}

static bool settle_size(Image *image, Fit fit, const ModelConfig *m, Err *err)
{
    if (image->height == m->height && image->width == m->width) return true;
    bool grows = image->height <= m->height && image->width <= m->width;
    if (fit == FIT_NONE || (fit == FIT_PAD && !grows)) return refuse_size(image, fit, m, err);
    Image fitted;
    bool ok = fit == FIT_PAD ? image_pad(&fitted, image, m->height, m->width, err)
                             : image_fit(&fitted, image, m->height, m->width, err);
    if (!ok) return false;
    image_release(image);
    *image = fitted;
    return true;
}

bool sample_image_read(Image *image, const char *option, const char *path, int channels, Fit fit,
                       const ModelConfig *model, Err *err)
{
    if (!image_read(image, path, channels, err)) return err_prefix(err, "--%s", option);
    if (settle_size(image, fit, model, err)) return true;
    image_release(image);
    return err_prefix(err, "--%s %s", option, path);
}

bool sample_image_read_floats(float *x, const char *option, const char *path, Fit fit,
                              const ModelConfig *model, Err *err)
{
    Image image;
    if (model->channels != 1 && model->channels != 3)
        return err_set(err, ERR_USAGE,
                       "--%s %s: the model's images have %d channels, and image files 1 or 3",
                       option, path, model->channels);
    if (!sample_image_read(&image, option, path, model->channels, fit, model, err)) return false;
    pixels_to_floats(x, image.pixels,
                     (size_t)image.height * (size_t)image.width * (size_t)image.channels);
    image_release(&image);
    return true;
}
