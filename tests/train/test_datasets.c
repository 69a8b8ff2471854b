#include "train/datasets.h"

#include "base/parallel.h"
#include "support.h"

static Config shapes_config(double validation)
{
    Config c = config_default();
    c.data.format = DATA_SHAPES;
    c.data.validation = validation;
    c.data.labels = true;
    c.model.height = c.model.width = 8;
    c.model.num_classes = 9;
    return c;
}

static Datasets open_sets(const Config *config)
{
    Datasets sets;
    Err err;
    if (!datasets_open(&sets, config, &err)) fail_msg("%s", err.text);
    return sets;
}

static void without_validation_there_is_none(void **state)
{
    (void)state;
    Config c = shapes_config(VALIDATION_NONE);
    Datasets sets = open_sets(&c);
    assert_int_equal(sets.train.count, 10000);
    assert_int_equal(sets.validation.count, 0);
    datasets_release(&sets);
}

static void the_test_part_is_not_trained_on(void **state)
{
    (void)state;
    Config c = shapes_config(VALIDATION_TEST);
    Datasets sets = open_sets(&c);
    assert_int_equal(sets.train.count, 10000);
    assert_int_equal(sets.validation.count, 1000);
    assert_non_null(sets.validation.labels);
    assert_memory_not_equal(sets.train.pixels, sets.validation.pixels, 8 * 8 * 3);
    datasets_release(&sets);
    c.train.validate_every = 0;
    sets = open_sets(&c);
    assert_int_equal(sets.validation.count, 0);
    datasets_release(&sets);
}

/* The images that are trained on are the same whether the others are looked at or not. */
static void a_part_is_held_out(void **state)
{
    (void)state;
    Config c = shapes_config(0.2);
    Datasets looked = open_sets(&c);
    c.train.validate_every = 0;
    Datasets other = open_sets(&c);
    assert_int_equal(looked.train.count, 8000);
    assert_int_equal(looked.validation.count, 2000);
    assert_int_equal(other.train.count, 8000);
    assert_int_equal(other.validation.count, 0);
    assert_memory_equal(looked.train.pixels, other.train.pixels, 8000 * 8 * 8 * 3);
    assert_memory_equal(looked.train.labels, other.train.labels, 8000 * sizeof(int32_t));
    datasets_release(&looked), datasets_release(&other);
}

static void refused(const Config *config, const char *message)
{
    Datasets sets;
    Err err;
    assert_false(datasets_open(&sets, config, &err));
    if (!strstr(err.text, message)) fail_msg("\"%s\" lacks \"%s\"", err.text, message);
    assert_null(sets.train.pixels);
    assert_null(sets.validation.pixels);
}

static void rows_fit_the_classes(void **state)
{
    (void)state;
    Config c = shapes_config(VALIDATION_NONE);
    c.model.num_classes = 8;
    refused(&c, "it has to be 8 classes + 1 row for no class = 9");
    c.train.label_dropout = 0;
    Datasets sets = open_sets(&c);
    datasets_release(&sets);
    c.model.num_classes = 9;
    refused(&c, "it has to be 8, as");
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_validation_there_is_none),
        cmocka_unit_test(the_test_part_is_not_trained_on),
        cmocka_unit_test(a_part_is_held_out),
        cmocka_unit_test(rows_fit_the_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
