/*
 * The bytes of an image file become an image, by a decoder that is not trusted: it runs behind
 * walls (base/sandbox.h), so that a crash or an endless loop in it is an error that names the file.
 */
#ifndef DDPM_DATA_DECODE_H
#define DDPM_DATA_DECODE_H

#include "base/err.h"
#include "base/sandbox.h"
#include "data/image.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *path; /* what errors name */
    const uint8_t *bytes;
    size_t size;
    int channels; /* as of image_read */
} ImageFile;

enum {
    DECODE_TOGETHER = 64,  /* files that one process decodes, at most, */
    DECODE_BYTES = 4 << 20 /* and their bytes, if they are more than one */
};

/*
 * Decode the first of the *count `files`, and as many of those behind it as one process can; *count
 * becomes their number, 1 or more. On false there is none, and *count is which file is bad, all
 * before it being good: ERR_DATA: no image, too large, damaged, or what it did to the decoder.
 * A PNG whose checksums are wrong is refused before it is decoded. Where the system has no seccomp
 * PNGs are decoded in a process of their own alone, other formats are refused: ERR_FAILED.
 */
bool decode_images(Image *images, int *count, const ImageFile *files, Err *err);

/* What the decoder has as its input, beside shared memory whose first bytes are to become
 * a StbResult for each file, and whose rest, from DECODE_ARENA on, is its arena. A result whose
 * status is not STB_DECODED is the last. */
enum { DECODE_ARENA = 8192 };
typedef struct {
    const ImageFile *files; /* [count] */
    int count;
} DecodeInput;

typedef struct {
    SandboxWork *work;
    int seconds; /* of processor time, for all of the files */
} Decoder;

/* The same by another decoder than stb. */
bool decode_images_by(const Decoder *decoder, Image *images, int *count, const ImageFile *files,
                      Err *err);

#endif
