#include "model/network.h"

#include <math.h>

/* The figures of Ho et al.'s CIFAR-10 network. */
static void the_paper_s_network_has_its_size(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = model_config_default();
    Unet *unet = unet_new(&config, true, &err);
    assert_non_null(unet);
    assert_int_equal(unet_params(unet)->parameters, 35746307);
    assert_int_equal(unet_params(unet)->count, 328);
    assert_close(unet_macs(unet) / 1e9, 6.219, 5e-4);
    unet_free(unet);
}

static void names_are_unique_and_found(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = network_classes();
    Unet *unet = unet_new(&config, true, &err);
    const ParamTable *table = unet_params(unet);
    for (int i = 0; i < table->count; i++)
        assert_ptr_equal(params_find(table, table->list[i].name), &table->list[i]);
    assert_non_null(params_find(table, "class_embedding.weight"));
    assert_non_null(params_find(table, "mid_block.attentions.0.to_out.0.bias"));
    assert_non_null(params_find(table, "up_blocks.0.upsamplers.0.conv.weight"));
    assert_null(params_find(table, "up_blocks.1.upsamplers.0.conv.weight"));
    unet_free(unet);
}

/* Every element at its place, of shapes that are and are not multiples of what is turned at once.
 */
static void the_order_of_files_and_memory_are_inverse(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {3, 8}, {16, 5}, {17, 3}, {32, 16}, {45, 7}};
    for (int k = 0; k < 12; k++) {
        ParamTable table;
        Err err;
        size_t out = (size_t)shapes[k / 2][0], in = (size_t)shapes[k / 2][1], taps = k % 2 ? 9 : 1;
        assert_true(params_init(&table, 1, &err));
        params_add(&table, k % 2 ? PARAM_FILTER : PARAM_MATRIX, "x", "weight", (int)out, (int)in,
                   1);
        const Param *p = &table.list[0];
        assert_int_equal(p->count, out * in * taps);
        float *file = test_normals(p->count, 1), *memory = test_floats(p->count);
        float *back = test_floats(p->count);
        param_from_file(memory, file, p);
        param_to_file(back, memory, p);
        assert_memory_equal(back, file, p->count * sizeof *file);
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++)
                for (size_t t = 0; t < taps; t++)
                    assert_true(memory[(t * in + i) * out + o] == file[(o * in + i) * taps + t]);
        free(file), free(memory), free(back);
        params_release(&table);
    }
}

static double variance(const float *x, size_t n)
{
    return test_dot(x, x, n) / (double)n;
}

static void initial_weights_have_the_variance_of_ho_et_al(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = model_config_default();
    Unet *unet = unet_new(&config, true, &err);
    const ParamTable *table = unet_params(unet);
    float *w = test_floats(table->floats), *again = test_floats(table->floats);
    params_draw(w, table, 7);
    params_draw(again, table, 7);
    assert_memory_equal(w, again, table->floats * sizeof *w);
    const Param *conv = params_find(table, "down_blocks.0.resnets.0.conv1.weight");
    const Param *last = params_find(table, "down_blocks.0.resnets.0.conv2.weight");
    const Param *norm = params_find(table, "conv_norm_out.weight");
    const Param *bias = params_find(table, "conv_out.bias");
    double fan = 9 * 128;
    assert_close(variance(w + conv->offset, conv->count) * fan, 1, 0.01);
    assert_close(variance(w + last->offset, last->count) * fan * 1e10, 1, 0.01);
    assert_true(w[norm->offset] == 1.0f && w[bias->offset] == 0.0f);
    free(w), free(again);
    unet_free(unet);
}

static void expect_refusal(ModelConfig config, bool strict, const char *word)
{
    Err err;
    Unet *unet = unet_new(&config, strict, &err);
    assert_null(unet);
    assert_int_equal(err.kind, ERR_USAGE);
    if (!strstr(err.text, word)) fail_msg("\"%s\" does not name %s", err.text, word);
}

static void what_cannot_work_is_refused_by_name(void **state)
{
    (void)state;
    Err err;
    ModelConfig c = network_rgb16();
    c.height = 15;
    expect_refusal(c, true, "model.image_size = 15x16");
    c = network_rgb16();
    c.attention_resolutions[0] = 5;
    expect_refusal(c, true, "model.attention_resolutions has 5");
    c = network_classes();
    c.attention_resolutions[1] = 8;
    expect_refusal(c, true, "model.attention_resolutions has 8 twice");
    c = network_rgb16();
    c.norm_groups = 3;
    expect_refusal(c, true, "model.norm_groups = 3");
    c = network_rgb16();
    c.attention_head_dim = 5;
    expect_refusal(c, true, "model.attention_head_dim = 5");
    c = network_rgb16();
    c.channel_mult[1] = 1.3;
    expect_refusal(c, true, "model.channel_mult[1]");
    c = network_rgb16();
    c.base_channels = 2 * MODEL_MAX_WIDTH;
    expect_refusal(c, true, "more than the 8192 channels");
    c = model_config_default();
    c.channel_mult[0] = 2;
    expect_refusal(c, true, "model.channel_mult[0] = 2: the first level");
    c.channel_mult[0] = 1;
    c.channel_mult[3] = 64.25;
    expect_refusal(c, true, "model.channel_mult[3] = 64.25: 8224) is more than the 8192 channels");
    c = network_rgb16();
    c.norm_groups = 8;
    expect_refusal(c, true, "one channel a group");
    Unet *foreign = unet_new(&c, false, &err);
    assert_non_null(foreign);
    unet_free(foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_paper_s_network_has_its_size),
        cmocka_unit_test(names_are_unique_and_found),
        cmocka_unit_test(the_order_of_files_and_memory_are_inverse),
        cmocka_unit_test(initial_weights_have_the_variance_of_ho_et_al),
        cmocka_unit_test(what_cannot_work_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
