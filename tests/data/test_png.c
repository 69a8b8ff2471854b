#include "data/image.h"
#include "data/png.h"
#include "support.h"

static const PngText TEXTS[] = {{"Software", "ddpm"}, {"Seed", "12"}, {"Empty", ""}};
enum { COUNT = sizeof TEXTS / sizeof *TEXTS };

/* The PNG file of a small image with TEXTS; free() it. */
static uint8_t *make(size_t *size)
{
    uint8_t pixels[6 * 5 * 3], *bytes;
    Image image = {6, 5, 3, pixels};
    Err err;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * i);
    assert_true(image_encode(&bytes, size, &image, TEXTS, COUNT, &err));
    return bytes;
}

/* Read the bytes as a file; the error, if there is one, names it. */
static bool read_bytes(PngInfo *info, const void *bytes, size_t size, Err *err)
{
    char *folder = test_temp_folder(), *path = test_path(folder, "a.png");
    test_put(folder, "a.png", bytes, size);
    bool ok = png_info_read(info, path, err);
    if (!ok) {
        assert_int_equal(err->kind, ERR_DATA);
        assert_non_null(strstr(err->text, path));
        assert_null(info->bytes);
    }
    free(path);
    test_remove_folder(folder);
    return ok;
}

static void texts_are_kept_beside_the_pixels(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = make(&size);
    PngInfo info;
    Err err;
    assert_true(read_bytes(&info, bytes, size, &err));
    assert_int_equal(info.height, 6);
    assert_int_equal(info.width, 5);
    assert_int_equal(info.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(info.texts[i].key, TEXTS[i].key);
        assert_string_equal(info.texts[i].value, TEXTS[i].value);
        assert_string_equal(png_info_text(&info, TEXTS[i].key), TEXTS[i].value);
    }
    assert_null(png_info_text(&info, "See"));
    assert_null(png_info_text(&info, "Seed "));
    png_info_release(&info);
    free(bytes);
}

static void the_same_texts_are_the_same_bytes(void **state)
{
    (void)state;
    size_t size, again;
    uint8_t *one = make(&size), *two = make(&again);
    assert_int_equal(size, again);
    assert_memory_equal(one, two, size);
    free(one), free(two);
}

static void a_damaged_file_is_named(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = make(&size);
    PngInfo info;
    Err err;
    for (size_t cut = 0; cut < size; cut += 7) {
        assert_false(png_is_whole(bytes, cut));
        assert_false(read_bytes(&info, bytes, cut, &err));
    }
    bytes[size - 30] ^= 1; /* a pixel */
    assert_false(read_bytes(&info, bytes, size, &err));
    assert_non_null(strstr(err.text, "damaged"));
    assert_false(read_bytes(&info, "no image", 8, &err));
    assert_non_null(strstr(err.text, "not a PNG"));
    free(bytes);
}

/* Pixels do not need it, but what the file says of them would be wrong. */
static void a_damaged_text_is_told_of(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = make(&size);
    PngInfo info;
    Err err;
    bytes[8 + 25 + 8 + 10] ^= 1; /* in the value of the first text */
    assert_true(png_is_whole(bytes, size));
    assert_false(read_bytes(&info, bytes, size, &err));
    assert_non_null(strstr(err.text, "damaged"));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_kept_beside_the_pixels),
        cmocka_unit_test(the_same_texts_are_the_same_bytes),
        cmocka_unit_test(a_damaged_file_is_named),
        cmocka_unit_test(a_damaged_text_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
