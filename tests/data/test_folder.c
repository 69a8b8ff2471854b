#include "base/parallel.h"
#include "data/folder.h"
#include "data/image.h"
#include "support.h"

/* An image file of one colour, height x width. */
static void put_image(const char *folder, const char *name, int height, int width, uint8_t red,
                      uint8_t green, uint8_t blue)
{
    Image image;
    uint8_t *bytes;
    size_t size;
    Err err;
    if (!image_new(&image, height, width, 3, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < height * width; i++) {
        image.pixels[3 * i] = red;
        image.pixels[3 * i + 1] = green;
        image.pixels[3 * i + 2] = blue;
    }
    if (!image_encode(&bytes, &size, &image, NULL, 0, &err)) fail_msg("%s", err.text);
    test_put(folder, name, bytes, size);
    free(bytes);
    image_release(&image);
}

/* All images of the set are of one colour; this one's red and label. */
static void assert_image(const Dataset *set, int index, int red, int label)
{
    const uint8_t *pixels = dataset_image(set, index);
    for (int i = 0; i < set->height * set->width; i++)
        assert_int_equal(pixels[i * set->channels], red);
    if (label < 0)
        assert_null(set->labels);
    else
        assert_int_equal(set->labels[index], label);
}

static Dataset read_all(const char *folder, DatasetPart part, int channels)
{
    Dataset set;
    Err err;
    if (!folder_read(&set, folder, part, 6, 4, channels, &err)) fail_msg("%s", err.text);
    assert_int_equal(set.height, 6);
    assert_int_equal(set.width, 4);
    assert_int_equal(set.channels, channels);
    return set;
}

static void sub_folders_are_classes_in_sorted_order(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    put_image(folder, "zebra/1.png", 6, 4, 50, 0, 0);
    put_image(folder, "ant/b.png", 12, 4, 20, 0, 0);
    put_image(folder, "ant/a.PNG", 5, 31, 10, 0, 0);
    put_image(folder, "mole/x.png", 2, 2, 30, 0, 0);
    test_put(folder, "mole/notes.txt", "no image", 8);
    test_put(folder, "mole/.hidden.png", "no image", 8);
    test_put(folder, "README", "no image", 8);
    Dataset set = read_all(folder, DATASET_TRAIN, 3);
    assert_int_equal(set.count, 4);
    assert_int_equal(set.classes, 3);
    assert_image(&set, 0, 10, 0);
    assert_image(&set, 1, 20, 0);
    assert_image(&set, 2, 30, 1);
    assert_image(&set, 3, 50, 2);
    dataset_release(&set);
    test_remove_folder(folder);
}

static void a_flat_folder_has_no_labels(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    put_image(folder, "b.png", 9, 9, 20, 20, 20);
    put_image(folder, "a.png", 9, 9, 10, 10, 10);
    Dataset set = read_all(folder, DATASET_TEST, 1);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.classes, 0);
    assert_image(&set, 0, 10, -1);
    assert_image(&set, 1, 20, -1);
    dataset_release(&set);
    test_remove_folder(folder);
}

static void parts_share_the_numbers_of_classes(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    put_image(folder, "train/ant/a.png", 6, 4, 1, 0, 0);
    put_image(folder, "train/bee/a.png", 6, 4, 2, 0, 0);
    put_image(folder, "test/bee/a.png", 6, 4, 3, 0, 0);
    Dataset train = read_all(folder, DATASET_TRAIN, 3), test = read_all(folder, DATASET_TEST, 3);
    assert_int_equal(train.count, 2);
    assert_image(&train, 0, 1, 0);
    assert_image(&train, 1, 2, 1);
    assert_int_equal(test.count, 1);
    assert_int_equal(test.classes, 2);
    assert_image(&test, 0, 3, 1);
    dataset_release(&train), dataset_release(&test);
    test_remove_folder(folder);
}

static void assert_refused(const char *folder, const char *words)
{
    Dataset set;
    Err err;
    assert_false(folder_read(&set, folder, DATASET_TRAIN, 6, 4, 3, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, folder));
    assert_non_null(strstr(err.text, words));
    assert_null(set.pixels);
    assert_null(set.labels);
}

/* Of two bad files the first in order is named, though the second takes longer to be read. */
static void a_file_that_is_no_image_is_named(void **state)
{
    (void)state;
    enum { SLOW = 1 << 22 };
    char *folder = test_temp_folder(), name[] = "a/00.png";
    for (int i = 0; i < 40; i++) {
        name[2] = (char)('0' + i / 10), name[3] = (char)('0' + i % 10);
        put_image(folder, name, 6, 4, 1, 0, 0);
    }
    uint8_t *slow = calloc(SLOW, 1);
    test_put(folder, "a/32.png", slow, SLOW);
    test_put(folder, "a/31.png", "no image", 8);
    free(slow);
    for (int i = 0; i < 20; i++) assert_refused(folder, "a/31.png");
    test_remove_folder(folder);
}

static void a_folder_without_images_is_an_error(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    assert_refused(folder, "there is no image");
    test_put(folder, "ant/notes.txt", "no image", 8);
    assert_refused(folder, "there is no image");
    put_image(folder, "ant/a.png", 6, 4, 1, 0, 0);
    put_image(folder, "stray.png", 6, 4, 1, 0, 0);
    assert_refused(folder, "stray.png");
    test_remove_folder(folder);
    assert_refused("/nonexistent", "/nonexistent");
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sub_folders_are_classes_in_sorted_order),
        cmocka_unit_test(a_flat_folder_has_no_labels),
        cmocka_unit_test(parts_share_the_numbers_of_classes),
        cmocka_unit_test(a_file_that_is_no_image_is_named),
        cmocka_unit_test(a_folder_without_images_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
