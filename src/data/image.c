/*
 * stb resizes and writes here, where the pixels are our own; what strangers made it decodes behind
 * walls (data/decode.h). Its functions take and give bytes in memory; files are read and written by
 * base/file.h, whose errors name the path and whose writes are atomic.
 */
#include "data/image.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"
#include "data/decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_FILE = 1 << 30, /* bytes of a file that is read */
    MAX_IMAGE = 1 << 30 /* stb's writer and resizer multiply sizes in int */
};

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
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS(data, size, out_size, quality) pack(data, size, out_size)
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb_image_resize.h>

bool image_is_possible(int height, int width, int channels)
{
    assert(height > 0 && width > 0 && channels > 0);
    size_t row = (size_t)width * (size_t)channels;
    return row < MAX_IMAGE && row * (size_t)height < MAX_IMAGE;
}

static bool check_size(int height, int width, int channels, Err *err)
{
    return image_is_possible(height, width, channels) ||
           err_set(err, ERR_USAGE,
                   "an image of %d x %d pixels is too large: its bytes must be fewer than 2^30",
                   height, width);
}

bool image_new(Image *image, int height, int width, int channels, Err *err)
{
    *image = (Image){.height = height, .width = width, .channels = channels};
    if (!check_size(height, width, channels, err)) return false;
    image->pixels = memory_new(image_bytes(image), 1, "an image", err);
    return image->pixels != NULL;
}

size_t image_bytes(const Image *image)
{
    return (size_t)image->height * (size_t)image->width * (size_t)image->channels;
}

/* stb says only that it failed. What it takes at first is about the image again. */
static bool no_memory(const Image *image, const char *what, Err *err)
{
    size_t row = (size_t)image->width * (size_t)image->channels + 1;
    return memory_refused(row * (size_t)image->height, what, err);
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

static void release_files(ImageFile *files, int count)
{
    for (int i = 0; i < count; i++) free((void *)(uintptr_t)files[i].bytes);
}

/* As many as may be decoded together. */
static int read_files(ImageFile *files, int count, const char *const *paths, int channels, Err *err)
{
    size_t bytes = 0;
    int done = 0;
    while (done < count && done < DECODE_TOGETHER && (done == 0 || bytes < DECODE_BYTES)) {
        unsigned char *data;
        ImageFile *file = &files[done];
        if (!file_read(&data, &file->size, paths[done], MAX_FILE, err)) break;
        *file = (ImageFile){paths[done], data, file->size, channels};
        bytes += file->size;
        done++;
    }
    return done;
}

bool image_read_some(Image *images, int *count, const char *const *paths, int channels, Err *err)
{
    ImageFile files[DECODE_TOGETHER];
    int there = read_files(files, *count, paths, channels, err);
    assert(channels == 0 || channels == 1 || channels == 3);
    assert(*count > 0);
    *count = there;
    bool done = there > 0 && decode_images(images, count, files, err);
    release_files(files, there);
    return done;
}

bool image_read(Image *image, const char *path, int channels, Err *err)
{
    int count = 1;
    *image = (Image){0};
    return image_read_some(image, &count, &path, channels, err);
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
    *out = (Image){0};
    if (!check_size(image->height, image->width, image->channels, err) ||
        !image_new(out, height, width, image->channels, err))
        return false;
    Image part = middle(image, height, width);
    int stride = image->width * image->channels, row = width * image->channels;
    if (part.height == height && part.width == width) {
        for (int y = 0; y < height; y++)
            memcpy(out->pixels + (size_t)y * (size_t)row, part.pixels + (size_t)y * (size_t)stride,
                   (size_t)row);
    } else if (!stbir_resize_uint8(part.pixels, part.width, part.height, stride, out->pixels, width,
                                   height, row, image->channels)) {
        image_release(out);
        return no_memory(image, "an image to be resized", err);
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
    return no_memory(image, "a PNG", err);
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
