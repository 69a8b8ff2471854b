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

void pictures_bomb(uint8_t bytes[PICTURES_BOMB])
{
    memset(bytes, 0, PICTURES_BOMB);
    memcpy(bytes, "\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR\0\0\0\1\0\0\0\1\x08", 25);
    pictures_mend_crc(bytes + 12, 13);
    put_u32(bytes + 33, 0x7FFFFFF0);
    memcpy(bytes + 37, "IDAT", 4);
}
