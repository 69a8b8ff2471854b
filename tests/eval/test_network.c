#include "eval/network.h"

#include "base/parallel.h"
#include "data/pixels.h"
#include "evaluated.h"
#include "support.h"

#include <math.h>

enum { N = 11, SIZE = 8 * 8 * 3 };

/* Each row alone, of class `none` if there are no labels, straight through the network. */
static void assert_rows_alone(const Evaluated *e, const float *out, const float *x_t, const int *t,
                              const int32_t *labels, int none)
{
    size_t out_size = eval_out_size(&e->model);
    float *alone = test_floats(out_size);
    for (int i = 0; i < N; i++) {
        float step = (float)(t[i] - 1);
        int32_t label = labels ? labels[i] : none;
        UnetInput input = {x_t + i * SIZE, &step, &label, 1};
        unet_forward(e->model.unet, alone, input, e->weights, NULL);
        assert_arrays_close(out + (size_t)i * out_size, alone, out_size, 1e-5, 0);
    }
    free(alone);
}

static void each_row_has_its_own_t_and_class(void **state)
{
    (void)state;
    static const int t[N] = {1, 30, 2, 7, 7, 29, 15, 4, 22, 11, 3};
    static const int32_t labels[N] = {0, 8, 3, 9, 9, 1, 2, 5, 5, 7, 6};
    for (Variance v = VARIANCE_FIXED_LARGE; v <= VARIANCE_LEARNED_RANGE; v++) {
        Evaluated e;
        evaluated_open(&e, v, 30, 1, 4);
        float *x_t = test_normals(N * SIZE, 1), *out = test_floats(2 * N * SIZE);
        assert_int_equal(eval_size(&e.model), SIZE);
        eval_network(&e.model, out, x_t, t, labels, N);
        assert_rows_alone(&e, out, x_t, t, labels, -1);
        eval_network(&e.model, out, x_t, t, NULL, N);
        assert_rows_alone(&e, out, x_t, t, NULL, 9);
        free(x_t), free(out), evaluated_close(&e);
    }
}

static void rows_have_the_classes_of_their_images(void **state)
{
    (void)state;
    Evaluated e;
    static const int t[N] = {1, 30, 2, 7, 7, 29, 15, 4, 22, 11, 3};
    static const int image[N] = {0, 1, 2, 3, 3, 3, 6, 5, 4, 7, 13};
    int32_t labels[N];
    evaluated_open(&e, VARIANCE_FIXED_LARGE, 30, 30, 4);
    EvalImages images = {&e.set, 7, true};
    float *x_t = test_normals(N * SIZE, 1), *out = test_floats(N * SIZE);
    for (int i = 0; i < N; i++) labels[i] = e.set.labels[image[i] % 7 * 30 / 7];
    eval_network_on(&e.model, &images, out, x_t, t, image, N);
    assert_rows_alone(&e, out, x_t, t, labels, -1);
    int32_t *kept = e.set.labels;
    e.set.labels = NULL;
    eval_network_on(&e.model, &images, out, x_t, t, image, N);
    assert_rows_alone(&e, out, x_t, t, NULL, 9);
    e.set.labels = kept;
    free(x_t), free(out), evaluated_close(&e);
}

/* In any pieces; the second half is the first in the mirror. */
static void images_are_spread_and_mirrored(void **state)
{
    (void)state;
    Evaluated e;
    evaluated_open(&e, VARIANCE_FIXED_LARGE, 30, 10, 1);
    for (int mirrored = 0; mirrored < 2; mirrored++)
        for (int step = 1; step < 7; step += 2) {
            EvalImages images = {&e.set, 3, mirrored};
            ImageSource source = eval_images(&images);
            float *x = test_floats(6 * SIZE), expected[SIZE];
            assert_int_equal(source.count, mirrored ? 6 : 3);
            for (int i = 0; i < source.count; i += step)
                source.fetch(source.context, x + i * SIZE, i,
                             step < source.count - i ? step : source.count - i);
            for (int i = 0; i < source.count; i++) {
                const uint8_t *bytes = dataset_image(&e.set, i % 3 * 10 / 3);
                pixels_to_floats(expected, bytes, SIZE);
                if (i >= 3) pixels_to_floats_mirrored(expected, bytes, 8, 8, 3);
                assert_memory_equal(x + i * SIZE, expected, sizeof expected);
                assert_int_equal(eval_images_label(&images, i), e.set.labels[i % 3 * 10 / 3]);
            }
            free(x);
        }
    evaluated_close(&e);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_has_its_own_t_and_class),
        cmocka_unit_test(rows_have_the_classes_of_their_images),
        cmocka_unit_test(images_are_spread_and_mirrored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
