#include "eval/network.h"

#include "base/whole.h"
#include "data/pixels.h"

#include <assert.h>

static size_t pixels_of(const EvalModel *model)
{
    const ModelConfig *c = unet_config(model->unet);
    return (size_t)c->height * (size_t)c->width;
}

size_t eval_size(const EvalModel *model)
{
    return pixels_of(model) * (size_t)unet_config(model->unet)->channels;
}

size_t eval_out_size(const EvalModel *model)
{
    return pixels_of(model) * (size_t)unet_config(model->unet)->out_channels;
}

/* ---- the network ---- */

/* At most model->rows rows; it is fed the 0-based step. */
static void ask(const EvalModel *model, float *out, const float *x_t, const int *t,
                const int32_t *labels, int n)
{
    float steps[EVAL_MOST_ROWS];
    int32_t none[EVAL_MOST_ROWS];
    assert(labels || model->classes == 0 || model->no_class_row);
    for (int i = 0; i < n; i++) steps[i] = (float)(t[i] - 1), none[i] = model->classes;
    UnetInput input = {x_t, steps, model->classes == 0 ? NULL : labels ? labels : none, n};
    unet_forward(model->unet, out, input, model->weights, NULL);
}

void eval_network(const EvalModel *model, float *out, const float *x_t, const int *t,
                  const int32_t *labels, int n)
{
    assert(model->rows >= 1 && model->rows <= EVAL_MOST_ROWS);
    for (int first = 0; first < n; first += model->rows) {
        size_t row = (size_t)first;
        ask(model, out + row * eval_out_size(model), x_t + row * eval_size(model), t + first,
            labels ? labels + first : NULL, whole_min(model->rows, n - first));
    }
}

void eval_network_on(const EvalModel *model, const EvalImages *images, float *out, const float *x_t,
                     const int *t, const int *image, int n)
{
    int32_t labels[EVAL_MOST_ROWS];
    bool labelled = images->set->labels != NULL;
    assert(n <= EVAL_MOST_ROWS);
    for (int i = 0; i < n; i++) labels[i] = eval_images_label(images, image[i]);
    eval_network(model, out, x_t, t, labelled ? labels : NULL, n);
}

/* ---- images ---- */

static int index_of(const EvalImages *images, int j)
{
    return dataset_spread(j % images->count, images->count, images->set->count);
}

int32_t eval_images_label(const EvalImages *images, int j)
{
    return images->set->labels ? images->set->labels[index_of(images, j)] : -1;
}

static void fetch(void *context, float *out, int first, int n)
{
    const EvalImages *images = context;
    const Dataset *set = images->set;
    size_t size = (size_t)set->height * (size_t)set->width * (size_t)set->channels;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        const uint8_t *bytes = dataset_image(set, index_of(images, first + i));
        float *x = out + (size_t)i * size;
        if (first + i < images->count)
            pixels_to_floats(x, bytes, size);
        else
            pixels_to_floats_mirrored(x, bytes, set->height, set->width, set->channels);
    }
}

static int32_t label(void *context, int i)
{
    return eval_images_label(context, i);
}

ImageSource eval_images(EvalImages *images)
{
    assert(images->count >= 1 && images->count <= images->set->count);
    int count = images->mirrored ? 2 * images->count : images->count;
    return (ImageSource){fetch, images, count, images->set->labels ? label : NULL};
}
