/*
 * An image file. PNG: whether it is whole, its texts and its pixels, which stb_image decodes in
 * this process, with the checksums as they are and put right. What was decoded is written as a PNG,
 * which has to read back as the same. Of other formats stb_image is known to crash, and so they are
 * decoded by a process behind walls: what must hold is that a crash there is an error here.
 */
#include "fuzz/fuzz.h"

#include "base/zip.h"
#include "data/image.h"
#include "data/stb_decode.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 20, SMALL = 1 << 14 }; /* bytes */

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Each chunk's CRC as it has to be, up to one that is not all there. */
static void repair(uint8_t *png, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        size_t length = get_u32(png + at);
        if (length > size - at - 12) return;
        uint32_t crc = zip_crc32(png + at + 4, length + 4);
        uint8_t *to = png + at + 8 + length;
        for (int i = 0; i < 4; i++) to[i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

static bool decode(Image *image, const uint8_t *bytes, size_t size, int channels)
{
    static _Alignas(64) uint8_t arena[ROOM];
    StbResult said;
    stb_decode(&said, arena, sizeof arena, bytes, size, channels);
    if (said.status != STB_DECODED) {
        fuzz_require(said.status >= STB_UNKNOWN && said.status <= STB_DAMAGED, "a status");
        fuzz_require(memchr(said.reason, 0, sizeof said.reason) != NULL, "a reason is a string");
        return false;
    }
    *image = (Image){said.height, said.width, said.channels, arena + said.pixels};
    fuzz_require(said.height > 0 && said.width > 0, "an image has a size");
    fuzz_require(channels == 0 ? said.channels == 1 || said.channels == 3
                               : said.channels == channels,
                 "an image is grey or colour, as is wanted");
    fuzz_require(said.pixels <= ROOM && image_bytes(image) <= ROOM - said.pixels,
                 "pixels are in the arena");
    return true;
}

/* --- What is done with an image --- */

static void check_written(const uint8_t *bytes, size_t size, const Image *image, PngText text)
{
    PngInfo info;
    Image again;
    Err err;
    fuzz_require(png_is_whole(bytes, size), "a PNG that was written is whole");
    fuzz_require(png_info_read(&info, fuzz_file(bytes, size), &err), "and can be read");
    fuzz_require(info.height == (uint32_t)image->height && info.width == (uint32_t)image->width,
                 "with its size");
    fuzz_require(strcmp(png_info_text(&info, text.key), text.value) == 0, "and its text");
    png_info_release(&info);
    fuzz_require(decode(&again, bytes, size, 0), "it is decoded");
    fuzz_require(again.channels == image->channels &&
                     memcmp(again.pixels, image->pixels, image_bytes(image)) == 0,
                 "to the same pixels");
}

static void use(const Image *decoded)
{
    static const int sizes[][2] = {{1, 1}, {7, 5}, {32, 32}};
    Image image, other;
    Err err;
    fuzz_touch(decoded->pixels, image_bytes(decoded));
    if (image_bytes(decoded) > SMALL) return;
    fuzz_require(image_new(&image, decoded->height, decoded->width, decoded->channels, &err),
                 "room");
    memcpy(image.pixels, decoded->pixels, image_bytes(decoded));
    for (int i = 0; i < 3; i++) {
        fuzz_require(image_fit(&other, &image, sizes[i][0], sizes[i][1], &err), "it is resized");
        fuzz_touch(other.pixels, image_bytes(&other));
        image_release(&other);
    }
    fuzz_require(image_pad(&other, &image, image.height + 3, image.width + 2, &err), "and padded");
    image_release(&other);
    uint8_t *bytes;
    size_t size;
    PngText text = {"Key", "value"};
    fuzz_require(image_encode(&bytes, &size, &image, &text, 1, &err), "and written");
    check_written(bytes, size, &image, text);
    free(bytes);
    image_release(&image);
}

/* --- The files --- */

static void read_texts(const uint8_t *data, size_t size)
{
    PngInfo info;
    Err err;
    if (!png_info_read(&info, fuzz_file(data, size), &err)) {
        fuzz_refused(&err);
        return;
    }
    fuzz_require(png_is_whole(data, size), "what is read of is whole");
    for (int i = 0; i < info.count; i++) {
        size_t length = strlen(info.texts[i].key) + strlen(info.texts[i].value);
        fuzz_require(length > 0 && length < size, "texts are in the file");
        fuzz_require(png_info_text(&info, info.texts[i].key) != NULL, "and found by their keys");
    }
    png_info_release(&info);
}

static void read_png(const uint8_t *data, size_t size)
{
    Image image;
    for (int channels = 0; channels <= 3; channels += channels > 0 ? 2 : 1)
        if (decode(&image, data, size, channels)) use(&image);
    read_texts(data, size);
}

static void read_other(const uint8_t *data, size_t size)
{
    Image image;
    Err err;
    if (image_read(&image, fuzz_file(data, size), 0, &err)) {
        use(&image);
        image_release(&image);
    } else {
        fuzz_refused(&err);
        fuzz_require(!image.pixels, "an image that was refused is empty");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!png_is(data, size)) {
        read_other(data, size);
        return 0;
    }
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    read_png(copy, size);
    repair(copy, size);
    read_png(copy, size);
    free(copy);
    return 0;
}
