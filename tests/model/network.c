#include "model/network.h"

#include <math.h>

static ModelConfig base(int size, int channels, int width, int groups)
{
    ModelConfig c = model_config_default();
    c.height = c.width = size;
    c.channels = c.out_channels = channels;
    c.base_channels = width;
    c.norm_groups = groups;
    c.res_blocks = 1;
    c.dropout = 0;
    c.levels = 2;
    c.channel_mult[0] = 1;
    c.channel_mult[1] = 2;
    c.attention_resolutions[0] = 8;
    return c;
}

ModelConfig network_rgb16(void)
{
    return base(16, 3, 8, 4);
}

ModelConfig network_gray28(void)
{
    ModelConfig c = base(28, 1, 16, 8);
    c.levels = 3;
    c.channel_mult[1] = 1;
    c.channel_mult[2] = 2;
    c.attention_count = 2;
    c.attention_resolutions[0] = 14;
    c.attention_resolutions[1] = 7;
    return c;
}

ModelConfig network_classes(void)
{
    ModelConfig c = base(8, 3, 16, 8);
    c.out_channels = 6;
    c.res_blocks = 2;
    c.attention_count = 2;
    c.attention_resolutions[1] = 4;
    c.attention_head_dim = 8;
    c.num_classes = 10;
    return c;
}

Unet *network_new(ModelConfig config, int n, UnetUse use)
{
    Err err;
    Unet *unet = unet_new(&config, true, &err);
    if (!unet || !unet_reserve(unet, n, use, &err)) fail_msg("%s", err.text);
    return unet;
}

static float *new_array(const Unet *unet)
{
    float *array = test_floats(unet_params(unet)->floats);
    memset(array, 0, unet_params(unet)->floats * sizeof *array);
    return array;
}

float *network_fixture(const Unet *unet, const Safetensors *file, const char *prefix)
{
    const ParamTable *table = unet_params(unet);
    float *array = new_array(unet);
    for (int i = 0; i < table->count; i++) {
        const Param *param = &table->list[i];
        size_t count;
        float *values = test_fixture_floats(file, &count, "%s.%s", prefix, param->name);
        assert_int_equal(count, param->count);
        param_from_file(array + param->offset, values, param);
        free(values);
    }
    return array;
}

float *network_random_weights(const Unet *unet, uint32_t seed)
{
    const ParamTable *table = unet_params(unet);
    float *array = new_array(unet);
    for (int i = 0; i < table->count; i++) {
        const Param *param = &table->list[i];
        bool vector = param->kind == PARAM_VECTOR;
        float *values = test_normals(param->count, seed + (uint32_t)i);
        float scale = vector ? 0.3f : 0.8f / sqrtf((float)param->count / (float)param->shape[0]);
        for (size_t k = 0; k < param->count; k++)
            array[param->offset + k] = scale * values[k] + (vector ? param->constant : 0.0f);
        free(values);
    }
    return array;
}
