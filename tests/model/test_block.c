/* Each kind of block alone, against the layers of the fixtures; whole networks are in test_unet. */
#include "base/memory.h"
#include "base/parallel.h"
#include "model/block.h"
#include "nn/pointwise.h"
#include "support.h"

#include <math.h>

typedef struct {
    Block block;
    ModelConfig config;
    ParamTable table;
    Safetensors file;
    int n;
    float *weights, *dweights, *x, *y, *dx, *dy, *keep, *scratch;
    float *embedding, *time, *dtime; /* [n,4 base_channels]; the embedding and its SiLU */
} Case;

static float *load_image(const Case *c, const char *suffix, int channels, int h, int w)
{
    float *nchw = test_fixture_floats(&c->file, NULL, "%s.%s", c->block.name, suffix);
    float *nhwc = test_nchw_to_nhwc(nchw, c->n, channels, h, w);
    free(nchw);
    return nhwc;
}

static float *load_params(const Case *c, bool gradients)
{
    float *array = test_floats(c->table.floats);
    memset(array, 0, c->table.floats * sizeof *array);
    for (int i = 0; i < c->table.count; i++) {
        const Param *p = &c->table.list[i];
        const char *suffix = p->name + strlen(c->block.name) + 1;
        float *values = test_fixture_floats(&c->file, NULL, "%s.%s%s", c->block.name,
                                            gradients ? "grad." : "", suffix);
        param_from_file(array + p->offset, values, p);
        free(values);
    }
    return array;
}

static Case new_case(Block block, ModelConfig config, int n)
{
    Case c = {.block = block, .config = config, .n = n, .file = test_fixture("layers")};
    Err err;
    const BlockOps *ops = block_ops(block.kind);
    assert_true(params_init(&c.table, 16, &err));
    ops->declare(&c.table, &c.block, &c.config);
    BlockSizes sizes = ops->sizes(&c.block, &c.config, n);
    size_t most = sizes.forward > sizes.backward ? sizes.forward : sizes.backward;
    size_t in = block_input_floats(&block, n), out = block_output_floats(&block, n);
    c.keep = test_floats(sizes.keep + 1);
    c.scratch = test_floats(most + 1);
    c.weights = load_params(&c, false);
    c.dweights = test_floats(c.table.floats);
    memset(c.dweights, 0, c.table.floats * sizeof *c.dweights);
    c.x = load_image(&c, "x", block.c_in, block.h, block.w);
    c.dy = load_image(&c, "dy", block.c_out, block.out_h, block.out_w);
    c.y = test_floats(out);
    c.dx = test_floats(in);
    return c;
}

static void free_case(Case *c)
{
    free(c->weights), free(c->dweights), free(c->x), free(c->y), free(c->dx), free(c->dy);
    free(c->keep), free(c->scratch), free(c->embedding), free(c->time), free(c->dtime);
    params_release(&c->table);
    safetensors_release(&c->file);
}

static void load_embedding(Case *c)
{
    size_t count;
    c->embedding = test_fixture_floats(&c->file, &count, "%s.emb", c->block.name);
    c->time = test_floats(count);
    c->dtime = test_floats(count);
    silu_forward(c->time, c->embedding, count);
    memset(c->dtime, 0, count * sizeof *c->dtime);
}

static void run(Case *c)
{
    const BlockOps *ops = block_ops(c->block.kind);
    BlockCall call = {.block = &c->block,
                      .config = &c->config,
                      .params = c->table.list,
                      .weights = c->weights,
                      .n = c->n,
                      .x = c->x,
                      .time = c->time,
                      .y = c->y,
                      .keep = c->keep,
                      .scratch = c->scratch};
    BlockGrads grads = {.dy = c->dy, .dx = c->dx, .dtime = c->dtime, .dweights = c->dweights};
    ops->forward(&call);
    ops->backward(&call, &grads);
}

static double largest(const float *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

/* Outputs within 5e-5 of the largest; gradients within 2e-4 of the tensor's largest or 1e-6 of the
 * case's, since that of to_k.bias is truly zero. */
static void compare(Case *c)
{
    const Block *b = &c->block;
    float *y = load_image(c, "y", b->c_out, b->out_h, b->out_w);
    float *dx = load_image(c, "grad.x", b->c_in, b->h, b->w);
    float *gradients = load_params(c, true);
    assert_arrays_close(c->y, y, block_output_floats(b, c->n), 5e-5, 0);
    assert_arrays_close(c->dx, dx, block_input_floats(b, c->n), 2e-4, 0);
    double floor = 1e-6 * largest(gradients, c->table.floats);
    for (int i = 0; i < c->table.count; i++) {
        const Param *p = &c->table.list[i];
        test_assert_arrays_close(c->dweights + p->offset, gradients + p->offset, p->count, 2e-4,
                                 floor, p->name, __FILE__, __LINE__);
    }
    free(y), free(dx), free(gradients);
}

static void compare_embedding(Case *c)
{
    size_t count;
    float *expected = test_fixture_floats(&c->file, &count, "%s.grad.emb", c->block.name);
    silu_backward(c->dtime, c->dtime, c->embedding, count);
    assert_arrays_close(c->dtime, expected, count, 2e-4, 0);
    free(expected);
}

static Block same_size(BlockKind kind, const char *name, int h, int w, int c_in, int c_out)
{
    Block b = {.kind = kind, .input = 0, .skip = BLOCK_NONE, .c_in = c_in, .c_out = c_out};
    b.h = b.out_h = h;
    b.w = b.out_w = w;
    strcpy(b.name, name);
    return b;
}

static ModelConfig config_of(int groups)
{
    ModelConfig c = model_config_default();
    c.norm_groups = groups;
    c.base_channels = 12;
    return c;
}

static void residual_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "resnet" : "resnet_shortcut";
        Case c =
            new_case(same_size(BLOCK_RESNET, name, 8, 8, 32, i == 0 ? 32 : 64), config_of(8), 2);
        load_embedding(&c);
        run(&c);
        compare(&c);
        compare_embedding(&c);
        free_case(&c);
    }
}

static void attention_blocks(void **state)
{
    (void)state;
    Case c = new_case(same_size(BLOCK_ATTENTION, "attention", 8, 8, 32, 32), config_of(32), 2);
    run(&c);
    compare(&c);
    free_case(&c);
    ModelConfig config = config_of(8);
    config.attention_head_dim = 16;
    c = new_case(same_size(BLOCK_ATTENTION, "attention_heads", 4, 6, 64, 64), config, 2);
    run(&c);
    compare(&c);
    free_case(&c);
}

static void resamplers(void **state)
{
    (void)state;
    static const struct {
        BlockKind kind;
        const char *name;
        int n, size, out, channels;
    } cases[] = {
        {BLOCK_DOWNSAMPLE, "downsample", 2, 12, 6, 16},
        {BLOCK_DOWNSAMPLE, "downsample_14", 1, 14, 7, 32},
        {BLOCK_UPSAMPLE, "upsample", 2, 7, 14, 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int channels = cases[i].channels;
        Block b = same_size(cases[i].kind, cases[i].name, cases[i].size, cases[i].size, channels,
                            channels);
        b.out_h = b.out_w = cases[i].out;
        Case c = new_case(b, config_of(8), cases[i].n);
        run(&c);
        compare(&c);
        free_case(&c);
    }
}

/* What is added to is kept; what is overwritten may hold anything. */
static void gradients_are_added_where_the_block_says_so(void **state)
{
    (void)state;
    Block b = same_size(BLOCK_DOWNSAMPLE, "downsample", 12, 12, 16, 16);
    b.out_h = b.out_w = 6;
    Case plain = new_case(b, config_of(8), 2);
    b.add_input = true;
    Case added = new_case(b, config_of(8), 2);
    size_t in = block_input_floats(&b, 2);
    for (size_t i = 0; i < in; i++) added.dx[i] = 3;
    run(&plain);
    run(&added);
    for (size_t i = 0; i < in; i++) plain.dx[i] += 3;
    assert_arrays_close(added.dx, plain.dx, in, 1e-6, 0);
    free_case(&plain);
    free_case(&added);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residual_blocks),
        cmocka_unit_test(attention_blocks),
        cmocka_unit_test(resamplers),
        cmocka_unit_test(gradients_are_added_where_the_block_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
