#include "data/split.h"

#include "support.h"

enum { COUNT = 101, SIZE = 2 * 3 * 1 };

/* Image i holds the byte i, and has the label 200 + i. */
static Dataset numbered(int count)
{
    Dataset set = {.count = count, .height = 2, .width = 3, .channels = 1, .classes = 400};
    Err err;
    assert_true(dataset_allocate(&set, true, "test", &err));
    for (int i = 0; i < count; i++) {
        memset(dataset_image(&set, i), i, SIZE);
        set.labels[i] = 200 + i;
    }
    return set;
}

/* The image at `at`, whose bytes and label say the same. */
static int number_of(const Dataset *set, int at)
{
    const uint8_t *image = dataset_image(set, at);
    for (int i = 1; i < SIZE; i++) assert_int_equal(image[i], image[0]);
    assert_int_equal(set->labels[at], 200 + image[0]);
    return image[0];
}

static Dataset split(Dataset *set, double fraction, uint64_t seed)
{
    Dataset held;
    Err err;
    if (!dataset_split(set, &held, fraction, seed, &err)) fail_msg("%s", err.text);
    assert_int_equal(held.classes, set->classes);
    return held;
}

static void each_image_is_in_one_of_them(void **state)
{
    (void)state;
    Dataset set = numbered(COUNT), held = split(&set, 0.3, 5);
    int seen[COUNT] = {0}, ordered = 0;
    assert_int_equal(held.count, 30);
    assert_int_equal(set.count, COUNT - 30);
    for (int i = 0; i < set.count; i++) {
        seen[number_of(&set, i)]++;
        assert_true(i == 0 || number_of(&set, i) > number_of(&set, i - 1));
    }
    for (int i = 0; i < held.count; i++) {
        seen[number_of(&held, i)]++;
        ordered += i > 0 && number_of(&held, i) > number_of(&held, i - 1);
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
    assert_in_range(ordered, 5, 24);
    dataset_release(&set), dataset_release(&held);
}

/* A smaller part is the beginning of a larger one; another seed is another choice. */
static void the_choice_is_that_of_the_seed(void **state)
{
    (void)state;
    Dataset a = numbered(COUNT), b = numbered(COUNT), c = numbered(COUNT);
    Dataset few = split(&a, 0.1, 5), many = split(&b, 0.9, 5), other = split(&c, 0.9, 6);
    int same = 0;
    for (int i = 0; i < few.count; i++) assert_int_equal(number_of(&few, i), number_of(&many, i));
    for (int i = 0; i < many.count; i++) same += number_of(&many, i) == number_of(&other, i);
    assert_in_range(same, 0, 8);
    dataset_release(&a), dataset_release(&b), dataset_release(&c);
    dataset_release(&few), dataset_release(&many), dataset_release(&other);
}

static void neither_is_empty(void **state)
{
    (void)state;
    static const double fractions[] = {1e-9, 1 - 1e-9};
    for (int i = 0; i < 2; i++) {
        Dataset set = numbered(3), held = split(&set, fractions[i], 0);
        assert_int_equal(held.count, i == 0 ? 1 : 2);
        assert_int_equal(set.count, i == 0 ? 2 : 1);
        dataset_release(&set), dataset_release(&held);
    }
    Dataset one = numbered(1), held;
    Err err;
    assert_false(dataset_split(&one, &held, 0.5, 0, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_int_equal(one.count, 1);
    assert_null(held.pixels);
    dataset_release(&one);
}

static void images_are_chosen_in_order(void **state)
{
    (void)state;
    static const uint32_t index[] = {7, 100, 7, 0};
    Dataset set = numbered(COUNT), chosen;
    Err err;
    assert_true(dataset_choose(&chosen, &set, index, 4, &err));
    assert_int_equal(chosen.count, 4);
    assert_int_equal(chosen.classes, set.classes);
    for (int i = 0; i < 4; i++) assert_int_equal(number_of(&chosen, i), index[i]);
    dataset_release(&set), dataset_release(&chosen);
}

static void sets_without_labels_stay_so(void **state)
{
    (void)state;
    Dataset set = numbered(COUNT);
    free(set.labels);
    set.labels = NULL;
    Dataset held = split(&set, 0.5, 0);
    assert_null(held.labels);
    assert_null(set.labels);
    dataset_release(&set), dataset_release(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_image_is_in_one_of_them),
        cmocka_unit_test(the_choice_is_that_of_the_seed),
        cmocka_unit_test(neither_is_empty),
        cmocka_unit_test(images_are_chosen_in_order),
        cmocka_unit_test(sets_without_labels_stay_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
