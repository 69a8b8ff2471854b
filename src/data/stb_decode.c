/*
 * The one file with stb's decoder in it. Its memory is a stack that is not popped but at its top:
 * stb makes each stage of an image before it frees the one before, so that a heap would not hold
 * much less. The macros that stb has for memory take no argument that could say which stack, so
 * that one variable has to, for the length of a call; stb keeps its words in one too.
 *
 * Blocks are zeros at first: what a damaged file leaves unwritten is not what was there before.
 * Where AddressSanitizer looks, all is forbidden but the blocks that were handed out, and a gap is
 * left between them.
 */
#include "data/stb_decode.h"

#include "data/png.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

typedef struct {
    uint8_t *base;
    size_t size, used;
    size_t last; /* where the block at the top begins */
} Stack;

static Stack *stack;

#ifndef __has_feature /* clang's way to say it */
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
enum { ALIGN = 16, GAP = 32 };
#else
enum { ALIGN = 16, GAP = 0 };
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* `size` bytes from `at` on become the block at the top, of which the first `old` are as they are
 * and the others zero. */
static void *put_on_top(size_t at, size_t old, size_t size)
{
    if (at > stack->size || size > stack->size - at) return NULL;
    uint8_t *block = stack->base + at;
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    if (size > old) memset(block + old, 0, size - old);
    stack->last = at;
    stack->used = at + size;
    return block;
}

static void *take(size_t size)
{
    return put_on_top((stack->used + GAP + ALIGN - 1) / ALIGN * ALIGN, 0, size);
}

static void give_back(void *block)
{
    if (!block || (uint8_t *)block != stack->base + stack->last) return;
    ASAN_POISON_MEMORY_REGION(block, stack->used - stack->last);
    stack->used = stack->last;
}

static void *take_more(void *block, size_t old, size_t size)
{
    if (block && (uint8_t *)block == stack->base + stack->last)
        return put_on_top(stack->last, old, size);
    void *copy = take(size);
    if (copy && block) memcpy(copy, block, old < size ? old : size);
    return copy;
}

/* What is not compiled in cannot be wrong. A failed assertion is a crash. */
#define STBI_MALLOC take
#define STBI_REALLOC_SIZED take_more
#define STBI_FREE give_back
#define STBI_ASSERT(x) ((x) ? (void)0 : __builtin_trap())
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
/* Told at the end of the file, where a pop would have ended it. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>

/*
 * The most bytes a pixel that the stages of each kind of file take, as all of them lie in the arena
 * at once. PNG: the inflated file, twice where it is longer than expected, as an interlaced one's
 * is; the channels with one more for transparency, and of an interlaced one half of them for a
 * pass; a palette's colours; the channels that are wanted, and as bytes; 3 to spare. JPEG: up to 4
 * planes of 3 bytes, and what is wanted. BMP: 4 channels, and what is wanted.
 */
enum { MOST_EACH = 40, JPEG_EACH = 16, BMP_EACH = 8 };

static uint64_t png_each(int depth, int colour, bool interlaced)
{
    static const uint64_t all[] = {1, 0, 3, 1, 2, 0, 4}; /* channels */
    uint64_t channels = colour >= 0 && colour <= 6 ? all[colour] : 0, out = channels;
    if (channels == 0) return MOST_EACH;
    if (channels % 2 == 1) out++;
    uint64_t bytes = depth == 16 ? 2 : 1, twice = interlaced ? 2 : 1;
    uint64_t unpacked = twice * channels * bytes, made = out * bytes;
    if (interlaced) made += (made + 1) / 2;
    return unpacked + made + (colour == 3 ? 4 : 0) + 3 * bytes + (depth == 16 ? 3 : 0) + 3;
}

static uint64_t each_of(const uint8_t *bytes, size_t size)
{
    enum { PNG_HEADER = 29 };
    if (bytes && size >= PNG_HEADER && png_is(bytes, size) && memcmp(bytes + 12, "IHDR", 4) == 0)
        return png_each(bytes[24], bytes[25], bytes[28] != 0);
    if (bytes && size >= 2 && memcmp(bytes, "\xff\xd8", 2) == 0) return JPEG_EACH;
    if (bytes && size >= 2 && memcmp(bytes, "BM", 2) == 0) return BMP_EACH;
    return MOST_EACH;
}

/*
 * Besides pixels: the rows of a PNG begin with a byte each. JPEG's planes are in blocks of 32 x 32,
 * of sides of 16 bits. The compressed bytes of a PNG are gathered in a buffer that doubles.
 */
uint64_t stb_decode_room(int height, int width, const uint8_t *bytes, size_t size)
{
    enum { ROW = 2, PLANES = 12, BLOCK = 32, JPEG_SIDE = 65535, TABLES = 1 << 16 };
    uint64_t h = (uint64_t)height, w = (uint64_t)width;
    uint64_t sides = (h < JPEG_SIDE ? h : JPEG_SIDE) + (w < JPEG_SIDE ? w : JPEG_SIDE) + BLOCK;
    return each_of(bytes, size) * h * w + ROW * h + PLANES * BLOCK * sides + 2 * (uint64_t)size +
           TABLES;
}

/* Where stb fails without a word, its last one is that a JPEG or BMP is no PNG; and it names a
 * chunk by bytes of the file, which may be zeros. */
static void give_reason(StbResult *result, StbStatus status)
{
    const char *reason = stbi_failure_reason();
    result->status = status;
    if (!reason || !*reason || strcmp(reason, "bad png sig") == 0) reason = "no reason given";
    strncpy(result->reason, reason, STB_REASON - 1);
}

static void decode(StbResult *result, const uint8_t *bytes, int size, int channels)
{
    int own;
    if (!stbi_info_from_memory(bytes, size, &result->width, &result->height, &own)) {
        give_reason(result, STB_UNKNOWN);
        return;
    }
    result->status = STB_TOO_LARGE;
    if (result->height <= 0 || result->width <= 0 ||
        (int64_t)result->height * result->width > STB_MAX_PIXELS)
        return;
    result->status = STB_NO_ROOM;
    if (stb_decode_room(result->height, result->width, bytes, (size_t)size) > stack->size) return;
    result->channels = channels > 0 ? channels : own < 3 ? 1 : 3;
    uint8_t *pixels =
        stbi_load_from_memory(bytes, size, &result->width, &result->height, &own, result->channels);
    result->status = STB_DECODED;
    if (pixels)
        result->pixels = (uint64_t)(pixels - stack->base);
    else
        give_reason(result, STB_DAMAGED);
}

void stb_decode(StbResult *result, void *arena, size_t room, const uint8_t *bytes, size_t size,
                int channels)
{
    Stack own = {.base = arena, .size = room};
    *result = (StbResult){.status = STB_UNKNOWN};
    ASAN_POISON_MEMORY_REGION(arena, room);
    stack = &own;
    if (size <= INT_MAX) decode(result, bytes, (int)size, channels);
    stack = NULL;
    ASAN_UNPOISON_MEMORY_REGION(arena, room);
}
