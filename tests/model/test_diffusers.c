#include "model/diffusers.h"
#include "model/network.h"

#include <stdio.h>

static Json *json_of(const char *text)
{
    Json *json;
    Err err;
    if (!json_parse(&json, text, strlen(text), "test", &err)) fail_msg("%s: %s", text, err.text);
    return json;
}

static void assert_same(const ModelConfig *a, const ModelConfig *b)
{
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->channels, b->channels);
    assert_int_equal(a->out_channels, b->out_channels);
    assert_int_equal(a->base_channels, b->base_channels);
    assert_int_equal(a->levels, b->levels);
    assert_int_equal(a->res_blocks, b->res_blocks);
    assert_int_equal(a->attention_head_dim, b->attention_head_dim);
    assert_int_equal(a->norm_groups, b->norm_groups);
    assert_int_equal(a->num_classes, b->num_classes);
    assert_int_equal(a->flip_sin_to_cos, b->flip_sin_to_cos);
    assert_int_equal(a->downsample_padding, b->downsample_padding);
    assert_close(a->norm_eps, b->norm_eps, 0);
    assert_close(a->freq_shift, b->freq_shift, 0);
    for (int i = 0; i < a->levels; i++) {
        assert_int_equal(model_config_width(a, i), model_config_width(b, i));
        assert_int_equal(model_config_attends(a, a->height >> i),
                         model_config_attends(b, a->height >> i));
    }
}

static void assert_round_trip(const ModelConfig *config)
{
    Json *json = diffusers_config_write(config);
    ModelConfig read;
    Err err;
    if (!diffusers_config_read(&read, json, "c.json", &err)) fail_msg("%s", err.text);
    assert_same(config, &read);
    json_free(json);
}

static void every_key_goes_there_and_back(void **state)
{
    (void)state;
    ModelConfig configs[] = {model_config_default(), network_rgb16(), network_gray28(),
                             network_classes(), network_rgb16()};
    ModelConfig *odd = &configs[4];
    odd->height = 24, odd->width = 40;
    odd->levels = 3;
    odd->channel_mult[0] = 1, odd->channel_mult[1] = 1.5, odd->channel_mult[2] = 2.25;
    odd->base_channels = 16;
    odd->attention_resolutions[0] = 6;
    odd->freq_shift = 0, odd->flip_sin_to_cos = true, odd->downsample_padding = 1;
    odd->norm_eps = 1e-5;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) assert_round_trip(&configs[i]);
}

/* Current versions take a missing attention_head_dim for 8: null must be written out. */
static void what_others_would_guess_is_written_out(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "_class_name",
        "_diffusers_version",
        "act_fn",
        "attention_head_dim",
        "block_out_channels",
        "center_input_sample",
        "down_block_types",
        "downsample_padding",
        "flip_sin_to_cos",
        "freq_shift",
        "in_channels",
        "layers_per_block",
        "mid_block_scale_factor",
        "norm_eps",
        "norm_num_groups",
        "out_channels",
        "sample_size",
        "time_embedding_type",
        "up_block_types",
    };
    ModelConfig config = network_gray28();
    Json *json = diffusers_config_write(&config);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!json_get(json, keys[i])) fail_msg("%s is missing", keys[i]);
    assert_int_equal(json_type(json_get(json, "attention_head_dim")), JSON_NULL);
    const Json *up = json_first(json_get(json, "up_block_types"));
    assert_string_equal(json_string(up), "AttnUpBlock2D"); /* the deepest first */
    assert_string_equal(json_string(json_next(json_next(up))), "UpBlock2D");
    json_free(json);
}

static void a_missing_key_means_diffusers_default(void **state)
{
    (void)state;
    Json *json = json_of("{\"sample_size\": 64}");
    ModelConfig c;
    Err err;
    if (!diffusers_config_read(&c, json, "c.json", &err)) fail_msg("%s", err.text);
    json_free(json);
    assert_int_equal(c.attention_head_dim, 8);
    assert_close(c.freq_shift, 0, 0);
    assert_true(c.flip_sin_to_cos);
    assert_int_equal(c.downsample_padding, 1);
    assert_close(c.norm_eps, 1e-5, 0);
    assert_int_equal(c.norm_groups, 32);
    assert_int_equal(c.res_blocks, 2);
    assert_int_equal(c.channels, 3);
    assert_int_equal(c.out_channels, 3);
    assert_int_equal(c.num_classes, 0);
    assert_int_equal(c.levels, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(model_config_width(&c, i), 224 * (i + 1));
        assert_int_equal(model_config_attends(&c, 64 >> i), i > 0);
    }
}

/* One key of an otherwise good config is another; the message has the key and the value. */
static void what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"act_fn", "\"gelu\"", "gelu"},
        {"center_input_sample", "true", "true"},
        {"time_embedding_type", "\"fourier\"", "fourier"},
        {"mid_block_scale_factor", "1.4142135", "1.4142135"},
        {"resnet_time_scale_shift", "\"scale_shift\"", "scale_shift"},
        {"add_attention", "false", "false"},
        {"attn_norm_num_groups", "8", "8"},
        {"downsample_type", "\"resnet\"", "resnet"},
        {"upsample_type", "\"resnet\"", "resnet"},
        {"class_embed_type", "\"timestep\"", "timestep"},
        {"dropout", "0.5", "0.5"},
        {"cross_attention_dim", "768", "768"},
        {"block_out_channels", "[]", "[]"},
        {"block_out_channels", "[8, 0]", "[8,0]"},
        {"block_out_channels", "[8, \"a\"]", "[8,\"a\"]"},
        {"block_out_channels", "8", "8"},
        {"down_block_types", "[\"DownBlock2D\"]", "DownBlock2D"},
        {"down_block_types", "[\"DownBlock2D\", \"SkipDownBlock2D\"]", "SkipDownBlock2D"},
        {"down_block_types", "[\"AttnDownBlock2D\", \"DownBlock2D\"]", "mirror"},
        {"up_block_types", "[1, 2]", "[1,2]"},
        {"layers_per_block", "0", "0"},
        {"layers_per_block", "1.5", "1.5"},
        {"in_channels", "\"3\"", "\"3\""},
        {"norm_eps", "-1", "-1"},
        {"attention_head_dim", "0", "0"},
        {"sample_size", "0", "0"},
        {"sample_size", "[8]", "[8]"},
        {"sample_size", "null", "null"},
        {"downsample_padding", "2", "2"},
        {"flip_sin_to_cos", "1", "1"},
        {"num_class_embeds", "-5", "-5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelConfig config = network_rgb16(), read;
        Json *json = diffusers_config_write(&config);
        Err err;
        json_set(json, cases[i][0], json_of(cases[i][1]));
        if (diffusers_config_read(&read, json, "c.json", &err))
            fail_msg("%s = %s is read", cases[i][0], cases[i][1]);
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, "c.json: ") || !strstr(err.text, cases[i][2]) ||
            (!strstr(err.text, cases[i][0]) && !strstr(err.text, "up_block_types")))
            fail_msg("%s = %s: %s", cases[i][0], cases[i][1], err.text);
        json_free(json);
    }
}

/* Written by newer versions, with the value that this program's network has. */
static void newer_keys_that_say_the_same_are_read(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"add_attention", "true"},
        {"attn_norm_num_groups", "null"},
        {"class_embed_type", "null"},
        {"downsample_type", "\"conv\""},
        {"dropout", "0.0"},
        {"num_class_embeds", "null"},
        {"upsample_type", "\"conv\""},
        {"num_train_timesteps", "null"},
        {"_name_or_path", "\"x\""},
        {"resnet_time_scale_shift", "\"default\""},
        {"something_of_2030", "null"},
        {"mid_block_type", "\"UNetMidBlock2D\""},
    };
    ModelConfig config = network_rgb16(), read;
    Json *json = diffusers_config_write(&config);
    Err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        json_set(json, cases[i][0], json_of(cases[i][1]));
    if (!diffusers_config_read(&read, json, "c.json", &err)) fail_msg("%s", err.text);
    assert_same(&config, &read);
    json_free(json);
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    Json *json = json_of("[1]");
    ModelConfig read;
    Err err;
    assert_false(diffusers_config_read(&read, json, "c.json", &err));
    assert_int_equal(err.kind, ERR_DATA);
    json_free(json);
    json = json_of("{}");
    assert_false(diffusers_config_read(&read, json, "c.json", &err));
    assert_non_null(strstr(err.text, "sample_size"));
    json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_goes_there_and_back),
        cmocka_unit_test(what_others_would_guess_is_written_out),
        cmocka_unit_test(a_missing_key_means_diffusers_default),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(newer_keys_that_say_the_same_are_read),
        cmocka_unit_test(what_is_no_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
