#include "base/rng.h"
#include "data/loader.h"
#include "data/pixels.h"
#include "support.h"

enum { COUNT = 11, HEIGHT = 2, WIDTH = 3, SIZE = HEIGHT * WIDTH };

/* Image i holds 10 i, 10 i + 1, ... and has label 100 + i. */
static Dataset numbered(void)
{
    Dataset set = {COUNT, HEIGHT, WIDTH, 1, 200, NULL, NULL};
    Err err;
    if (!dataset_allocate(&set, true, "test", &err)) fail_msg("%s", err.text);
    for (int i = 0; i < COUNT; i++) {
        set.labels[i] = 100 + i;
        for (int j = 0; j < SIZE; j++) dataset_image(&set, i)[j] = (uint8_t)(10 * i + j);
    }
    return set;
}

static Loader open_loader(const Dataset *set, uint64_t seed, bool flip)
{
    Loader loader;
    Err err;
    if (!loader_init(&loader, set, seed, flip, &err)) fail_msg("%s", err.text);
    return loader;
}

static void every_epoch_is_a_permutation(void **state)
{
    (void)state;
    Dataset set = numbered();
    Loader loader = open_loader(&set, 7, false), other = open_loader(&set, 8, false);
    int same_as_last = 0, same_as_other = 0;
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        int seen[COUNT] = {0};
        for (uint64_t i = 0; i < COUNT; i++) {
            uint32_t index = loader_index(&loader, epoch * COUNT + i);
            seen[index]++;
            same_as_other += index == loader_index(&other, epoch * COUNT + i);
            same_as_last += epoch > 0 && index == loader_index(&loader, (epoch - 1) * COUNT + i);
        }
        for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
    }
    /* in 20 random permutations 20 +- sqrt(20) entries agree by chance */
    assert_in_range(same_as_last, 2, 40);
    assert_in_range(same_as_other, 2, 40);
    loader_release(&loader), loader_release(&other), dataset_release(&set);
}

/* Algorithm P again, from the last entry down. */
static void the_order_is_the_one_of_the_header(void **state)
{
    (void)state;
    Dataset set = numbered();
    Loader loader = open_loader(&set, 12345678901, false);
    for (uint32_t epoch = 0; epoch < 5; epoch++) {
        RngKey key = {.seed = 12345678901, .step = epoch, .stream = RNG_SHUFFLE};
        uint32_t order[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) order[i] = i;
        for (uint32_t i = COUNT - 1; i > 0; i--) {
            uint32_t j = rng_below(i + 1, i, key), kept = order[i];
            order[i] = order[j], order[j] = kept;
        }
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(loader_index(&loader, epoch * COUNT + i), order[i]);
    }
    loader_release(&loader), dataset_release(&set);
}

/* Each of 11 images is first in an epoch about as often. */
static void permutations_are_fair(void **state)
{
    (void)state;
    enum { EPOCHS = 11000 };
    Dataset set = numbered();
    Loader loader = open_loader(&set, 1, false);
    int first[COUNT] = {0}, last[COUNT] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        first[loader_index(&loader, epoch * COUNT)]++;
        last[loader_index(&loader, epoch * COUNT + COUNT - 1)]++;
    }
    for (int i = 0; i < COUNT; i++) { /* 1,000 +- 4 sqrt(11,000 (1/11) (10/11)) */
        assert_close(first[i], 1000, 4 * 30.2);
        assert_close(last[i], 1000, 4 * 30.2);
    }
    loader_release(&loader), dataset_release(&set);
}

/* A batch of 30 runs through four epochs; in one piece, in others, and after a jump. */
static void splits_and_history_do_not_matter(void **state)
{
    (void)state;
    enum { BATCH = 30, FIRST = 8, STEP = 5 };
    Dataset set = numbered();
    Loader loader = open_loader(&set, 3, true);
    float *whole = test_floats(BATCH * SIZE), *parts = test_floats(BATCH * SIZE);
    int32_t labels[BATCH], part_labels[BATCH];
    loader_batch(&loader, whole, labels, FIRST, STEP, 0, BATCH);
    for (int split = 1; split <= BATCH; split += 6) {
        Loader fresh = open_loader(&set, 3, true);
        for (int i = 0; i < BATCH * SIZE; i++) parts[i] = 99.0f;
        memset(part_labels, 0, sizeof part_labels);
        loader_index(&fresh, 1000000007);
        for (int at = 0; at < BATCH; at += split) {
            int n = BATCH - at < split ? BATCH - at : split;
            loader_batch(&fresh, parts + at * SIZE, part_labels + at, FIRST + (uint64_t)at, STEP,
                         at, n);
        }
        assert_memory_equal(parts, whole, BATCH * SIZE * sizeof *whole);
        assert_memory_equal(part_labels, labels, sizeof labels);
        loader_release(&fresh);
    }
    free(whole), free(parts);
    loader_release(&loader), dataset_release(&set);
}

static void images_and_labels_are_those_of_the_index(void **state)
{
    (void)state;
    enum { BATCH = 500 };
    Dataset set = numbered();
    Loader plain = open_loader(&set, 3, false), flip = open_loader(&set, 3, true);
    float *x = test_floats(BATCH * SIZE), *y = test_floats(BATCH * SIZE),
          *expected = test_floats(SIZE);
    int32_t labels[BATCH];
    int mirrored = 0;
    loader_batch(&plain, x, labels, 4, 2, 0, BATCH);
    loader_batch(&flip, y, NULL, 4, 2, 0, BATCH);
    for (int i = 0; i < BATCH; i++) {
        uint32_t index = loader_index(&plain, 4 + (uint64_t)i);
        const uint8_t *image = dataset_image(&set, (int)index);
        assert_int_equal(labels[i], 100 + (int)index);
        pixels_to_floats(expected, image, SIZE);
        assert_memory_equal(x + i * SIZE, expected, SIZE * sizeof *x);
        if (memcmp(y + i * SIZE, expected, SIZE * sizeof *y) == 0) continue;
        mirrored++;
        pixels_to_floats_mirrored(expected, image, HEIGHT, WIDTH, 1);
        assert_memory_equal(y + i * SIZE, expected, SIZE * sizeof *y);
    }
    assert_close(mirrored, BATCH / 2.0, 4 * 11.2);
    free(x), free(y), free(expected);
    loader_release(&plain), loader_release(&flip), dataset_release(&set);
}

static void flips_are_drawn_anew_at_each_step(void **state)
{
    (void)state;
    enum { STEPS = 400 };
    Dataset set = numbered();
    Loader loader = open_loader(&set, 3, true);
    float *first = test_floats(SIZE), *x = test_floats(SIZE);
    int other = 0;
    loader_batch(&loader, first, NULL, 4, 0, 0, 1);
    for (uint32_t step = 0; step < STEPS; step++) {
        loader_batch(&loader, x, NULL, 4, step, 0, 1);
        other += memcmp(x, first, SIZE * sizeof *x) != 0;
    }
    assert_close(other, STEPS / 2.0, 4 * 10.0);
    free(first), free(x);
    loader_release(&loader), dataset_release(&set);
}

/* As often as asked, by the step and the position alone. */
static void labels_are_dropped_by_step_and_position(void **state)
{
    (void)state;
    enum { BATCH = 2000, NONE = 77 };
    static int32_t whole[BATCH], parts[BATCH], next[BATCH];
    Dataset set = numbered();
    Loader loader = open_loader(&set, 3, false);
    int dropped = 0, both = 0;
    for (int i = 0; i < BATCH; i++) whole[i] = parts[i] = next[i] = i % 5;
    loader_drop_labels(&loader, whole, NONE, 0.25, 6, 0, BATCH);
    for (int at = 0; at < BATCH; at += 7)
        loader_drop_labels(&loader, parts + at, NONE, 0.25, 6, at, BATCH - at < 7 ? BATCH - at : 7);
    loader_drop_labels(&loader, next, NONE, 0.25, 7, 0, BATCH);
    for (int i = 0; i < BATCH; i++) {
        assert_true(whole[i] == NONE || whole[i] == i % 5);
        assert_int_equal(parts[i], whole[i]);
        dropped += whole[i] == NONE;
        both += whole[i] == NONE && next[i] == NONE;
    }
    assert_close(dropped, BATCH * 0.25, 4 * 19.4);
    assert_close(both, BATCH * 0.0625, 4 * 10.9);
    loader_drop_labels(&loader, next, 99, 0, 7, 0, BATCH);
    for (int i = 0; i < BATCH; i++) assert_int_not_equal(next[i], 99);
    loader_release(&loader), dataset_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(the_order_is_the_one_of_the_header),
        cmocka_unit_test(permutations_are_fair),
        cmocka_unit_test(splits_and_history_do_not_matter),
        cmocka_unit_test(images_and_labels_are_those_of_the_index),
        cmocka_unit_test(flips_are_drawn_anew_at_each_step),
        cmocka_unit_test(labels_are_dropped_by_step_and_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
