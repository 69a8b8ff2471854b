/*
 * To start a process takes longer than to decode a small image, so that many share one. What they
 * do to each other in it is seen by how it ends: if not well, nothing of it is used, and each file
 * is decoded by a process that has seen no other. A file that took the decoder over and let it end
 * well could change the pixels of those beside it. What a child says of an image is whatever it
 * likes: it is checked before it is used.
 *
 * Only the decoder knows how much memory an image takes, by the size that the file states. A child
 * begins with an arena in which most have room, and a file that has not is decoded once more,
 * alone: of those whose arenas are large there is one at a time, over all threads.
 *
 * Without walls a PNG is decoded nevertheless, since nobody has found a fault in that part of stb
 * that its memory and its time do not bound; in a process of its own, since these two are still.
 */
#include "data/decode.h"

#include "base/memory.h"
#include "data/stb_decode.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

enum {
    SECONDS = 30,     /* the largest images take a tenth of it */
    FIRST_SIDE = 640, /* 16 MiB of address space */
    HELD = 64 << 20,
    LARGE = 64 << 20 /* bytes of an arena */
};

/* The pixels that are done are moved to the front of the arena. */
static void decode_by_stb(void *shared, size_t size, const void *input)
{
    const DecodeInput *all = input;
    StbResult *results = shared;
    uint8_t *arena = (uint8_t *)shared + DECODE_ARENA;
    size_t kept = 0;
    static_assert(DECODE_TOGETHER * sizeof *results <= DECODE_ARENA, "the arena is behind them");
    for (int i = 0; i < all->count; i++) {
        const ImageFile *file = &all->files[i];
        StbResult *r = &results[i];
        stb_decode(r, arena + kept, size - DECODE_ARENA - kept, file->bytes, file->size,
                   file->channels);
        if (r->status != STB_DECODED) return;
        size_t bytes = (size_t)r->height * (size_t)r->width * (size_t)r->channels;
        memmove(arena + kept, arena + kept + r->pixels, bytes);
        r->pixels = kept;
        kept += memory_round(bytes);
    }
}

/* ---- what the decoder did ---- */

static bool refuse_end(SandboxEnd end, int seconds, const char *path, Err *err)
{
    if (end.how == SANDBOX_TIME_OVER)
        return err_set(err, ERR_DATA, "%s: decoding took more than %d s: damaged image", path,
                       seconds);
    if (end.how == SANDBOX_MISSING)
        return err_set(err, ERR_FAILED,
                       "%s: is not PNG, and the decoder of other formats is run under seccomp "
                       "alone, which this system refuses (%s); make it a PNG",
                       path, strerror(end.code));
    if (end.how == SANDBOX_FAILED)
        return err_set(err, ERR_FAILED, "%s: there is no process to decode it in: %s", path,
                       strerror(end.code));
    return err_set(err, ERR_DATA, "%s: the decoder crashed (signal %d%s): damaged image", path,
                   end.code, end.code == SIGKILL ? ", or no memory" : "");
}

static bool is_astray(const char *path, Err *err)
{
    return err_set(err, ERR_DATA, "%s: damaged image (the decoder went astray)", path);
}

static bool is_possible_size(const StbResult *said)
{
    return said->height > 0 && said->width > 0 &&
           (int64_t)said->height * said->width <= STB_MAX_PIXELS;
}

static bool take_pixels(Image *image, const StbResult *said, const Sandbox *box,
                        const ImageFile *file, Err *err)
{
    Image copy;
    int channels = said->channels;
    bool wanted = file->channels == 0 ? channels == 1 || channels == 3 : channels == file->channels;
    if (!wanted || !is_possible_size(said)) return is_astray(file->path, err);
    size_t bytes = image_bytes(&(Image){said->height, said->width, channels, NULL});
    size_t room = box->size - DECODE_ARENA;
    if (bytes > room || said->pixels > room - bytes) return is_astray(file->path, err);
    if (!image_new(&copy, said->height, said->width, channels, err))
        return err_prefix(err, "%s", file->path);
    memcpy(copy.pixels, (const uint8_t *)box->shared + DECODE_ARENA + said->pixels, bytes);
    *image = copy;
    return true;
}

static bool take(Image *image, const StbResult *said, const Sandbox *box, const ImageFile *file,
                 Err *err)
{
    switch (said->status) {
    case STB_DECODED:
        return take_pixels(image, said, box, file, err);
    case STB_DAMAGED:
        return err_set(err, ERR_DATA, "%s: damaged image (%s)", file->path, said->reason);
    case STB_UNKNOWN:
        return err_set(err, ERR_DATA, "%s: cannot be read as PNG, JPEG or BMP (%s)", file->path,
                       said->reason);
    case STB_TOO_LARGE:
        return err_set(err, ERR_DATA,
                       "%s: %d x %d pixels, outside of the 1 to 2^26 that an image may have",
                       file->path, said->height, said->width);
    default:
        return is_astray(file->path, err);
    }
}

/* ---- alone ---- */

/* Run the decoder in a new box with an arena of `room`; the caller closes the box. */
static bool run(SandboxEnd *end, Sandbox *box, size_t room, const Decoder *decoder,
                const ImageFile *files, int count, Err *err)
{
    bool png = true;
    if (!sandbox_open(box, DECODE_ARENA + room, "decoding", err))
        return err_prefix(err, "%s", files->path);
    for (int i = 0; i < count; i++) png = png && png_is(files[i].bytes, files[i].size);
    *end = sandbox_run(box, decoder->work, &(DecodeInput){files, count}, decoder->seconds,
                       png ? SANDBOX_WALLS_IF_ANY : SANDBOX_WALLS);
    return true;
}

static bool decode_in(size_t room, Image *image, StbResult *said, const Decoder *decoder,
                      const ImageFile *file, Err *err)
{
    Sandbox box;
    SandboxEnd end;
    if (!run(&end, &box, room, decoder, file, 1, err)) return false;
    memcpy(said, box.shared, sizeof *said);
    said->reason[STB_REASON - 1] = 0;
    bool done = (end.how == SANDBOX_DONE || refuse_end(end, decoder->seconds, file->path, err)) &&
                take(image, said, &box, file, err);
    if (end.how != SANDBOX_DONE) said->status = STB_DAMAGED;
    sandbox_close(&box);
    return done;
}

static bool attempt(size_t room, Image *image, StbResult *said, const Decoder *decoder,
                    const ImageFile *file, Err *err)
{
    bool done;
    if (room < LARGE) return decode_in(room, image, said, decoder, file, err);
#pragma omp critical(decode_large)
    done = decode_in(room, image, said, decoder, file, err);
    return done;
}

/* The second arena has the copy of the pixels counted in, which is made while it is there. */
static bool decode_alone(Image *image, const Decoder *decoder, const ImageFile *file, Err *err)
{
    StbResult said = {0};
    size_t room = stb_decode_room(FIRST_SIDE, FIRST_SIDE, NULL, file->size);
    if (attempt(room, image, &said, decoder, file, err)) return true;
    if (said.status != STB_NO_ROOM || !is_possible_size(&said)) return false;
    room = stb_decode_room(said.height, said.width, file->bytes, file->size) +
           3 * (size_t)said.height * (size_t)said.width;
    return attempt(room, image, &said, decoder, file, err);
}

/* ---- together ---- */

static void release(Image *images, int count)
{
    for (int i = 0; i < count; i++) image_release(&images[i]);
}

/* How many from the first on were decoded; -1 if the child did not end well. */
static int decode_together(Image *images, const Decoder *decoder, const ImageFile *files, int count)
{
    Sandbox box;
    SandboxEnd end = {0};
    Err ignored;
    size_t bytes = 0;
    int done = 0;
    for (int i = 0; i < count; i++) bytes += files[i].size;
    size_t room = stb_decode_room(FIRST_SIDE, FIRST_SIDE, NULL, bytes);
    if (!run(&end, &box, room, decoder, files, count, &ignored)) return 0;
    const StbResult *results = box.shared;
    while (end.how == SANDBOX_DONE && done < count && results[done].status == STB_DECODED &&
           take_pixels(&images[done], &results[done], &box, &files[done], &ignored))
        done++;
    sandbox_close(&box);
    return end.how == SANDBOX_DONE ? done : -1;
}

/* As many as a small arena has room for, or one. */
static int count_together(const ImageFile *files, int count)
{
    size_t bytes = files->size;
    int together = 1;
    while (together < count && (bytes += files[together].size) < 2 * DECODE_BYTES) together++;
    return together;
}

static bool check_png(const ImageFile *file, Err *err)
{
    if (!png_is(file->bytes, file->size) || png_is_whole(file->bytes, file->size)) return true;
    return err_set(err, ERR_DATA, "%s: damaged image (cut short, or a checksum is wrong)",
                   file->path);
}

/* *count files, each by a child of its own; fewer where they come to much memory. */
static bool decode_each(const Decoder *decoder, Image *images, int *count, const ImageFile *files,
                        Err *err)
{
    size_t held = 0;
    int done = 0;
    while (done < *count && held < HELD) {
        if (!decode_alone(&images[done], decoder, &files[done], err)) {
            release(images, done);
            *count = done;
            return false;
        }
        held += image_bytes(&images[done++]);
    }
    *count = done;
    return true;
}

bool decode_images_by(const Decoder *decoder, Image *images, int *count, const ImageFile *files,
                      Err *err)
{
    int whole = 0, done = 0;
    *count = count_together(files, *count);
    while (whole < *count && check_png(&files[whole], err)) whole++;
    *count = whole;
    if (whole == 0) return false;
    if (whole > 1) done = decode_together(images, decoder, files, whole);
    if (done == 0) *count = 1;
    if (done > 0) *count = done;
    return done > 0 || decode_each(decoder, images, count, files, err);
}

bool decode_images(Image *images, int *count, const ImageFile *files, Err *err)
{
    static const Decoder stb = {decode_by_stb, SECONDS};
    return decode_images_by(&stb, images, count, files, err);
}
