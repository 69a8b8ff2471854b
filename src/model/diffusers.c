#include "model/diffusers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

static void write_size(Json *json, const ModelConfig *c)
{
    if (c->height == c->width) {
        json_set_number(json, "sample_size", c->height);
        return;
    }
    Json *pair = json_new_list();
    json_add_number(pair, c->height);
    json_add_number(pair, c->width);
    json_set(json, "sample_size", pair);
}

static bool attends(const ModelConfig *c, int level)
{
    return model_config_attends(c, c->height >> level);
}

static void write_blocks(Json *json, const ModelConfig *c)
{
    Json *channels = json_new_list(), *down = json_new_list(), *up = json_new_list();
    for (int i = 0; i < c->levels; i++) {
        json_add_number(channels, model_config_width(c, i));
        json_add_string(down, attends(c, i) ? "AttnDownBlock2D" : "DownBlock2D");
        json_add_string(up, attends(c, c->levels - 1 - i) ? "AttnUpBlock2D" : "UpBlock2D");
    }
    json_set(json, "block_out_channels", channels);
    json_set(json, "down_block_types", down);
    json_set(json, "up_block_types", up);
}

Json *diffusers_config_write(const ModelConfig *c)
{
    Json *json = json_new_object();
    json_set_string(json, "_class_name", "UNet2DModel");
    json_set_string(json, "_diffusers_version", "0.1.1");
    json_set_string(json, "act_fn", "silu");
    if (c->attention_head_dim > 0)
        json_set_number(json, "attention_head_dim", c->attention_head_dim);
    else
        json_set_null(json, "attention_head_dim");
    write_blocks(json, c);
    json_set_bool(json, "center_input_sample", false);
    json_set_number(json, "downsample_padding", c->downsample_padding);
    json_set_bool(json, "flip_sin_to_cos", c->flip_sin_to_cos);
    json_set_number(json, "freq_shift", c->freq_shift);
    json_set_number(json, "in_channels", c->channels);
    json_set_number(json, "layers_per_block", c->res_blocks);
    json_set_number(json, "mid_block_scale_factor", 1);
    json_set_number(json, "norm_eps", c->norm_eps);
    json_set_number(json, "norm_num_groups", c->norm_groups);
    if (c->num_classes > 0) json_set_number(json, "num_class_embeds", c->num_classes);
    json_set_number(json, "out_channels", c->out_channels);
    write_size(json, c);
    json_set_string(json, "time_embedding_type", "positional");
    return json;
}

/* ---- reading ---- */

typedef struct {
    const Json *json;
    const char *origin;
    Err *err;
    bool ok; /* once false, nothing more is read */
} Reader;

/* The value as it stands in the file, for a message. */
static void refuse(Reader *r, const char *key, const Json *value, const char *wanted)
{
    if (r->ok) r->ok = json_refuse(value, key, r->origin, wanted, r->err);
}

static const Json *present(const Reader *r, const char *key)
{
    return r->ok ? json_get(r->json, key) : NULL;
}

static int whole(Reader *r, const char *key, int missing, int least, int most)
{
    const Json *value = present(r, key);
    uint64_t number;
    if (!value) return missing;
    if (json_type(value) == JSON_NUMBER && json_whole(&number, value, (uint64_t)most) &&
        number >= (uint64_t)least)
        return (int)number;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a whole number from %d to %d", least, most);
    refuse(r, key, value, wanted);
    return missing;
}

/* A whole number or null, which is 0. */
static int whole_or_null(Reader *r, const char *key, int missing, int most)
{
    const Json *value = present(r, key);
    if (value && json_type(value) == JSON_NULL) return 0;
    return whole(r, key, missing, 1, most);
}

static double number(Reader *r, const char *key, double missing, double least, double most)
{
    const Json *value = present(r, key);
    if (!value) return missing;
    if (json_type(value) == JSON_NUMBER && json_number(value) >= least &&
        json_number(value) <= most)
        return json_number(value);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a number from %g to %g", least, most);
    refuse(r, key, value, wanted);
    return missing;
}

static bool boolean(Reader *r, const char *key, bool missing)
{
    const Json *value = present(r, key);
    if (!value) return missing;
    if (json_type(value) == JSON_BOOL) return json_bool(value);
    refuse(r, key, value, "true or false");
    return missing;
}

/* What this program's network always is: the key must be missing, null, or say so. */
typedef struct {
    const char *key;
    JsonType type;
    const char *text; /* the string, or alternatives separated by '|' */
    double number;    /* the number, or 0 and 1 for false and true */
} Fixed;

static const Fixed FIXED[] = {
    {"act_fn", JSON_STRING, "silu|swish", 0},
    {"add_attention", JSON_BOOL, "true", 1},
    {"attn_norm_num_groups", JSON_NULL, "null", 0},
    {"center_input_sample", JSON_BOOL, "false", 0},
    {"class_embed_type", JSON_NULL, "null", 0},
    {"downsample_type", JSON_STRING, "conv", 0},
    {"dropout", JSON_NUMBER, "0", 0},
    {"mid_block_scale_factor", JSON_NUMBER, "1", 1},
    {"mid_block_type", JSON_STRING, "UNetMidBlock2D", 0},
    {"resnet_time_scale_shift", JSON_STRING, "default", 0},
    {"time_embedding_type", JSON_STRING, "positional", 0},
    {"upsample_type", JSON_STRING, "conv", 0},
};

static bool among(const char *alternatives, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = alternatives; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, text, length) == 0 && (at[length] == '|' || at[length] == '\0'))
            return true;
    return false;
}

static bool holds(const Json *value, const Fixed *fixed)
{
    if (json_type(value) != fixed->type) return json_type(value) == JSON_NULL;
    if (fixed->type == JSON_STRING) return among(fixed->text, json_string(value));
    if (fixed->type == JSON_NUMBER) return json_number(value) == fixed->number;
    return fixed->type == JSON_NULL || json_bool(value) == (fixed->number > 0);
}

static void check_fixed(Reader *r)
{
    for (size_t i = 0; i < sizeof FIXED / sizeof *FIXED; i++) {
        const Json *value = present(r, FIXED[i].key);
        if (value && !holds(value, &FIXED[i])) refuse(r, FIXED[i].key, value, FIXED[i].text);
    }
}

static const char *const READ[] = {
    "attention_head_dim", "block_out_channels", "down_block_types",    "up_block_types",
    "downsample_padding", "flip_sin_to_cos",    "freq_shift",          "in_channels",
    "layers_per_block",   "norm_eps",           "norm_num_groups",     "num_class_embeds",
    "out_channels",       "sample_size",        "num_train_timesteps", /* only a learned time
                                                                          embedding would use it */
};

/* Keys that begin with an underscore say where the file comes from. */
static void check_known(Reader *r)
{
    for (const Json *child = json_first(r->json); r->ok && child; child = json_next(child)) {
        const char *key = json_key(child);
        bool known = key[0] == '_';
        for (size_t i = 0; !known && i < sizeof READ / sizeof *READ; i++)
            known = strcmp(key, READ[i]) == 0;
        for (size_t i = 0; !known && i < sizeof FIXED / sizeof *FIXED; i++)
            known = strcmp(key, FIXED[i].key) == 0;
        if (!known && json_type(child) != JSON_NULL) refuse(r, key, child, "left out");
    }
}

enum { MOST_CHANNELS = 1 << 16, MOST_PIXELS = 1 << 14, MOST_CLASSES = 1 << 24 };

static void read_size(Reader *r, ModelConfig *c)
{
    const Json *value = present(r, "sample_size");
    if (value && json_type(value) == JSON_LIST && json_count(value) == 2) {
        const Json *height = json_first(value), *width = json_next(height);
        uint64_t h, w;
        if (json_type(height) == JSON_NUMBER && json_whole(&h, height, MOST_PIXELS) && h > 0 &&
            json_type(width) == JSON_NUMBER && json_whole(&w, width, MOST_PIXELS) && w > 0) {
            c->height = (int)h;
            c->width = (int)w;
            return;
        }
    }
    if (value && json_type(value) == JSON_NUMBER) {
        c->height = c->width = whole(r, "sample_size", 0, 1, MOST_PIXELS);
        return;
    }
    if (r->ok && !value)
        r->ok = err_set(r->err, ERR_DATA, "%s: sample_size, the size of the images, is missing",
                        r->origin);
    else if (r->ok)
        refuse(r, "sample_size", value, "a size in pixels or [height, width]");
}

/* Widths must be multiples of the first, or fractions of it, which channel_mult then holds. */
static void read_widths(Reader *r, ModelConfig *c)
{
    static const int missing[] = {224, 448, 672, 896};
    const Json *list = present(r, "block_out_channels");
    if (list && (json_type(list) != JSON_LIST || json_count(list) == 0 ||
                 json_count(list) > MODEL_MAX_LEVELS)) {
        refuse(r, "block_out_channels", list, "a list of 1 to 10 numbers of channels");
        return;
    }
    const Json *child = list ? json_first(list) : NULL;
    c->levels = list ? (int)json_count(list) : 4;
    for (int i = 0; i < c->levels; i++, child = child ? json_next(child) : NULL) {
        uint64_t width = list ? 0 : (uint64_t)missing[i];
        bool good = !list || (json_type(child) == JSON_NUMBER &&
                              json_whole(&width, child, MOST_CHANNELS) && width > 0);
        if (!good) {
            refuse(r, "block_out_channels", list, "a list of 1 to 10 numbers of channels");
            return;
        }
        if (i == 0) c->base_channels = (int)width;
        c->channel_mult[i] = (double)width / c->base_channels;
    }
}

/* Type number `i` of a list of block types: whether it has attention. */
static bool block_attends(Reader *r, const char *key, int i, int levels, const char *plain,
                          const char *attention, bool missing)
{
    const Json *list = present(r, key);
    char wanted[96];
    snprintf(wanted, sizeof wanted, "%d of %s or %s, the way up the mirror of the way down", levels,
             plain, attention);
    if (!list) return missing;
    if (json_type(list) != JSON_LIST || json_count(list) != (size_t)levels) {
        refuse(r, key, list, wanted);
        return false;
    }
    const Json *child = json_first(list);
    for (int k = 0; k < i; k++) child = json_next(child);
    bool text = json_type(child) == JSON_STRING;
    if (text && strcmp(json_string(child), attention) == 0) return true;
    if (!text || strcmp(json_string(child), plain) != 0) refuse(r, key, list, wanted);
    return false;
}

static void read_attention(Reader *r, ModelConfig *c)
{
    for (int i = 0; i < c->levels; i++) {
        int up_index = c->levels - 1 - i;
        bool down = block_attends(r, "down_block_types", i, c->levels, "DownBlock2D",
                                  "AttnDownBlock2D", i > 0);
        bool up = block_attends(r, "up_block_types", up_index, c->levels, "UpBlock2D",
                                "AttnUpBlock2D", i > 0);
        if (r->ok && down != up)
            refuse(r, "up_block_types", json_get(r->json, "up_block_types"),
                   "the mirror of down_block_types");
        if (down) c->attention_resolutions[c->attention_count++] = c->height >> i;
    }
}

bool diffusers_config_read(ModelConfig *c, const Json *json, const char *origin, Err *err)
{
    Reader r = {json, origin, err, true};
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_DATA, "%s: holds %s, not the object of a model's configuration",
                       origin, json_type_name(json_type(json)));
    *c = (ModelConfig){0};
    check_known(&r);
    check_fixed(&r);
    read_size(&r, c);
    read_widths(&r, c);
    read_attention(&r, c);
    c->channels = whole(&r, "in_channels", 3, 1, MOST_CHANNELS);
    c->out_channels = whole(&r, "out_channels", 3, 1, MOST_CHANNELS);
    c->res_blocks = whole(&r, "layers_per_block", 2, 1, 64);
    c->attention_head_dim = whole_or_null(&r, "attention_head_dim", 8, MOST_CHANNELS);
    c->norm_groups = whole(&r, "norm_num_groups", 32, 1, MOST_CHANNELS);
    c->norm_eps = number(&r, "norm_eps", 1e-5, 0, 1);
    c->freq_shift = number(&r, "freq_shift", 0, 0, 1e6);
    c->flip_sin_to_cos = boolean(&r, "flip_sin_to_cos", true);
    c->downsample_padding = whole(&r, "downsample_padding", 1, 0, 1);
    c->num_classes = whole_or_null(&r, "num_class_embeds", 0, MOST_CLASSES);
    return r.ok;
}
