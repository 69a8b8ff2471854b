#include "chain.h"
#include "diffusion/predict.h"

enum { SIZE = 37 };

typedef struct {
    float *x_0, *epsilon, *x_t, *target;
} Image;

static Image image_new(const Schedule *s, int i)
{
    Image image = {test_normals(SIZE, 1), test_normals(SIZE, 2), test_floats(SIZE),
                   test_floats(SIZE)};
    diffuse(image.x_t, image.x_0, image.epsilon, s->alpha_bar[i], SIZE);
    return image;
}

static void image_free(Image image)
{
    free(image.x_0), free(image.epsilon), free(image.x_t), free(image.target);
}

static void diffuse_mixes_by_alpha_bar(void **state)
{
    (void)state;
    const float x_0[] = {1, -1, 0.5f}, epsilon[] = {0, 2, -1};
    float x_t[3] = {NAN, NAN, NAN};
    diffuse(x_t, x_0, epsilon, 0.64, 3);
    assert_close((double)x_t[0], 0.8, 1e-7);
    assert_close((double)x_t[1], -0.8 + 1.2, 1e-7);
    assert_close((double)x_t[2], 0.4 - 0.6, 1e-7);
}

/* The definitions, element by element. */
static void targets_are_as_defined(void **state)
{
    (void)state;
    Chain chain = chain_linear();
    const Schedule *s = &chain.schedule;
    int i = 299;
    Image im = image_new(s, i);
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++) {
        predict_target(im.target, im.x_0, im.epsilon, im.x_t, p, s, i, SIZE);
        for (int k = 0; k < SIZE; k++) {
            double x_0 = (double)im.x_0[k], epsilon = (double)im.epsilon[k];
            double mean = s->coef_x0[i] * x_0 + s->coef_xt[i] * (double)im.x_t[k];
            double v = sqrt(s->alpha_bar[i]) * epsilon - sqrt(1 - s->alpha_bar[i]) * x_0;
            double expected[] = {epsilon, x_0, mean, v};
            assert_close((double)im.target[k], expected[p], 3e-7);
        }
    }
    image_free(im), chain_release(&chain);
}

/* What was predicted without error gives back x_0, and x_0 the noise. */
static void x_0_follows_from_every_target(void **state)
{
    (void)state;
    Chain chain = chain_linear();
    const Schedule *s = &chain.schedule;
    static const int entries[] = {0, 1, 99, 499};
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++)
        for (int e = 0; e < 4; e++) {
            int i = entries[e];
            Image im = image_new(s, i);
            double output[SIZE], x_t[SIZE], x_0[SIZE], epsilon[SIZE];
            predict_target(im.target, im.x_0, im.epsilon, im.x_t, p, s, i, SIZE);
            for (int k = 0; k < SIZE; k++)
                output[k] = (double)im.target[k], x_t[k] = (double)im.x_t[k], x_0[k] = (double)NAN;
            predict_x0(x_0, output, x_t, p, s, i, SIZE);
            predict_epsilon(epsilon, x_0, x_t, s->alpha_bar[i], SIZE);
            for (int k = 0; k < SIZE; k++) {
                /* a float's rounding, magnified by the inverse of the smallest coefficient */
                assert_close(x_0[k], (double)im.x_0[k], 5e-7 / s->coef_x0[i]);
                double bound = 5e-7 / s->coef_x0[i] / sqrt(1 - s->alpha_bar[i]);
                assert_close(epsilon[k], (double)im.epsilon[k], bound);
            }
            image_free(im);
        }
    chain_release(&chain);
}

static void x_0_may_be_written_over_the_output(void **state)
{
    (void)state;
    Chain chain = chain_linear();
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++) {
        double output[] = {0.3, -0.2}, x_t[] = {0.9, -1.1}, x_0[2];
        predict_x0(x_0, output, x_t, p, &chain.schedule, 500, 2);
        predict_x0(output, output, x_t, p, &chain.schedule, 500, 2);
        assert_memory_equal(x_0, output, sizeof x_0);
    }
    chain_release(&chain);
}

static void clipping_keeps_nan(void **state)
{
    (void)state;
    assert_close(predict_clip(-3), -1, 0);
    assert_close(predict_clip(1.0000001), 1, 0);
    assert_close(predict_clip(0.25), 0.25, 0);
    assert_close(predict_clip((double)INFINITY), 1, 0);
    assert_true(isnan(predict_clip((double)NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diffuse_mixes_by_alpha_bar),
        cmocka_unit_test(targets_are_as_defined),
        cmocka_unit_test(x_0_follows_from_every_target),
        cmocka_unit_test(x_0_may_be_written_over_the_output),
        cmocka_unit_test(clipping_keeps_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
