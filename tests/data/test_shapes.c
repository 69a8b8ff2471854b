#include "base/parallel.h"
#include "base/zip.h"
#include "data/shapes.h"
#include "support.h"

static Dataset draw(DatasetPart part, int height, int width, int channels)
{
    Dataset set;
    Err err;
    if (!shapes_draw(&set, part, height, width, channels, &err)) fail_msg("%s", err.text);
    return set;
}

static size_t bytes_of(const Dataset *set)
{
    return (size_t)set->height * (size_t)set->width * (size_t)set->channels;
}

/* A known answer, since other machines and other releases must draw the same bytes. */
static void the_bytes_are_the_same_everywhere(void **state)
{
    (void)state;
    Dataset set = draw(DATASET_TRAIN, 32, 32, 3);
    assert_int_equal(zip_crc32(set.pixels, 200 * bytes_of(&set)), 0x4328e173);
    for (int threads = 1; threads <= 3; threads += 2) {
        parallel_setup(threads);
        Dataset again = draw(DATASET_TRAIN, 32, 32, 3);
        assert_memory_equal(again.pixels, set.pixels, (size_t)set.count * bytes_of(&set));
        dataset_release(&again);
    }
    dataset_release(&set);
}

static void parts_and_labels_are_as_promised(void **state)
{
    (void)state;
    Dataset train = draw(DATASET_TRAIN, 16, 16, 1), test = draw(DATASET_TEST, 16, 16, 1);
    assert_int_equal(train.count, 10000);
    assert_int_equal(test.count, 1000);
    assert_int_equal(train.classes, 8);
    for (int i = 0; i < train.count; i++) assert_int_equal(train.labels[i], i % 8);
    for (int i = 0; i < test.count; i++)
        assert_memory_not_equal(dataset_image(&test, i), dataset_image(&train, i), 256);
    dataset_release(&train), dataset_release(&test);
}

/* How many pixels differ from the first one, which is background: no shape reaches a corner. */
static int drawn_pixels(const Dataset *set, int index)
{
    const uint8_t *pixels = dataset_image(set, index);
    size_t pixel = (size_t)set->channels;
    int count = 0;
    for (int i = 1; i < set->height * set->width; i++)
        count += memcmp(pixels, pixels + (size_t)i * pixel, pixel) != 0;
    return count;
}

static void every_image_shows_a_shape(void **state)
{
    (void)state;
    static const int sizes[][3] = {{32, 32, 3}, {28, 28, 1}, {16, 40, 3}};
    for (size_t k = 0; k < 3; k++) {
        Dataset set = draw(DATASET_TEST, sizes[k][0], sizes[k][1], sizes[k][2]);
        int shorter = set.height < set.width ? set.height : set.width;
        for (int i = 0; i < set.count; i++) {
            double share = drawn_pixels(&set, i) / (double)(shorter * shorter);
            assert_true(share > 0.04 && share < 0.65);
        }
        dataset_release(&set);
    }
}

static double mean_of(const Dataset *set, int index)
{
    const uint8_t *pixels = dataset_image(set, index);
    double sum = 0;
    for (size_t i = 0; i < bytes_of(set); i++) sum += pixels[i];
    return sum / (double)bytes_of(set);
}

static void the_same_picture_is_drawn_at_every_size(void **state)
{
    (void)state;
    Dataset small = draw(DATASET_TEST, 24, 24, 3), large = draw(DATASET_TEST, 96, 96, 3);
    for (int i = 0; i < small.count; i++) assert_close(mean_of(&small, i), mean_of(&large, i), 1.5);
    dataset_release(&small), dataset_release(&large);
}

static void two_channels_are_refused(void **state)
{
    (void)state;
    Dataset set;
    Err err;
    assert_false(shapes_draw(&set, DATASET_TRAIN, 8, 8, 2, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "model.channels = 2"));
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_the_same_everywhere),
        cmocka_unit_test(parts_and_labels_are_as_promised),
        cmocka_unit_test(every_image_shows_a_shape),
        cmocka_unit_test(the_same_picture_is_drawn_at_every_size),
        cmocka_unit_test(two_channels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
