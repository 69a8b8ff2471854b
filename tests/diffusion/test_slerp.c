#include "diffusion/slerp.h"
#include "support.h"

#include <math.h>

enum { SIZE = 1000 };

static void the_ends_are_the_images_to_the_bit(void **state)
{
    (void)state;
    float *a = test_normals(SIZE, 1), *b = test_normals(SIZE, 2), *out = test_floats(SIZE);
    slerp(out, a, b, 0, SIZE);
    assert_memory_equal(out, a, SIZE * sizeof *out);
    slerp(out, a, b, 1, SIZE);
    assert_memory_equal(out, b, SIZE * sizeof *out);
    free(a), free(b), free(out);
}

/* On a circle: the angle is divided, and the length stays. */
static void angles_are_divided(void **state)
{
    (void)state;
    const double theta = 2.1, turn = 0.4;
    float a[] = {(float)(2 * cos(turn)), (float)(2 * sin(turn))};
    float b[] = {(float)(2 * cos(turn + theta)), (float)(2 * sin(turn + theta))};
    for (double part = 0; part <= 1; part += 0.125) {
        float out[2] = {NAN, NAN};
        slerp(out, a, b, part, 2);
        assert_close((double)out[0], 2 * cos(turn + part * theta), 1e-6);
        assert_close((double)out[1], 2 * sin(turn + part * theta), 1e-6);
    }
}

/* Between independent normals there are normals; half of each, straight, would have variance 1/2.
 */
static void noise_keeps_its_strength(void **state)
{
    (void)state;
    float *a = test_normals(SIZE, 1), *b = test_normals(SIZE, 2), *out = test_floats(SIZE);
    slerp(out, a, b, 0.5, SIZE);
    double expected = (test_dot(a, a, SIZE) + test_dot(b, b, SIZE)) / 2;
    assert_close(test_dot(out, out, SIZE), expected, 0.01 * expected);
    free(a), free(b), free(out);
}

static void without_an_angle_it_is_straight(void **state)
{
    (void)state;
    static const float a[] = {1, -2}, zero[] = {0, 0}, twice[] = {2, -4}, back[] = {-1, 2};
    float out[2] = {NAN, NAN};
    slerp(out, a, twice, 0.25, 2);
    assert_close((double)out[0], 1.25, 1e-6);
    slerp(out, a, zero, 0.25, 2);
    assert_close((double)out[1], -1.5, 1e-6);
    slerp(out, a, back, 0.5, 2);
    assert_close((double)out[0], 0, 1e-6);
    float same[] = {1, -2};
    slerp(same, same, a, 0.7, 2); /* in place */
    assert_close((double)same[1], -2, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ends_are_the_images_to_the_bit),
        cmocka_unit_test(angles_are_divided),
        cmocka_unit_test(noise_keeps_its_strength),
        cmocka_unit_test(without_an_angle_it_is_straight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
