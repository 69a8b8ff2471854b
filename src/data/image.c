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

/* --- Chunks of PNG: u32 big-endian length, type, data, CRC of type and data --- */

enum { SIGNATURE = 8, CHUNK_ROOM = 12, HEADER_END = SIGNATURE + CHUNK_ROOM + 13 };

typedef struct {
    const uint8_t *type, *data;
    size_t length;
    bool intact; /* its CRC is right */
} Chunk;

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
    return at + 4;
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_png(const uint8_t *bytes, size_t size)
{
    return size >= SIGNATURE && memcmp(bytes, "\x89PNG\r\n\x1a\n", SIGNATURE) == 0;
}

/* The chunk at *at, which moves on to the next; false where no whole one is left. */
static bool next_chunk(Chunk *chunk, size_t *at, const uint8_t *bytes, size_t size)
{
    if (size - *at < CHUNK_ROOM) return false;
    const uint8_t *start = bytes + *at;
    *chunk = (Chunk){start + 4, start + 8, get_u32(start), false};
    if (chunk->length > size - *at - CHUNK_ROOM) return false;
    uint32_t crc = get_u32(chunk->data + chunk->length);
    chunk->intact = crc == zip_crc32(chunk->type, 4 + chunk->length);
    *at += CHUNK_ROOM + chunk->length;
    return true;
}

/* stb looks at no CRC and would take flipped bits for pixels. A damaged chunk that pixels do not
 * need (small first letter) is let pass. */
static bool png_is_whole(const uint8_t *bytes, size_t size)
{
    Chunk chunk;
    size_t at = SIGNATURE;
    while (next_chunk(&chunk, &at, bytes, size)) {
        if (!chunk.intact && !(chunk.type[0] & 0x20)) return false;
        if (memcmp(chunk.type, "IEND", 4) == 0) return true;
    }
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
    if (is_png(bytes, (size_t)size) && !png_is_whole(bytes, (size_t)size))
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

/* --- Text, and writing --- */

static size_t text_bytes(ImageText text)
{
    return strlen(text.key) + 1 + strlen(text.value);
}

static uint8_t *put_text(uint8_t *at, ImageText text)
{
    size_t key = strlen(text.key) + 1, size = text_bytes(text);
    assert(key >= 2 && key <= 80);
    uint8_t *type = put_u32(at, (uint32_t)size);
    memcpy(type, "tEXt", 4);
    memcpy(type + 4, text.key, key);
    memcpy(type + 4 + key, text.value, size - key);
    return put_u32(type + 4 + size, zip_crc32(type, 4 + size));
}

bool image_encode(uint8_t **bytes, size_t *size, const Image *image, const ImageText *texts,
                  int count, Err *err)
{
    int plain_size = 0;
    size_t text_size = 0;
    for (int i = 0; i < count; i++) text_size += CHUNK_ROOM + text_bytes(texts[i]);
    uint8_t *plain =
        stbi_write_png_to_mem(image->pixels, image->width * image->channels, image->width,
                              image->height, image->channels, &plain_size);
    *size = (size_t)plain_size + text_size;
    *bytes = plain ? malloc(*size) : NULL;
    if (!*bytes) {
        free(plain);
        return err_set(err, ERR_FAILED, "no memory to write an image of %d x %d pixels as PNG",
                       image->height, image->width);
    }
    memcpy(*bytes, plain, HEADER_END);
    uint8_t *at = *bytes + HEADER_END;
    for (int i = 0; i < count; i++) at = put_text(at, texts[i]);
    memcpy(at, plain + HEADER_END, (size_t)plain_size - HEADER_END);
    free(plain);
    return true;
}

bool image_write(const char *path, const Image *image, const ImageText *texts, int count, Err *err)
{
    uint8_t *bytes;
    size_t size;
    if (!image_encode(&bytes, &size, image, texts, count, err)) return err_prefix(err, "%s", path);
    bool done = file_write_whole(path, bytes, size, err);
    free(bytes);
    return done;
}

/* The value of a chunk's data if it is of that key. */
static char *value_of(const uint8_t *data, size_t size, const char *key)
{
    size_t skip = strlen(key) + 1;
    if (size < skip || memcmp(data, key, skip) != 0) return NULL;
    return strndup((const char *)data + skip, size - skip);
}

char *image_text(const uint8_t *bytes, size_t size, const char *key)
{
    Chunk chunk;
    size_t at = SIGNATURE;
    if (!is_png(bytes, size)) return NULL;
    while (next_chunk(&chunk, &at, bytes, size) && chunk.intact) {
        bool is_text = memcmp(chunk.type, "tEXt", 4) == 0;
        char *value = is_text ? value_of(chunk.data, chunk.length, key) : NULL;
        if (value) return value;
    }
    return NULL;
}
