/*
 * stb_image, from memory to memory: PNG, JPEG and BMP files become pixels in an arena that the
 * caller gives. No file, no allocation, no call to the system and nothing that is kept, so that it
 * can run behind seccomp's walls (base/sandbox.h); what comes back from there is not to be trusted.
 */
#ifndef DDPM_DATA_STB_DECODE_H
#define DDPM_DATA_STB_DECODE_H

#include <stddef.h>
#include <stdint.h>

enum { STB_MAX_PIXELS = 1 << 26, STB_REASON = 64 };

typedef enum {
    STB_DECODED = 1,
    STB_UNKNOWN,   /* no image, or none of these three formats */
    STB_TOO_LARGE, /* more than STB_MAX_PIXELS are stated */
    STB_NO_ROOM,   /* the arena is smaller than stb_decode_room says */
    STB_DAMAGED
} StbStatus;

typedef struct {
    int32_t status;          /* StbStatus */
    int32_t height, width;   /* of all but STB_UNKNOWN */
    int32_t channels;        /* 1: grey, 3: red, green, blue; of STB_DECODED */
    uint64_t pixels;         /* where in the arena [height,width,channels] bytes begin */
    char reason[STB_REASON]; /* stb's words, of STB_UNKNOWN and STB_DAMAGED */
} StbResult;

/* The arena that a good file takes at most, by the kind that its first bytes tell; where `bytes` is
 * NULL, one of `size` bytes of any kind. */
uint64_t stb_decode_room(int height, int width, const uint8_t *bytes, size_t size);

/* Decode `bytes` [size] into `channels` 1 or 3, or 0 for the file's own; alpha is dropped, 16 bits
 * are cut to 8. `arena` is [room], 16-byte aligned, at least stb_decode_room(0, 0, bytes, size);
 * what is in it makes no difference. One call at a time in a process. */
void stb_decode(StbResult *result, void *arena, size_t room, const uint8_t *bytes, size_t size,
                int channels);

#endif
