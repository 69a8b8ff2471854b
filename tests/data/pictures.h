/*
 * Image files for tests: tests/fixtures/images, and some that are made here.
 */
#ifndef DDPM_TESTS_DATA_PICTURES_H
#define DDPM_TESTS_DATA_PICTURES_H

#include "data/decode.h"

/* A file of 21 rows of 37 pixels, and the CRC-32 of its pixels as bytes, red, green and blue or
 * grey, as stb_image decodes them. Progressive and interlaced files hold what the others do. */
typedef struct {
    const char *name;
    int own; /* its channels, without alpha */
    uint32_t own_crc, grey_crc;
} Picture;
enum { PICTURES = 14, PICTURE_HEIGHT = 21, PICTURE_WIDTH = 37 };
extern const Picture PICTURE[PICTURES];

/* The file, whose path and bytes are to be given to free(). */
ImageFile pictures_read(int index, int channels);
void pictures_release(ImageFile *file);

/* The CRC-32 behind a PNG chunk of `length` bytes made right; `chunk` is where its type begins. */
void pictures_mend_crc(uint8_t *chunk, size_t length);

/* A PNG as its header says it: bits a channel, colour type (0 grey, 2 colour, 3 palette, 4 grey and
 * alpha, 6 colour and alpha); with a tRNS chunk if `transparent`. */
typedef struct {
    int depth, colour;
    bool interlaced, transparent;
} PngKind;

/* One that is black, `side` by `side`. The caller frees it. */
uint8_t *pictures_large(size_t *size, unsigned side, PngKind kind);

/* 71 bytes of a PNG of one pixel, whose pixels are to be 2^31 - 16 bytes. */
enum { PICTURES_BOMB = 71 };
void pictures_bomb(uint8_t bytes[PICTURES_BOMB]);

#endif
