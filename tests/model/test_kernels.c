#include "model/kernels.h"

#include "model/network.h"

static void compare_with_blocks(ModelConfig config, int n)
{
    Unet *unet = network_new(config, 1, UNET_SAMPLE);
    const Topology *t = unet_topology(unet);
    for (int i = 0; i < t->count; i++) {
        Kernel kernels[BLOCK_MAX_KERNELS];
        const Block *block = &t->list[i];
        double macs = 0;
        int count = block_kernels(kernels, block, &config, n);
        assert_in_range(count, 0, BLOCK_MAX_KERNELS);
        for (int k = 0; k < count; k++) macs += kernel_macs(&kernels[k]);
        assert_close(macs, n * block_ops(block->kind)->macs(block, &config), 0);
    }
    unet_free(unet);
}

static void they_have_the_blocks_work(void **state)
{
    (void)state;
    compare_with_blocks(network_rgb16(), 1);
    compare_with_blocks(network_gray28(), 3);
    compare_with_blocks(network_classes(), 2);
}

/* Norms have no multiply-adds: the channels that they see are those of the tensors around them. */
static void norms_dropout_and_heads(void **state)
{
    (void)state;
    ModelConfig config = network_classes();
    config.dropout = 0.1;
    Unet *unet = network_new(config, 1, UNET_SAMPLE);
    const Topology *t = unet_topology(unet);
    int norms[BLOCK_OUT + 1] = {0}, blocks[BLOCK_OUT + 1] = {0}, dropouts = 0;
    for (int i = 0; i < t->count; i++) {
        Kernel kernels[BLOCK_MAX_KERNELS];
        const Block *block = &t->list[i];
        int count = block_kernels(kernels, block, &config, 2);
        blocks[block->kind]++;
        for (int k = 0; k < count; k++) {
            const Kernel *kernel = &kernels[k];
            if (kernel->kind == KERNEL_ATTENTION)
                assert_int_equal(kernel->attention.heads * 8, block->c_in);
            if (kernel->kind == KERNEL_DROPOUT) {
                dropouts++;
                assert_int_equal(kernel->dropout.n, 2);
                assert_int_equal(kernel->dropout.size, block->h * block->w * block->c_out);
            }
            if (kernel->kind != KERNEL_NORM) continue;
            norms[block->kind]++;
            assert_int_equal(kernel->norm.n, 2);
            assert_int_equal(kernel->norm.pixels, block->h * block->w);
            assert_int_equal(kernel->norm.silu, block->kind != BLOCK_ATTENTION);
            bool first = k == 0;
            assert_int_equal(kernel->norm.c_a, first ? block->c_in : block->c_out);
            assert_int_equal(kernel->norm.c_b, first ? block->c_skip : 0);
        }
    }
    assert_int_equal(dropouts, blocks[BLOCK_RESNET]);
    for (int kind = 0; kind <= BLOCK_OUT; kind++) {
        int each = kind == BLOCK_RESNET ? 2 : kind == BLOCK_ATTENTION || kind == BLOCK_OUT;
        assert_int_equal(norms[kind], each * blocks[kind]);
        assert_true(blocks[kind] > 0);
    }
    unet_free(unet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_have_the_blocks_work),
        cmocka_unit_test(norms_dropout_and_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
