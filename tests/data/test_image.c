#include "base/file.h"
#include "data/image.h"
#include "pictures.h"
#include "support.h"

#include <limits.h>
#include <stdio.h>

/* An image that is nowhere flat, so that a swapped row, column or channel shows. */
static Image pattern(int height, int width, int channels)
{
    Image image;
    Err err;
    if (!image_new(&image, height, width, channels, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < height * width * channels; i++)
        image.pixels[i] = (uint8_t)(i * i * 7 + i * 31);
    return image;
}

static size_t bytes_of(const Image *image)
{
    return (size_t)image->height * (size_t)image->width * (size_t)image->channels;
}

static void assert_images_equal(const Image *image, const Image *other)
{
    assert_int_equal(image->height, other->height);
    assert_int_equal(image->width, other->width);
    assert_int_equal(image->channels, other->channels);
    assert_memory_equal(image->pixels, other->pixels, bytes_of(other));
}

/* Read the bytes as the file `name`; the error, if there is one, must name it. */
static bool read_bytes(Image *image, const char *name, const void *bytes, size_t size, int channels,
                       Err *err)
{
    char *folder = test_temp_folder(), *path = test_path(folder, name);
    test_put(folder, name, bytes, size);
    bool done = image_read(image, path, channels, err);
    if (!done) {
        assert_int_equal(err->kind, ERR_DATA);
        assert_non_null(strstr(err->text, path));
        assert_null(image->pixels);
    }
    free(path);
    test_remove_folder(folder);
    return done;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {13, 4, 1}, {64, 33, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *folder = test_temp_folder(), *path = test_path(folder, "out.png");
        Image image = pattern(sizes[i][0], sizes[i][1], sizes[i][2]), back;
        Err err;
        assert_true(image_write(path, &image, NULL, 0, &err));
        assert_true(image_read(&back, path, 0, &err));
        assert_images_equal(&back, &image);
        image_release(&image), image_release(&back);
        free(path), test_remove_folder(folder);
    }
}

static void colours_become_grey_and_grey_colours(void **state)
{
    (void)state;
    Image image = pattern(3, 5, 3), grey, colour;
    uint8_t *bytes;
    size_t size;
    Err err;
    assert_true(image_encode(&bytes, &size, &image, NULL, 0, &err));
    assert_true(read_bytes(&grey, "a.png", bytes, size, 1, &err));
    assert_int_equal(grey.channels, 1);
    for (int i = 0; i < 15; i++) {
        const uint8_t *rgb = image.pixels + 3 * i;
        assert_close(grey.pixels[i], 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2], 1.5);
    }
    free(bytes);
    assert_true(image_encode(&bytes, &size, &grey, NULL, 0, &err));
    assert_true(read_bytes(&colour, "b.png", bytes, size, 3, &err));
    assert_int_equal(colour.channels, 3);
    for (int i = 0; i < 45; i++) assert_int_equal(colour.pixels[i], grey.pixels[i / 3]);
    free(bytes);
    image_release(&image), image_release(&grey), image_release(&colour);
}

/* 2 x 2 pixels of 24 bits: rows from below, blue first, each row padded to 4 bytes. */
static void a_bmp_is_read(void **state)
{
    (void)state;
    static const uint8_t bytes[70] = {
        'B',      'M', 70, 0,  0,  0,  0, 0, 0, 0, 54, 0, 0, 0, /* file header */
        40,       0,   0,  0,  2,  0,  0, 0, 2, 0, 0,  0, 1, 0,
        24,                                  /* size, width, height, planes, bits */
        [54] = 1, 2,   3,  4,  5,  6,  0, 0, /* the lower row */
        [62] = 7, 8,   9,  10, 11, 12, 0, 0};
    static const uint8_t expected[12] = {9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4};
    Image image;
    Err err;
    assert_true(read_bytes(&image, "a.bmp", bytes, sizeof bytes, 0, &err));
    assert_images_equal(&image, &(Image){2, 2, 3, (uint8_t *)expected});
    image_release(&image);
}

/* A grey baseline JPEG of one block, level 200: the quantiser is 8, so the DC coefficient is 72,
 * which is category 7 and the bits 1001000; both Huffman tables have one code, 0. */
static size_t make_jpeg(uint8_t *out)
{
    static const uint8_t head[] = {0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0};
    static const uint8_t frame[] = {0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0};
    static const uint8_t dc[22] = {0xFF, 0xC4, 0, 20, 0x00, 1, [21] = 7};
    static const uint8_t ac[22] = {0xFF, 0xC4, 0, 20, 0x10, 1, [21] = 0};
    static const uint8_t scan[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x48, 0x7F, 0xFF, 0xD9};
    uint8_t *at = out;
    memcpy(at, head, sizeof head), at += sizeof head;
    memset(at, 8, 64), at += 64;
    memcpy(at, frame, sizeof frame), at += sizeof frame;
    memcpy(at, dc, sizeof dc), at += sizeof dc;
    memcpy(at, ac, sizeof ac), at += sizeof ac;
    memcpy(at, scan, sizeof scan), at += sizeof scan;
    return (size_t)(at - out);
}

static void a_jpeg_is_read(void **state)
{
    (void)state;
    uint8_t bytes[256], expected[64];
    size_t size = make_jpeg(bytes);
    Image image;
    Err err;
    assert_true(read_bytes(&image, "a.JPG", bytes, size, 0, &err));
    memset(expected, 200, sizeof expected);
    assert_images_equal(&image, &(Image){8, 8, 1, expected});
    image_release(&image);
}

static void damaged_files_are_errors_that_name_them(void **state)
{
    (void)state;
    Image image = pattern(9, 9, 3), back;
    uint8_t *bytes, jpeg[256];
    size_t size, jpeg_size = make_jpeg(jpeg);
    Err err;
    assert_true(image_encode(&bytes, &size, &image, NULL, 0, &err));
    for (size_t cut = 0; cut < size; cut += 3)
        assert_false(read_bytes(&back, "cut.png", bytes, cut, 3, &err));
    for (size_t cut = 0; cut < 100; cut++)
        assert_false(read_bytes(&back, "cut.jpeg", jpeg, cut, 3, &err));
    assert_true(jpeg_size > 100);
    assert_false(read_bytes(&back, "a.png", "this is not an image", 20, 3, &err));
    assert_non_null(strstr(err.text, "cannot be read as PNG, JPEG or BMP"));
    bytes[50] ^= 0x55;
    bytes[51] ^= 0x55;
    assert_false(read_bytes(&back, "bits.png", bytes, size, 3, &err));
    assert_false(image_read(&back, "/nonexistent/a.png", 3, &err));
    assert_non_null(strstr(err.text, "/nonexistent/a.png"));
    free(bytes);
    image_release(&image);
}

/* 9,000 x 9,000 in the header of a tiny file: refused before anything is allocated for it. */
static void a_file_that_states_too_many_pixels_is_refused(void **state)
{
    (void)state;
    static const uint8_t side[] = {0, 0, 0x23, 0x28};
    Image image = pattern(9, 9, 3), back;
    uint8_t *bytes;
    size_t size;
    Err err;
    assert_true(image_encode(&bytes, &size, &image, NULL, 0, &err));
    memcpy(bytes + 16, side, 4);
    memcpy(bytes + 20, side, 4);
    pictures_mend_crc(bytes + 12, 13);
    assert_false(read_bytes(&back, "huge.png", bytes, size, 3, &err));
    assert_non_null(strstr(err.text, "9000 x 9000"));
    free(bytes);
    image_release(&image);
    assert_false(image_new(&back, 1 << 15, 1 << 15, 1, &err));
    assert_int_equal(err.kind, ERR_USAGE);
}

/* 4 x 12 pixels: three squares side by side, of which the middle one is kept. */
static void fitting_crops_the_middle(void **state)
{
    (void)state;
    Image image = pattern(4, 12, 3), out;
    Err err;
    assert_true(image_fit(&out, &image, 4, 4, &err));
    for (int y = 0; y < 4; y++)
        assert_memory_equal(out.pixels + y * 12, image.pixels + (y * 12 + 4) * 3, 12);
    image_release(&out);
    for (int i = 0; i < 4 * 12; i++) memset(image.pixels + 3 * i, i % 12 / 4 == 1 ? 170 : 3, 3);
    for (int side = 2; side <= 16; side *= 8) {
        assert_true(image_fit(&out, &image, side, side, &err));
        assert_int_equal(out.height, side);
        assert_int_equal(out.width, side);
        for (size_t i = 0; i < bytes_of(&out); i++) assert_int_equal(out.pixels[i], 170);
        image_release(&out);
    }
    image_release(&image);
}

/* A ramp stays a ramp, the right way round, in both directions. */
static void resizing_keeps_a_ramp(void **state)
{
    (void)state;
    Image image, out;
    Err err;
    assert_true(image_new(&image, 64, 64, 1, &err));
    for (int i = 0; i < 64 * 64; i++) image.pixels[i] = (uint8_t)(i / 64 * 2 + i % 64);
    static const int sizes[][2] = {{16, 16}, {32, 16}, {128, 128}};
    for (size_t k = 0; k < 3; k++) {
        int height = sizes[k][0], width = sizes[k][1], side = height > width ? height : width;
        assert_true(image_fit(&out, &image, height, width, &err));
        for (int y = 4; y < height - 4; y++)
            for (int x = 4; x < width - 4; x++) {
                double down = (y + 0.5) * 64 / side - 0.5;
                double across = (x + 0.5 + (side - width) / 2.0) * 64 / side - 0.5;
                assert_close(out.pixels[y * width + x], 2 * down + across, 1.0);
            }
        image_release(&out);
    }
    image_release(&image);
}

static void padding_is_black_and_around(void **state)
{
    (void)state;
    Image image = pattern(2, 3, 1), out;
    Err err;
    assert_true(image_pad(&out, &image, 5, 5, &err));
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 5; x++) {
            bool inside = y >= 1 && y < 3 && x >= 1 && x < 4;
            assert_int_equal(out.pixels[y * 5 + x], inside ? image.pixels[(y - 1) * 3 + x - 1] : 0);
        }
    image_release(&image), image_release(&out);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    Image image = pattern(2, 2, 1);
    Err err;
    assert_false(image_write("/nonexistent/a.png", &image, NULL, 0, &err));
    assert_non_null(strstr(err.text, "/nonexistent"));
    image_release(&image);
}

static void endings_tell_images(void **state)
{
    (void)state;
    assert_true(image_has_ending("a/b.png") && image_has_ending("b.JPG"));
    assert_true(image_has_ending("x.y.jpeg") && image_has_ending("b.Bmp"));
    assert_false(image_has_ending("png") || image_has_ending("a.txt") ||
                 image_has_ending("a.png~"));
}

/* stb would multiply the first two in int; their pixels are not looked at. */
static void images_beyond_the_bound_are_not_fitted(void **state)
{
    (void)state;
    static const int sizes[][3] = {{2, 715827883, 3}, {1, 1 << 30, 1}, {46341, 46341, 1}};
    uint8_t pixel[3] = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Image image = {sizes[i][0], sizes[i][1], sizes[i][2], pixel}, out;
        Err err;
        assert_false(image_is_possible(image.height, image.width, image.channels));
        assert_false(image_fit(&out, &image, 1, 1, &err));
        assert_int_equal(err.kind, ERR_USAGE);
        assert_non_null(strstr(err.text, "fewer than 2^30"));
        assert_null(out.pixels);
    }
    assert_true(image_is_possible(1, (1 << 30) - 1, 1) && image_is_possible(1, 357913941, 3));
    assert_false(image_is_possible(1, 357913942, 3) || image_is_possible(INT_MAX, INT_MAX, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(colours_become_grey_and_grey_colours),
        cmocka_unit_test(a_bmp_is_read),
        cmocka_unit_test(a_jpeg_is_read),
        cmocka_unit_test(damaged_files_are_errors_that_name_them),
        cmocka_unit_test(a_file_that_states_too_many_pixels_is_refused),
        cmocka_unit_test(fitting_crops_the_middle),
        cmocka_unit_test(resizing_keeps_a_ramp),
        cmocka_unit_test(padding_is_black_and_around),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
        cmocka_unit_test(endings_tell_images),
        cmocka_unit_test(images_beyond_the_bound_are_not_fitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
