#include "train/bench_kernels.h"

#include "base/parallel.h"
#include "model/network.h"

static Config small_config(void)
{
    Config c = config_default();
    c.data.format = DATA_SHAPES;
    c.model = network_classes();
    c.model.out_channels = c.model.channels;
    c.model.dropout = 0.1;
    c.data.labels = true;
    c.train.batch_size = 4;
    c.train.micro_batch = 2;
    return c;
}

static void count_steps(void *context, int steps_done)
{
    int *steps = context;
    assert_int_equal(steps_done, ++*steps);
}

static void check_times(const Bench *b, BenchKind kind)
{
    double sum = 0, backward = 0;
    assert_true(b->best > 0 && b->best <= b->median);
    for (int i = 0; i < b->blocks; i++) {
        assert_true(b->forward[i] > 0 && b->backward[i] >= 0);
        sum += b->forward[i] + b->backward[i];
        backward += b->backward[i];
    }
    assert_true(sum <= b->best);
    assert_int_equal(backward > 0, kind == BENCH_TRAIN);
}

static void steps_are_timed_block_by_block(void **state)
{
    (void)state;
    Config config = small_config();
    Unet *unet = network_new(config.model, 1, UNET_SAMPLE);
    for (int kind = BENCH_TRAIN; kind <= BENCH_SAMPLE; kind++) {
        Bench bench;
        Err err;
        int steps = 0, images = kind == BENCH_TRAIN ? 4 : 2;
        for (int repeat = 1; repeat <= 4; repeat += 3, steps = 0) {
            if (!bench_run(&bench, (BenchKind)kind, &config, repeat, count_steps, &steps, &err))
                fail_msg("%s", err.text);
            assert_int_equal(steps, repeat + 1);
            assert_int_equal(bench.images, images);
            assert_int_equal(bench.blocks, unet_topology(unet)->count);
            assert_close(bench.flop, (kind == BENCH_TRAIN ? 6 : 2) * images * unet_macs(unet), 0);
            check_times(&bench, (BenchKind)kind);
            if (repeat == 1) assert_close(bench.best, bench.median, 0);
            bench_release(&bench);
            assert_null(bench.forward);
        }
    }
    unet_free(unet);
}

/* All of the step's work is in some kernel: three times the forward pass in training, but for the
 * gradient of the image, which is not needed. */
static void kernels_have_the_steps_work(void **state)
{
    (void)state;
    Config config = small_config();
    Unet *unet = network_new(config.model, 1, UNET_SAMPLE);
    const Block *conv_in = &unet_topology(unet)->list[1];
    double macs = unet_macs(unet), image = block_ops(BLOCK_CONV_IN)->macs(conv_in, &config.model);
    assert_int_equal(conv_in->kind, BLOCK_CONV_IN);
    for (int kind = BENCH_TRAIN; kind <= BENCH_SAMPLE; kind++) {
        BenchKernels kernels;
        Err err;
        double flop = 0, expected = kind == BENCH_TRAIN ? 2 * 4 * (3 * macs - image) : 2 * 2 * macs;
        int backward = 0;
        if (!bench_kernels(&kernels, (BenchKind)kind, &config, &err)) fail_msg("%s", err.text);
        for (int i = 0; i < kernels.count; i++) {
            const BenchKernel *k = &kernels.list[i];
            assert_non_null(k->name);
            assert_true(k->seconds > 0);
            assert_true((k->flop > 0) != (k->bytes > 0));
            flop += k->flop;
            backward += k->backward;
        }
        assert_close(flop, expected, 1e-9 * expected);
        assert_int_equal(kernels.count, kind == BENCH_TRAIN ? 13 : 4);
        assert_int_equal(backward, kind == BENCH_TRAIN ? 8 : 0);
    }
    unet_free(unet);
}

static void the_machine_has_limits(void **state)
{
    (void)state;
    BenchPeaks peaks;
    Err err;
    if (!bench_peaks(&peaks, &err)) fail_msg("%s", err.text);
    assert_true(peaks.gemm > 1e8 && peaks.gemm < 1e15);
    assert_true(peaks.copy > 1e7 && peaks.copy < 1e14);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_timed_block_by_block),
        cmocka_unit_test(kernels_have_the_steps_work),
        cmocka_unit_test(the_machine_has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
