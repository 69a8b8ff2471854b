/*
 * Images as bytes, and their files: PNG, JPEG and BMP are read, PNG is written.
 *
 * Image files come from strangers, and stb_image is not hardened: it decodes in a process of its
 * own (data/decode.h).
 */
#ifndef DDPM_DATA_IMAGE_H
#define DDPM_DATA_IMAGE_H

#include "base/err.h"
#include "data/png.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int height, width, channels; /* 1: grey, 3: red, green, blue */
    uint8_t *pixels;             /* [height,width,channels] */
} Image;

/* Whether it has fewer than 2^30 bytes: more can neither be resized nor written. */
bool image_is_possible(int height, int width, int channels);

/* Black pixels. ERR_USAGE if it is not possible, ERR_FAILED if there is no memory. */
bool image_new(Image *image, int height, int width, int channels, Err *err);

size_t image_bytes(const Image *image); /* of its pixels */

/* Free the pixels; an empty image may be released again. */
void image_release(Image *image);

/* Whether the name ends as those of the images that image_read reads: .png, .jpg, .jpeg, .bmp, in
 * small or capital letters. */
bool image_has_ending(const char *path);

/*
 * Read the image file `path`, with `channels` 1 or 3 (grey is 0.30 red + 0.59 green + 0.11 blue),
 * or 0 for the file's own. Alpha is dropped, 16 bits are cut to 8, JPEG's EXIF turn is ignored. At
 * most 2^26 pixels. On false `image` is empty. ERR_DATA names the file and what is wrong with it;
 * ERR_FAILED: no memory, no process, or no seccomp where the file is no PNG.
 */
bool image_read(Image *image, const char *path, int channels, Err *err);

/*
 * Read the first of the *count files `paths`, and as many of those behind it as are decoded
 * together, which is much faster where they are small; *count becomes their number, 1 or more. On
 * false there is none, and *count is which file is bad, all before it being good.
 */
bool image_read_some(Image *images, int *count, const char *const *paths, int channels, Err *err);

/* `out` = the largest part in the middle of `image` that has the shape height : width, resized to
 * height x width (Mitchell's filter to shrink, Catmull and Rom's to enlarge). `out` is allocated.
 * ERR_USAGE if one of the two is not possible. */
bool image_fit(Image *out, const Image *image, int height, int width, Err *err);

/* `out` = `image` in the middle of height x width black pixels, an odd one more below and to the
 * right. The image must not be larger. `out` is allocated. */
bool image_pad(Image *out, const Image *image, int height, int width, Err *err);

/* The PNG file of `image`, with `texts` [count] (NULL if count is 0) before its pixels; free()
 * *bytes. ERR_FAILED if there is no memory. */
bool image_encode(uint8_t **bytes, size_t *size, const Image *image, const PngText *texts,
                  int count, Err *err);

/* The same into the file `path`, which at any instant is whole or as it was. */
bool image_write(const char *path, const Image *image, const PngText *texts, int count, Err *err);

#endif
