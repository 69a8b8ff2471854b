#include "data/grid.h"
#include "data/pixels.h"
#include "support.h"

enum { HEIGHT = 2, WIDTH = 3, CHANNELS = 3, SIZE = HEIGHT * WIDTH * CHANNELS, COUNT = 5 };

/* The value that the pixel (y, x) of a grid must have: of the image there, or black. */
static int expected(const uint8_t *images, int count, int columns, int y, int x, int c)
{
    int row = y / (HEIGHT + GRID_BORDER), down = y % (HEIGHT + GRID_BORDER) - GRID_BORDER;
    int column = x / (WIDTH + GRID_BORDER), across = x % (WIDTH + GRID_BORDER) - GRID_BORDER;
    int image = row * columns + column;
    if (down < 0 || across < 0 || column >= columns || image >= count) return 0;
    return images[image * SIZE + (down * WIDTH + across) * CHANNELS + c];
}

static void check(int count, int given, int columns, int rows)
{
    Image grid;
    Err err;
    uint8_t images[COUNT * SIZE];
    for (int i = 0; i < COUNT * SIZE; i++) images[i] = (uint8_t)(i + 100);
    assert_true(grid_make(&grid, images, (GridDims){count, HEIGHT, WIDTH, CHANNELS, given}, &err));
    assert_int_equal(grid.height, rows * (HEIGHT + GRID_BORDER) + GRID_BORDER);
    assert_int_equal(grid.width, columns * (WIDTH + GRID_BORDER) + GRID_BORDER);
    assert_int_equal(grid.channels, CHANNELS);
    for (int y = 0; y < grid.height; y++)
        for (int x = 0; x < grid.width; x++)
            for (int c = 0; c < CHANNELS; c++)
                assert_int_equal(grid.pixels[(y * grid.width + x) * CHANNELS + c],
                                 expected(images, count, columns, y, x, c));
    image_release(&grid);
}

static void every_pixel_is_in_its_place(void **state)
{
    (void)state;
    check(1, 0, 1, 1);
    check(2, 0, 2, 1);
    check(4, 0, 2, 2);
    check(5, 0, 3, 2);
    check(5, 4, 4, 2);
    check(5, 1, 1, 5);
    check(3, 8, 3, 1);
}

static void a_grid_of_a_gigabyte_is_refused(void **state)
{
    (void)state;
    Image grid;
    Err err;
    assert_false(grid_make(&grid, NULL, (GridDims){40000, 256, 256, 3, 0}, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "a grid of 40000 images"));
    assert_null(grid.pixels);
    assert_false(grid_make(&grid, NULL, (GridDims){INT32_MAX, 1 << 20, 1 << 20, 3, 1}, &err));
}

static void floats_become_the_same_grid_in_a_file(void **state)
{
    (void)state;
    enum { FLOATS = COUNT * SIZE };
    GridDims dims = {COUNT, HEIGHT, WIDTH, CHANNELS, 2};
    float images[FLOATS];
    uint8_t bytes[FLOATS];
    Image made, read;
    Err err;
    char *folder = test_temp_folder(), *path = test_path(folder, "grid.png");
    for (int i = 0; i < FLOATS; i++) images[i] = (float)(i * 2) / (FLOATS - 1) - 1;
    pixels_to_bytes(bytes, images, FLOATS);
    assert_true(grid_make(&made, bytes, dims, &err));
    assert_true(grid_write(path, images, dims, NULL, 0, &err));
    assert_true(image_read(&read, path, 0, &err));
    assert_int_equal(read.height, made.height);
    assert_int_equal(read.width, made.width);
    assert_int_equal(read.channels, CHANNELS);
    assert_memory_equal(read.pixels, made.pixels, (size_t)(made.height * made.width * CHANNELS));
    image_release(&read), image_release(&made);
    assert_false(grid_write("/nonexistent/grid.png", images, dims, NULL, 0, &err));
    assert_non_null(strstr(err.text, "/nonexistent/grid.png"));
    test_remove_folder(folder);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_is_in_its_place),
        cmocka_unit_test(a_grid_of_a_gigabyte_is_refused),
        cmocka_unit_test(floats_become_the_same_grid_in_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
