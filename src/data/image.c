/*
 * The one file that knows stb. Its functions take and give bytes in memory; files are read and
 * written by base/file.h, whose errors name the path and whose writes are atomic.
 *
 * stb checks little: sizes are checked here, before it decodes; its allocations are capped, since a
 * PNG of 71 bytes can ask for gigabytes; and only the three formats that cameras and programs write
 * are compiled in.
 */
#include "data/image.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_PIXELS = 1 << 26,  /* of a file that is read */
    MAX_FILE = 1 << 30,    /* its bytes */
    MAX_DECODER = 5 << 27, /* what stb may take at once: MAX_PIXELS of four 16-bit channels, more */
    MAX_IMAGE = 1 << 30    /* stb_image_write multiplies sizes in int */
};

static void *capped_malloc(size_t size)
{
    return size <= MAX_DECODER ? malloc(size) : NULL;
}

static void *capped_realloc(void *block, size_t size)
{
    return size <= MAX_DECODER ? realloc(block, size) : NULL;
}

/* zlib packs better than stb does, and where there is no memory says so instead of ending the
 * program. */
static unsigned char *pack(const unsigned char *data, int size, int *out_size)
{
    size_t packed = 0;
    unsigned char *out = zip_deflate(&packed, data, (size_t)size);
    *out_size = (int)packed;
    return out;
}

/* Told at the end of the file, where a pop would have ended it. */
#pragma GCC diagnostic ignored "-Wunused-function"
#define STBI_MALLOC capped_malloc
#define STBI_REALLOC capped_realloc
#define STBI_FREE free
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS(data, size, out_size, quality) pack(data, size, out_size)
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb_image_resize.h>

bool image_new(Image *image, int height, int width, int channels, Err *err)
{
    *image = (Image){.height = height, .width = width, .channels = channels};
    assert(height > 0 && width > 0 && channels > 0);
    size_t row = (size_t)width * (size_t)channels;
    if (row >= MAX_IMAGE || row * (size_t)height >= MAX_IMAGE)
        return err_set(err, ERR_USAGE,
                       "an image of %d x %d pixels is too large: its bytes must be fewer than 2^30",
                       height, width);
    image->pixels = memory_new(row * (size_t)height, 1, "an image", err);
    return image->pixels != NULL;
}

void image_release(Image *image)
{
    free(image->pixels);
    *image = (Image){0};
}

bool image_has_ending(const char *path)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".bmp"};
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(ending, endings[i]) == 0) return true;
    return false;
}

/* --- Reading --- */

static bool decode(Image *image, const uint8_t *bytes, int size, const char *path, int channels,
                   Err *err)
{
    int width, height, own;
    if (!stbi_info_from_memory(bytes, size, &width, &height, &own))
        return err_set(err, ERR_DATA, "%s: cannot be read as PNG, JPEG or BMP (%s)", path,
                       stbi_failure_reason());
    if (height <= 0 || width <= 0 || (int64_t)height * width > MAX_PIXELS)
        return err_set(err, ERR_DATA,
                       "%s: %d x %d pixels, outside of the 1 to 2^26 that an image may have", path,
                       height, width);
    if (png_is(bytes, (size_t)size) && !png_is_whole(bytes, (size_t)size))
        return err_set(err, ERR_DATA, "%s: damaged image (cut short, or a checksum is wrong)",
                       path);
    int wanted = channels > 0 ? channels : own < 3 ? 1 : 3;
    image->pixels = stbi_load_from_memory(bytes, size, &image->width, &image->height, &own, wanted);
    image->channels = wanted;
    if (!image->pixels)
        return err_set(err, ERR_DATA, "%s: damaged image (%s)", path, stbi_failure_reason());
    return true;
}

bool image_read(Image *image, const char *path, int channels, Err *err)
{
    *image = (Image){0};
    assert(channels == 0 || channels == 1 || channels == 3);
    unsigned char *bytes;
    size_t size;
    if (!file_read(&bytes, &size, path, MAX_FILE, err)) return false;
    bool done = decode(image, bytes, (int)size, path, channels, err);
    free(bytes);
    if (!done) *image = (Image){0};
    return done;
}

/* The part of `image`, as wide as it is or as high, that has the shape height : width: a view into
 * its pixels, whose rows are image->width apart. */
static Image middle(const Image *image, int height, int width)
{
    int64_t rows = (int64_t)image->width * height / width;
    int64_t columns = (int64_t)image->height * width / height;
    Image part = {image->height, image->width, image->channels, image->pixels};
    if (rows < image->height) part.height = rows > 0 ? (int)rows : 1;
    if (columns < image->width) part.width = columns > 0 ? (int)columns : 1;
    size_t top = (size_t)(image->height - part.height) / 2;
    size_t left = (size_t)(image->width - part.width) / 2;
    part.pixels += (top * (size_t)image->width + left) * (size_t)image->channels;
    return part;
}

/* Copied if it has that size already: Mitchell's filter blurs at a scale of one. */
bool image_fit(Image *out, const Image *image, int height, int width, Err *err)
{
    if (!image_new(out, height, width, image->channels, err)) return false;
    Image part = middle(image, height, width);
    int stride = image->width * image->channels, row = width * image->channels;
    if (part.height == height && part.width == width) {
        for (int y = 0; y < height; y++)
            memcpy(out->pixels + (size_t)y * (size_t)row, part.pixels + (size_t)y * (size_t)stride,
                   (size_t)row);
    } else if (!stbir_resize_uint8(part.pixels, part.width, part.height, stride, out->pixels, width,
                                   height, row, image->channels)) {
        image_release(out);
        return err_set(err, ERR_FAILED, "no memory to resize an image of %d x %d pixels",
                       image->height, image->width);
    }
    return true;
}

bool image_pad(Image *out, const Image *image, int height, int width, Err *err)
{
    assert(image->height <= height && image->width <= width);
    if (!image_new(out, height, width, image->channels, err)) return false;
    size_t top = (size_t)(height - image->height) / 2, left = (size_t)(width - image->width) / 2;
    size_t pixel = (size_t)image->channels, row = (size_t)image->width * pixel;
    for (int y = 0; y < image->height; y++)
        memcpy(out->pixels + ((top + (size_t)y) * (size_t)width + left) * pixel,
               image->pixels + (size_t)y * row, row);
    return true;
}

/* --- Writing --- */

bool image_encode(uint8_t **bytes, size_t *size, const Image *image, const PngText *texts,
                  int count, Err *err)
{
    int plain_size = 0;
    uint8_t *plain =
        stbi_write_png_to_mem(image->pixels, image->width * image->channels, image->width,
                              image->height, image->channels, &plain_size);
    *bytes = plain ? png_add_texts(size, plain, (size_t)plain_size, texts, count) : NULL;
    free(plain);
    if (*bytes) return true;
    return err_set(err, ERR_FAILED, "no memory to write an image of %d x %d pixels as PNG",
                   image->height, image->width);
}

bool image_write(const char *path, const Image *image, const PngText *texts, int count, Err *err)
{
    uint8_t *bytes;
    size_t size;
    if (!image_encode(&bytes, &size, image, texts, count, err)) return err_prefix(err, "%s", path);
    bool done = file_write_whole(path, bytes, size, err);
    free(bytes);
    return done;
}
