#include "evaluated.h"

#include "model/network.h"

#include <math.h>

void evaluated_open(Evaluated *e, Variance variance, int T, int images, int rows)
{
    Err err;
    ModelConfig config = network_classes();
    if (variance != VARIANCE_LEARNED_RANGE) config.out_channels = config.channels;
    Unet *unet = network_new(config, rows, UNET_SAMPLE);
    *e = (Evaluated){.weights = network_random_weights(unet, 7)};
    e->diffusion = (DiffusionConfig){.timesteps = T,
                                     .schedule = SCHEDULE_LINEAR,
                                     .beta_start = 1e-3,
                                     .beta_end = 0.25,
                                     .prediction = PREDICT_V,
                                     .variance = variance};
    e->model = (EvalModel){unet, e->weights, &e->diffusion, 9, true, rows};
    e->set = (Dataset){.count = images, .height = 8, .width = 8, .channels = 3, .classes = 9};
    if (!dataset_allocate(&e->set, true, "test", &err)) fail_msg("%s", err.text);
    size_t size = eval_size(&e->model);
    float *x = test_normals((size_t)images * size, 2);
    for (size_t k = 0; k < (size_t)images * size; k++)
        e->set.pixels[k] = (uint8_t)(127.5 + 120 * tanh(0.7 * (double)x[k]));
    for (int i = 0; i < images; i++) e->set.labels[i] = i * 5 % 9;
    free(x);
}

void evaluated_close(Evaluated *e)
{
    unet_free(e->model.unet);
    free(e->weights);
    dataset_release(&e->set);
}
