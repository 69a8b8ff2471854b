/*
 * The chunks of PNG files: whether a file is whole, and the texts beside its pixels (PNG
 * specification, 5.3 and 11.3.4.3).
 */
#ifndef DDPM_DATA_PNG_H
#define DDPM_DATA_PNG_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Whether the bytes begin as those of a PNG file do. */
bool png_is(const uint8_t *bytes, size_t size);

/* Whether a PNG file is there up to its end, with every checksum of what its pixels need right. A
 * damaged chunk that they do not need is let pass. */
bool png_is_whole(const uint8_t *bytes, size_t size);

/* A tEXt chunk: a key of 1 to 79 characters, and a value. */
typedef struct {
    const char *key, *value;
} PngText;

/* The PNG file `plain` with `texts` [count] before its pixels, *out_size bytes; free() it. NULL if
 * there is no memory. */
uint8_t *png_add_texts(size_t *out_size, const uint8_t *plain, size_t size, const PngText *texts,
                       int count);

/* What a PNG file says besides its pixels. */
typedef struct {
    uint32_t height, width;
    PngText *texts; /* [count], in their order; a value ends at its first zero byte */
    int count;
    uint8_t *bytes; /* the file, which the texts point into */
} PngInfo;

/* ERR_DATA: `path` is no PNG file, or is damaged, be it beside its pixels: a text that is not what
 * was written is not told. On false `info` is empty. */
bool png_info_read(PngInfo *info, const char *path, Err *err);
void png_info_release(PngInfo *info);

/* The value of the first text of that key, or NULL. */
const char *png_info_text(const PngInfo *info, const char *key);

#endif
