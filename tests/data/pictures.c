#include "pictures.h"

#include "base/file.h"
#include "base/zip.h"
#include "support.h"

const Picture PICTURE[PICTURES] = {
    {"24.bmp", 3, 0xC9117566, 0x256D50EA},
    {"32.bmp", 3, 0xC9117566, 0x256D50EA},
    {"baseline.jpg", 3, 0x974EB00B, 0xBFE93CA1},
    {"cmyk-progressive.jpg", 3, 0x53D17E8F, 0x560E38F9},
    {"grey.jpg", 1, 0xFFF55D6A, 0xFFF55D6A},
    {"grey1.png", 1, 0xF5B9FAD2, 0xF5B9FAD2},
    {"grey16-interlaced.png", 1, 0xDD789EEE, 0xDD789EEE},
    {"palette.png", 3, 0x389BCF97, 0x0343FE60},
    {"progressive.jpg", 3, 0x974EB00B, 0xBFE93CA1},
    {"restart.jpg", 3, 0xC852689D, 0x5BD43114},
    {"rgb16.png", 3, 0x269AE0AE, 0xB58F6787},
    {"rgb8-interlaced.png", 3, 0xAD90D8EC, 0xB11C7212},
    {"rgb8.png", 3, 0xAD90D8EC, 0xB11C7212},
    {"rgba16-interlaced.png", 3, 0xE89C6DD6, 0x7A6E2FA4},
};

ImageFile pictures_read(int index, int channels)
{
    char *path = test_path("tests/fixtures/images", PICTURE[index].name);
    unsigned char *bytes;
    size_t size;
    Err err;
    if (!file_read(&bytes, &size, path, 1 << 20, &err)) fail_msg("%s", err.text);
    return (ImageFile){path, bytes, size, channels};
}

void pictures_release(ImageFile *file)
{
    free((void *)(uintptr_t)file->path);
    free((void *)(uintptr_t)file->bytes);
    *file = (ImageFile){0};
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void pictures_mend_crc(uint8_t *chunk, size_t length)
{
    put_u32(chunk + 4 + length, zip_crc32(chunk, 4 + length));
}

/* The rows of a filter's number and pixels; of Adam7's passes where they are interlaced. */
static size_t plain_bytes(size_t side, size_t bits, bool interlaced)
{
    static const size_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                        {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    size_t bytes = 0;
    if (!interlaced) return side * (1 + (side * bits + 7) / 8);
    for (int i = 0; i < 7; i++) {
        const size_t *p = passes[i]; /* the first column and row, the steps between them */
        size_t columns = (side - p[0] + p[2] - 1) / p[2], rows = (side - p[1] + p[3] - 1) / p[3];
        bytes += rows * (1 + (bits * columns + 7) / 8);
    }
    return bytes;
}

static uint8_t *put_chunk(uint8_t *at, const char *type, const void *data, size_t length)
{
    put_u32(at, (uint32_t)length);
    memcpy(at + 4, type, 4);
    if (length > 0) memcpy(at + 8, data, length);
    pictures_mend_crc(at + 4, length);
    return at + 12 + length;
}

uint8_t *pictures_large(size_t *size, unsigned side, PngKind kind)
{
    static const size_t channels[] = {1, 0, 3, 1, 2, 0, 4};
    static const uint8_t zero[6] = {0};
    uint8_t header[13] = {[8] = (uint8_t)kind.depth, (uint8_t)kind.colour, 0, 0, kind.interlaced};
    size_t bits = channels[kind.colour] * (size_t)kind.depth, packed;
    size_t plain = plain_bytes(side, bits, kind.interlaced);
    void *zeros = calloc(1, plain);
    unsigned char *pixels = zeros ? zip_deflate(&packed, zeros, plain) : NULL;
    uint8_t *file = pixels ? malloc(packed + 200) : NULL;
    assert_non_null(file);
    put_u32(header, side), put_u32(header + 4, side);
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    uint8_t *end = put_chunk(file + 8, "IHDR", header, sizeof header);
    if (kind.colour == 3) end = put_chunk(end, "PLTE", zero, 6);
    if (kind.transparent)
        end = put_chunk(end, "tRNS", zero, kind.colour == 3 ? 1 : 2 * channels[kind.colour]);
    end = put_chunk(end, "IDAT", pixels, packed);
    *size = (size_t)(put_chunk(end, "IEND", NULL, 0) - file);
    free(zeros), free(pixels);
    return file;
}

void pictures_bomb(uint8_t bytes[PICTURES_BOMB])
{
    memset(bytes, 0, PICTURES_BOMB);
    memcpy(bytes, "\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR\0\0\0\1\0\0\0\1\x08", 25);
    pictures_mend_crc(bytes + 12, 13);
    put_u32(bytes + 33, 0x7FFFFFF0);
    memcpy(bytes + 37, "IDAT", 4);
}
