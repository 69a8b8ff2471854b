#include "data/grid.h"

#include "base/memory.h"
#include "data/pixels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int default_columns(int count)
{
    int columns = 1;
    while ((int64_t)columns * columns < count) columns++;
    return columns;
}

/* `cells` images and the borders around them; more pixels than an int holds are INT_MAX / 2. */
static int side(int cells, int pixels)
{
    int64_t sum = (int64_t)cells * ((int64_t)pixels + GRID_BORDER) + GRID_BORDER;
    return sum < INT32_MAX / 2 ? (int)sum : INT32_MAX / 2;
}

static int columns_of(GridDims dims)
{
    int columns = dims.columns > 0 ? dims.columns : default_columns(dims.count);
    return columns < dims.count ? columns : dims.count;
}

bool grid_new(Image *grid, GridDims dims, Err *err)
{
    assert(dims.count > 0);
    int columns = columns_of(dims), rows = (dims.count - 1) / columns + 1;
    return image_new(grid, side(rows, dims.height), side(columns, dims.width), dims.channels,
                     err) ||
           err_prefix(err, "a grid of %d images", dims.count);
}

bool grid_make(Image *grid, const uint8_t *images, GridDims dims, Err *err)
{
    if (!grid_new(grid, dims, err)) return false;
    int columns = columns_of(dims);
    size_t pixel = (size_t)dims.channels, row = (size_t)dims.width * pixel;
    for (int i = 0; i < dims.count; i++) {
        int top = side(i / columns, dims.height), left = side(i % columns, dims.width);
        for (int y = 0; y < dims.height; y++, images += row)
            memcpy(grid->pixels + ((size_t)(top + y) * (size_t)grid->width + (size_t)left) * pixel,
                   images, row);
    }
    return true;
}

bool grid_write(const char *path, const float *images, GridDims dims, const PngText *texts,
                int count, Err *err)
{
    size_t floats =
        (size_t)dims.count * (size_t)dims.height * (size_t)dims.width * (size_t)dims.channels;
    uint8_t *bytes = memory_new(floats, 1, "the images of a grid", err);
    if (!bytes) return false;
    Image grid = {0};
    pixels_to_bytes(bytes, images, floats);
    bool ok = grid_make(&grid, bytes, dims, err) && image_write(path, &grid, texts, count, err);
    image_release(&grid);
    free(bytes);
    return ok;
}
