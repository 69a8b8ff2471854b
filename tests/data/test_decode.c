#include "data/decode.h"

#include "base/file.h"
#include "base/parallel.h"
#include "base/zip.h"
#include "data/stb_decode.h"
#include "pictures.h"
#include "refuse.h"
#include "support.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

static void assert_picture(const Image *image, const Picture *p, int wanted)
{
    assert_int_equal(image->height, PICTURE_HEIGHT);
    assert_int_equal(image->width, PICTURE_WIDTH);
    assert_int_equal(image->channels, wanted > 0 ? wanted : p->own);
    uint32_t crc = zip_crc32(image->pixels, image_bytes(image));
    if (image->channels == p->own)
        assert_int_equal(crc, p->own_crc);
    else if (image->channels == 1)
        assert_int_equal(crc, p->grey_crc);
}

static void all_kinds_are_decoded_alone(void **state)
{
    (void)state;
    for (int i = 0; i < PICTURES; i++)
        for (int channels = 0; channels <= 3; channels += channels + 1) {
            ImageFile file = pictures_read(i, channels);
            Image image = {0};
            int count = 1;
            Err err;
            if (!decode_images(&image, &count, &file, &err)) fail_msg("%s", err.text);
            assert_int_equal(count, 1);
            assert_picture(&image, &PICTURE[i], channels);
            image_release(&image);
            pictures_release(&file);
        }
}

static void all_kinds_are_decoded_together(void **state)
{
    (void)state;
    ImageFile files[PICTURES];
    Image images[PICTURES] = {0};
    int count = PICTURES;
    Err err;
    for (int i = 0; i < PICTURES; i++) files[i] = pictures_read(i, i % 3 == 2 ? 3 : i % 3);
    if (!decode_images(images, &count, files, &err)) fail_msg("%s", err.text);
    assert_int_equal(count, PICTURES);
    for (int i = 0; i < PICTURES; i++) {
        assert_picture(&images[i], &PICTURE[i], files[i].channels);
        image_release(&images[i]);
        pictures_release(&files[i]);
    }
}

/* ---- large ones ---- */

static ImageFile large_png(int side, const char *path)
{
    Image image;
    uint8_t *bytes;
    size_t size;
    Err err;
    if (!image_new(&image, side, side, 1, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < side * side; i++) image.pixels[i] = (uint8_t)(i % 251);
    if (!image_encode(&bytes, &size, &image, NULL, 0, &err)) fail_msg("%s", err.text);
    image_release(&image);
    return (ImageFile){strdup(path), bytes, size, 1};
}

/* What has no room with the others has it alone, wherever it stands. */
static void large_images_are_decoded_alone(void **state)
{
    (void)state;
    enum { FILES = 5, SIDE = 2000 };
    static const int expected[] = {2, 1, 2};
    ImageFile files[FILES];
    Err err;
    for (int i = 0; i < FILES; i++)
        files[i] = i == 2 ? large_png(SIDE, "large.png") : pictures_read(i, 1);
    for (int first = 0, call = 0, count; first < FILES; first += count, call++) {
        Image images[FILES] = {0};
        count = FILES - first;
        if (!decode_images(images, &count, files + first, &err)) fail_msg("%s", err.text);
        assert_int_equal(count, expected[call]);
        for (int i = 0; i < count; i++) {
            if (first + i == 2) {
                assert_int_equal(images[i].height, SIDE);
                for (int k = 0; k < SIDE * SIDE; k++)
                    if (images[i].pixels[k] != k % 251) fail_msg("pixel %d", k);
            } else {
                assert_picture(&images[i], &PICTURE[first + i], 1);
            }
            image_release(&images[i]);
        }
    }
    for (int i = 0; i < FILES; i++) pictures_release(&files[i]);
}

/* ---- decoders that go wrong ---- */

/* What a decoder that has been taken over may say. */
static const struct {
    const char *path;
    StbResult says;
} LIES[] = {
    {"no status", {.status = 77, .height = 1, .width = 1, .channels = 3}},
    {"nothing", {0}},
    {"negative", {.status = STB_DECODED, .height = -1, .width = -1, .channels = 3}},
    {"no rows", {.status = STB_DECODED, .height = 0, .width = 1, .channels = 3}},
    {"too large", {.status = STB_DECODED, .height = 1 << 30, .width = 1 << 30, .channels = 3}},
    {"too large to be there",
     {.status = STB_DECODED, .height = 8000, .width = 8000, .channels = 3}},
    {"other channels", {.status = STB_DECODED, .height = 1, .width = 1, .channels = 1}},
    {"many channels", {.status = STB_DECODED, .height = 1, .width = 1, .channels = 1 << 30}},
    {"elsewhere",
     {.status = STB_DECODED, .height = 1, .width = 1, .channels = 3, .pixels = 1u << 31}},
    {"before",
     {.status = STB_DECODED, .height = 1, .width = 1, .channels = 3, .pixels = (uint64_t)-4}},
    {"never enough", {.status = STB_NO_ROOM, .height = 1, .width = 1}},
    {"room for what cannot be", {.status = STB_NO_ROOM, .height = 1 << 30, .width = 1 << 30}},
};
enum { LIARS = sizeof LIES / sizeof *LIES };

static void write_nowhere(void)
{
    int *volatile nowhere = (int *)64;
    *(volatile int *)nowhere = 1;
}

/* Every image is one white pixel, but of files whose names say what is to happen. */
static void misbehave(void *shared, size_t size, const void *input)
{
    const DecodeInput *all = input;
    uint8_t *arena = (uint8_t *)shared + DECODE_ARENA;
    assert_true(size > DECODE_ARENA);
    for (int i = 0; i < all->count; i++) {
        StbResult *r = (StbResult *)shared + i;
        const char *path = all->files[i].path;
        if (strcmp(path, "crash") == 0) write_nowhere();
        while (strcmp(path, "endless") == 0) *(volatile uint8_t *)arena = 1;
        if (strcmp(path, "call") == 0) getppid();
        memset(arena, 255, 3);
        *r = (StbResult){.status = STB_DECODED, .height = 1, .width = 1, .channels = 3};
        for (int k = 0; k < LIARS; k++)
            if (strcmp(path, LIES[k].path) == 0) *r = LIES[k].says;
        if (strcmp(path, "many words") == 0) {
            r->status = STB_DAMAGED;
            memset(r->reason, 'x', STB_REASON);
        }
        if (r->status != STB_DECODED) return;
    }
}

enum { FOUR = 4 };

/* Of four files the third is `path`: it is named, be they decoded together or it alone. */
static void assert_named(const char *path, const char *says)
{
    static const Decoder decoder = {misbehave, 1};
    ImageFile files[FOUR];
    Image images[FOUR];
    Err err;
    for (int i = 0; i < FOUR; i++) files[i] = (ImageFile){"good", (const uint8_t *)"BM", 2, 3};
    files[2].path = path;
    int bad = 0, count = FOUR, calls = 0;
    for (; decode_images_by(&decoder, images, &count, files + bad, &err); calls++) {
        for (int i = 0; i < count; i++) {
            assert_int_equal(images[i].pixels[0], 255);
            image_release(&images[i]);
        }
        bad += count;
        assert_true(bad < 3);
        count = FOUR - bad;
    }
    assert_int_equal(bad + count, 2);
    assert_true(calls <= 2);
    assert_int_equal(err.kind, ERR_DATA);
    size_t length = strlen(path);
    if (strncmp(err.text, path, length) != 0 || err.text[length] != ':' || !strstr(err.text, says))
        fail_msg("%s: says: %s\n not: %s", path, err.text, says);
}

static void what_a_decoder_does_names_the_file(void **state)
{
    (void)state;
    assert_named("crash", "the decoder crashed (signal 11): damaged image");
    assert_named("endless", "more than 1 s");
    char words[STB_REASON + 8] = "image (";
    memset(words + 7, 'x', STB_REASON - 1);
    strcpy(words + 7 + STB_REASON - 1, ")");
    assert_named("many words", words);
}

static void a_decoder_that_calls_the_system_is_ended(void **state)
{
    (void)state;
    test_need_walls();
    assert_named("call", "the decoder crashed (signal ");
}

static void what_a_decoder_says_is_checked(void **state)
{
    (void)state;
    for (int i = 0; i < LIARS; i++) assert_named(LIES[i].path, "the decoder went astray");
}

/* ---- memory ---- */

/* What the threads' decoders count together, beside the boxes that they have alone. */
typedef struct {
    atomic_int now, most, large;
} Crowd;

/* Asks for a large arena, in which it then stays for a while. */
static void take_a_while(void *shared, size_t size, const void *input)
{
    enum { SIDE = 2000 };
    const DecodeInput *all = input;
    Crowd *crowd = (Crowd *)(uintptr_t)all->files->bytes;
    StbResult *r = shared;
    *r = (StbResult){.status = STB_NO_ROOM, .height = SIDE, .width = SIDE};
    if (size < stb_decode_room(SIDE, SIDE, all->files->bytes, all->files->size)) return;
    int now = atomic_fetch_add(&crowd->now, 1) + 1;
    if (now > atomic_load(&crowd->most)) atomic_store(&crowd->most, now);
    for (int i = 0; i < 30000000; i++) ((volatile uint8_t *)shared)[DECODE_ARENA] = 255;
    atomic_fetch_add(&crowd->large, 1);
    atomic_fetch_sub(&crowd->now, 1);
    *r = (StbResult){.status = STB_DECODED, .height = 1, .width = 1, .channels = 1};
}

static void large_arenas_come_one_after_the_other(void **state)
{
    (void)state;
    enum { FILES = 8 };
    static const Decoder decoder = {take_a_while, 30};
    Crowd *crowd =
        mmap(NULL, sizeof *crowd, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(crowd != MAP_FAILED);
    int decoded = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : decoded) num_threads(4)
    for (int i = 0; i < FILES; i++) {
        ImageFile file = {"large.bmp", (const uint8_t *)crowd, sizeof *crowd, 1};
        Image image = {0};
        int count = 1;
        Err err;
        decoded += decode_images_by(&decoder, &image, &count, &file, &err);
        image_release(&image);
    }
    assert_int_equal(decoded, FILES);
    assert_int_equal(atomic_load(&crowd->large), FILES);
    assert_int_equal(atomic_load(&crowd->most), 1);
    munmap(crowd, sizeof *crowd);
}

/* A file of some MiB, whose arena would be large, is left to be decoded alone. */
static void long_files_are_not_decoded_with_others(void **state)
{
    (void)state;
    enum { LONG = 40 << 20, FILES = 3 };
    ImageFile files[FILES];
    Image images[FILES];
    int count = FILES;
    Err err;
    for (int i = 0; i < FILES; i++) files[i] = pictures_read(i, 1);
    uint8_t *bytes = calloc(LONG, 1);
    assert_non_null(bytes);
    free((void *)(uintptr_t)files[2].bytes);
    files[2].bytes = bytes, files[2].size = LONG;
    assert_true(decode_images(images, &count, files, &err));
    assert_int_equal(count, 2);
    for (int i = 0; i < 2; i++) image_release(&images[i]);
    count = 1;
    assert_false(decode_images(images, &count, files + 2, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "cannot be read as PNG"));
    for (int i = 0; i < FILES; i++) pictures_release(&files[i]);
}

/* The largest image that may be, where there is no such memory. */
static void ask_for_much(void *shared, size_t size, const void *input)
{
    (void)size, (void)input;
    *(StbResult *)shared = (StbResult){.status = STB_NO_ROOM, .height = 8192, .width = 8192};
}

static bool is_refused_before_it_is_taken(void)
{
    static const Decoder decoder = {ask_for_much, 1};
    ImageFile file = {"much", (const uint8_t *)"??", 2, 3}; /* of any kind */
    Image image;
    int count = 1;
    Err err;
    return test_limit_memory((size_t)1 << 30) &&
           !decode_images_by(&decoder, &image, &count, &file, &err) && err.kind == ERR_FAILED &&
           strstr(err.text, "much: decoding: needs ") && strstr(err.text, "MiB of memory");
}

static void arenas_are_compared_with_the_machine(void **state)
{
    (void)state;
    if (SANITIZED) skip();
    assert_true(test_in_child(is_refused_before_it_is_taken));
}

/* ---- damaged files ---- */

/* JPEGs and BMPs carry no checksum: pixels, or an error that names the file. */
static void damaged_files_are_errors_or_pixels(void **state)
{
    (void)state;
    int errors = 0;
    for (int i = 0; i < PICTURES; i++) {
        ImageFile file = pictures_read(i, 3);
        bool png = png_is(file.bytes, file.size);
        for (size_t cut = 1; cut < file.size; cut += png ? 100 : 50) {
            ImageFile less = {"cut", file.bytes, cut, 3};
            Image image = {0};
            int count = 1;
            Err err;
            if (decode_images(&image, &count, &less, &err)) {
                assert_false(png);
                assert_int_equal(image_bytes(&image), PICTURE_HEIGHT * PICTURE_WIDTH * 3);
                image_release(&image);
                continue;
            }
            assert_int_equal(err.kind, ERR_DATA);
            assert_int_equal(strncmp(err.text, "cut: ", 5), 0);
            assert_null(image.pixels);
            errors++;
        }
        pictures_release(&file);
    }
    assert_true(errors > 100);
}

/* Bytes of JPEGs and BMPs changed by chance; whatever the decoder makes of it, we go on. */
static void changed_files_are_errors_or_pixels(void **state)
{
    (void)state;
    uint32_t random = 1;
    int decoded = 0, refused = 0;
    for (int round = 0; round < 40; round++)
        for (int i = 0; i < PICTURES; i++) {
            ImageFile file = pictures_read(i, 3);
            uint8_t *bytes = (uint8_t *)(uintptr_t)file.bytes;
            for (int k = 0; !png_is(bytes, file.size) && k <= round % 8; k++) {
                random = random * 1664525 + 1013904223;
                bytes[2 + (random >> 8) % (file.size - 2)] = (uint8_t)(random >> 3);
            }
            Image image = {0};
            int count = 1;
            Err err;
            bool done = decode_images(&image, &count, &file, &err);
            assert_true(done || (err.kind == ERR_DATA && strstr(err.text, file.path) == err.text));
            decoded += done, refused += !done;
            image_release(&image);
            pictures_release(&file);
        }
    assert_true(decoded > 100 && refused > 50);
}

/* Its length is that of no file; and if it were, there would be no such memory. */
static void a_small_file_that_asks_for_much_is_damaged(void **state)
{
    (void)state;
    uint8_t bytes[PICTURES_BOMB];
    pictures_bomb(bytes);
    Image image;
    int count = 1;
    Err err;
    assert_false(
        decode_images(&image, &count, &(ImageFile){"bomb.png", bytes, sizeof bytes, 3}, &err));
    assert_int_equal(count, 0);
    assert_string_equal(err.text, "bomb.png: damaged image (cut short, or a checksum is wrong)");
}

/* ---- other systems ---- */

static bool png_only(void)
{
    if (!test_refuse_seccomp()) return false;
    for (int i = 0; i < PICTURES; i++) {
        ImageFile file = pictures_read(i, 3);
        Image image = {0};
        int count = 1;
        Err err;
        bool png = strstr(file.path, ".png"), done = decode_images(&image, &count, &file, &err);
        bool refused = !done && err.kind == ERR_FAILED && strstr(err.text, file.path) &&
                       strstr(err.text, "seccomp") && strstr(err.text, "make it a PNG");
        if (done != png || refused == png) return false;
        image_release(&image);
        pictures_release(&file);
    }
    return true;
}

/* Together with others that are not, PNGs are decoded, up to the first that is none. */
static bool png_only_in_a_folder(void)
{
    static const int kinds[] = {5, 6, 8, 7};
    ImageFile files[FOUR];
    Image images[FOUR];
    int count = FOUR;
    Err err;
    for (int i = 0; i < FOUR; i++) files[i] = pictures_read(kinds[i], 3);
    bool named = test_refuse_seccomp() && !decode_images(images, &count, files, &err) &&
                 count == 2 && strstr(err.text, "progressive.jpg");
    for (int i = 0; i < FOUR; i++) pictures_release(&files[i]);
    return named;
}

static bool all_kinds_in_a_container(void)
{
    ImageFile file = pictures_read(8, 3);
    Image image;
    int count = 1;
    Err err;
    bool done = test_have_filter() && decode_images(&image, &count, &file, &err);
    if (done) image_release(&image);
    pictures_release(&file);
    return done;
}

static void other_systems(void **state)
{
    (void)state;
    test_need_walls();
    assert_true(test_in_child(png_only));
    assert_true(test_in_child(png_only_in_a_folder));
    assert_true(test_in_child(all_kinds_in_a_container));
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_decoded_alone),
        cmocka_unit_test(all_kinds_are_decoded_together),
        cmocka_unit_test(large_images_are_decoded_alone),
        cmocka_unit_test(what_a_decoder_does_names_the_file),
        cmocka_unit_test(a_decoder_that_calls_the_system_is_ended),
        cmocka_unit_test(what_a_decoder_says_is_checked),
        cmocka_unit_test(large_arenas_come_one_after_the_other),
        cmocka_unit_test(long_files_are_not_decoded_with_others),
        cmocka_unit_test(arenas_are_compared_with_the_machine),
        cmocka_unit_test(damaged_files_are_errors_or_pixels),
        cmocka_unit_test(changed_files_are_errors_or_pixels),
        cmocka_unit_test(a_small_file_that_asks_for_much_is_damaged),
        cmocka_unit_test(other_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
