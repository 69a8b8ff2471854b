#include "model/config.h"

#include <math.h>

ModelConfig model_config_default(void)
{
    return (ModelConfig){
        .height = 32,
        .width = 32,
        .channels = 3,
        .out_channels = 3,
        .base_channels = 128,
        .levels = 4,
        .channel_mult = {1, 2, 2, 2},
        .res_blocks = 2,
        .attention_count = 1,
        .attention_resolutions = {16},
        .norm_groups = 32,
        .norm_eps = 1e-6,
        .dropout = 0.1,
        .freq_shift = 1,
    };
}

int model_config_width(const ModelConfig *config, int level)
{
    return (int)lround(config->base_channels * config->channel_mult[level]);
}

bool model_config_attends(const ModelConfig *config, int height)
{
    for (int i = 0; i < config->attention_count; i++)
        if (config->attention_resolutions[i] == height) return true;
    return false;
}

static bool check_sizes(const ModelConfig *c, Err *err)
{
    int halvings = 1 << (c->levels - 1);
    if (c->height % halvings != 0 || c->width % halvings != 0)
        return err_set(err, ERR_USAGE,
                       "model.image_size = %dx%d cannot be halved %d times, once for each level of "
                       "model.channel_mult after the first; use multiples of %d or fewer levels",
                       c->height, c->width, c->levels - 1, halvings);
    for (int i = 0; i < c->attention_count; i++) {
        bool found = false;
        for (int k = 0; k < i; k++)
            if (c->attention_resolutions[k] == c->attention_resolutions[i])
                return err_set(err, ERR_USAGE, "model.attention_resolutions has %d twice",
                               c->attention_resolutions[i]);
        for (int level = 0; level < c->levels; level++)
            found = found || c->height >> level == c->attention_resolutions[i];
        if (!found)
            return err_set(
                err, ERR_USAGE,
                "model.attention_resolutions has %d, but no level is %d pixels high; the "
                "heights are %d, halved at each level of model.channel_mult",
                c->attention_resolutions[i], c->attention_resolutions[i], c->height);
    }
    return true;
}

/* Every group norm of the network is over the width of a level or over the sum of two widths. */
static bool check_groups(const ModelConfig *c, int level, bool strict, Err *err)
{
    int width = model_config_width(c, level), groups = c->norm_groups;
    if (fabs(c->base_channels * c->channel_mult[level] - width) > 1e-6 || width < 1)
        return err_set(err, ERR_USAGE,
                       "model.channel_mult[%d] = %g times model.base_channels = %d is not a whole "
                       "number of channels",
                       level, c->channel_mult[level], c->base_channels);
    if (width > MODEL_MAX_WIDTH || c->base_channels > MODEL_MAX_WIDTH)
        return err_set(err, ERR_USAGE,
                       "model.base_channels = %d (times model.channel_mult[%d] = %g: %d) is more "
                       "than the %d channels that a level may have",
                       c->base_channels, level, c->channel_mult[level], width, MODEL_MAX_WIDTH);
    if (width % groups != 0)
        return err_set(err, ERR_USAGE,
                       "model.base_channels = %d (times model.channel_mult[%d] = %g: %d) is not a "
                       "multiple of model.norm_groups = %d",
                       c->base_channels, level, c->channel_mult[level], width, groups);
    if (strict && width / groups < 2)
        return err_set(err, ERR_USAGE,
                       "model.norm_groups = %d leaves one channel a group at %d channels; the norm "
                       "would take out what the time embedding adds: use at most %d groups",
                       groups, width, width / 2);
    return true;
}

static bool check_heads(const ModelConfig *c, int level, Err *err)
{
    int width = model_config_width(c, level);
    bool attends = level == c->levels - 1 || model_config_attends(c, c->height >> level);
    if (attends && c->attention_head_dim > 0 && width % c->attention_head_dim != 0)
        return err_set(err, ERR_USAGE,
                       "model.attention_head_dim = %d does not divide the %d channels of level %d",
                       c->attention_head_dim, width, level);
    return true;
}

bool model_config_check(const ModelConfig *c, bool strict, Err *err)
{
    if (c->base_channels % 2 != 0 || (double)c->base_channels / 2 <= c->freq_shift)
        return err_set(err, ERR_USAGE,
                       "model.base_channels = %d: the time embedding needs an even number, whose "
                       "half is above model.freq_shift = %g",
                       c->base_channels, c->freq_shift);
    if (!check_sizes(c, err)) return false;
    if (c->channel_mult[0] != 1)
        return err_set(
            err, ERR_USAGE,
            "model.channel_mult[0] = %g: the first level is model.base_channels wide; it "
            "must be 1",
            c->channel_mult[0]);
    for (int level = 0; level < c->levels; level++)
        if (!check_groups(c, level, strict, err) || !check_heads(c, level, err)) return false;
    return true;
}
