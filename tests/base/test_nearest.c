#include "base/nearest.h"
#include "support.h"

static void distances(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("abc", ""), 3);
    assert_int_equal(nearest_distance("train", "train"), 0);
    assert_int_equal(nearest_distance("trian", "train"), 1);
    assert_int_equal(nearest_distance("base_chanels", "base_channels"), 1);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("ca", "abc"), 3);
    char lengthy[100];
    memset(lengthy, 'a', sizeof lengthy);
    lengthy[99] = 0;
    assert_int_equal(nearest_distance(lengthy, lengthy), 64);
    lengthy[63] = 0;
    assert_int_equal(nearest_distance(lengthy, lengthy + 3), 3);
}

static const char *nearest(const char *wrong)
{
    static const char *const names[] = {"sampler", "sample", "steps", "seed", "version"};
    Nearest best = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) nearest_try(&best, wrong, names[i]);
    return best.name;
}

static void the_nearest_name_is_found_and_far_ones_are_not(void **state)
{
    (void)state;
    assert_string_equal(nearest("sampel"), "sample");
    assert_string_equal(nearest("smapler"), "sampler");
    assert_string_equal(nearest("step"), "steps");
    assert_string_equal(nearest("vers"), "version");
    assert_null(nearest("zebra"));
    assert_null(nearest("x"));
    assert_null(nearest(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(the_nearest_name_is_found_and_far_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
