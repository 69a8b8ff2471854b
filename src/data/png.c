/*
 * stb neither checks checksums nor reads or writes texts. Both are a walk over chunks, each of
 * which says how long it is.
 */
#include "data/png.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A chunk is a u32 big-endian length, a type, the data, the CRC of type and data. */
enum { SIGNATURE = 8, CHUNK_ROOM = 12, HEADER = 13, HEADER_END = SIGNATURE + CHUNK_ROOM + HEADER };
enum { MAX_FILE = 1 << 30 };

typedef struct {
    size_t at; /* of its data in the file */
    size_t length;
    char type[5];
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

bool png_is(const uint8_t *bytes, size_t size)
{
    return size >= SIGNATURE && memcmp(bytes, "\x89PNG\r\n\x1a\n", SIGNATURE) == 0;
}

/* The chunk at *at, which moves on to the next; false where no whole one is left. */
static bool next_chunk(Chunk *chunk, size_t *at, const uint8_t *bytes, size_t size)
{
    if (size - *at < CHUNK_ROOM) return false;
    *chunk = (Chunk){.at = *at + 8, .length = get_u32(bytes + *at)};
    if (chunk->length > size - *at - CHUNK_ROOM) return false;
    memcpy(chunk->type, bytes + *at + 4, 4);
    uint32_t crc = get_u32(bytes + chunk->at + chunk->length);
    chunk->intact = crc == zip_crc32(bytes + *at + 4, 4 + chunk->length);
    *at += CHUNK_ROOM + chunk->length;
    return true;
}

/* The types of chunks that pixels do not need have a small first letter. */
static bool is_whole(const uint8_t *bytes, size_t size, bool beside_pixels)
{
    Chunk chunk;
    size_t at = SIGNATURE;
    if (!png_is(bytes, size)) return false;
    while (next_chunk(&chunk, &at, bytes, size)) {
        if (!chunk.intact && (beside_pixels || !(chunk.type[0] & 0x20))) return false;
        if (strcmp(chunk.type, "IEND") == 0) return true;
    }
    return false;
}

bool png_is_whole(const uint8_t *bytes, size_t size)
{
    return is_whole(bytes, size, false);
}

/* ---- writing texts ---- */

static size_t text_bytes(PngText text)
{
    return strlen(text.key) + 1 + strlen(text.value);
}

static uint8_t *put_text(uint8_t *at, PngText text)
{
    size_t key = strlen(text.key) + 1, size = text_bytes(text);
    assert(key >= 2 && key <= 80);
    uint8_t *type = put_u32(at, (uint32_t)size);
    memcpy(type, "tEXt", 4);
    memcpy(type + 4, text.key, key);
    memcpy(type + 4 + key, text.value, size - key);
    return put_u32(type + 4 + size, zip_crc32(type, 4 + size));
}

uint8_t *png_add_texts(size_t *out_size, const uint8_t *plain, size_t size, const PngText *texts,
                       int count)
{
    *out_size = size;
    for (int i = 0; i < count; i++) *out_size += CHUNK_ROOM + text_bytes(texts[i]);
    uint8_t *bytes = malloc(*out_size);
    if (!bytes) return NULL;
    memcpy(bytes, plain, HEADER_END);
    uint8_t *at = bytes + HEADER_END;
    for (int i = 0; i < count; i++) at = put_text(at, texts[i]);
    memcpy(at, plain + HEADER_END, size - HEADER_END);
    return bytes;
}

/* ---- reading them ---- */

/* The text of the chunk, ended by a zero where its CRC was. */
static bool take_text(PngText *text, uint8_t *bytes, const Chunk *chunk)
{
    uint8_t *data = bytes + chunk->at;
    if (strcmp(chunk->type, "tEXt") != 0 || !chunk->intact) return false;
    const uint8_t *end = memchr(data, 0, chunk->length);
    if (!end || end == data) return false;
    data[chunk->length] = 0;
    *text = (PngText){(const char *)data, (const char *)end + 1};
    return true;
}

static bool take_texts(PngInfo *info, size_t size, Err *err)
{
    Chunk chunk;
    size_t chunks = 0;
    for (size_t at = SIGNATURE; next_chunk(&chunk, &at, info->bytes, size);) chunks++;
    info->texts = memory_new(chunks, sizeof *info->texts, "the texts of an image", err);
    if (!info->texts) return false;
    for (size_t at = SIGNATURE; next_chunk(&chunk, &at, info->bytes, size);)
        if (take_text(&info->texts[info->count], info->bytes, &chunk)) info->count++;
    return true;
}

bool png_info_read(PngInfo *info, const char *path, Err *err)
{
    size_t size;
    *info = (PngInfo){0};
    if (!file_read(&info->bytes, &size, path, MAX_FILE, err)) return false;
    bool ok = true;
    if (!png_is(info->bytes, size))
        ok = err_set(err, ERR_DATA, "%s: is not a PNG file", path);
    else if (size < HEADER_END || !is_whole(info->bytes, size, true))
        ok = err_set(err, ERR_DATA, "%s: damaged image (cut short, or a checksum is wrong)", path);
    if (ok && take_texts(info, size, err)) {
        info->width = get_u32(info->bytes + SIGNATURE + 8);
        info->height = get_u32(info->bytes + SIGNATURE + 12);
        return true;
    }
    png_info_release(info);
    return false;
}

void png_info_release(PngInfo *info)
{
    free(info->texts);
    free(info->bytes);
    *info = (PngInfo){0};
}

const char *png_info_text(const PngInfo *info, const char *key)
{
    for (int i = 0; i < info->count; i++)
        if (strcmp(info->texts[i].key, key) == 0) return info->texts[i].value;
    return NULL;
}
