#include "data/stb_decode.h"

#include "base/zip.h"
#include "pictures.h"
#include "support.h"

enum { ROOM = 1 << 20 };

static void *new_arena(int filled)
{
    void *arena = aligned_alloc(64, ROOM);
    assert_non_null(arena);
    return memset(arena, filled, ROOM);
}

static StbResult decode(void *arena, size_t room, const ImageFile *file)
{
    StbResult result;
    memset(&result, 0xEE, sizeof result);
    stb_decode(&result, arena, room, file->bytes, file->size, file->channels);
    return result;
}

static void assert_decoded(const StbResult *r, const uint8_t *arena, const Picture *p, int wanted)
{
    int channels = wanted > 0 ? wanted : p->own;
    size_t pixels = PICTURE_HEIGHT * PICTURE_WIDTH;
    assert_int_equal(r->status, STB_DECODED);
    assert_int_equal(r->height, PICTURE_HEIGHT);
    assert_int_equal(r->width, PICTURE_WIDTH);
    assert_int_equal(r->channels, channels);
    assert_true(r->pixels <= ROOM - pixels * (size_t)channels);
    const uint8_t *at = arena + r->pixels;
    if (channels == p->own || channels == 1) {
        uint32_t crc = channels == p->own ? p->own_crc : p->grey_crc;
        assert_int_equal(zip_crc32(at, pixels * (size_t)channels), crc);
    } else {
        for (size_t i = 0; i < pixels; i++)
            assert_true(at[3 * i] == at[3 * i + 1] && at[3 * i] == at[3 * i + 2]);
    }
}

static void all_kinds_are_decoded(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE);
    for (int i = 0; i < PICTURES; i++)
        for (int channels = 0; channels <= 3; channels += channels + 1) {
            ImageFile file = pictures_read(i, channels);
            StbResult r = decode(arena, ROOM, &file);
            assert_decoded(&r, arena, &PICTURE[i], channels);
            pictures_release(&file);
        }
    free(arena);
}

/* The room that is stated is enough, and where there is less nothing is tried. */
static void room_is_known_beforehand(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE);
    for (int i = 0; i < PICTURES; i++) {
        ImageFile file = pictures_read(i, 3);
        uint64_t room = stb_decode_room(PICTURE_HEIGHT, PICTURE_WIDTH, file.bytes, file.size);
        assert_true(room < ROOM);
        assert_int_equal(decode(arena, room, &file).status, STB_DECODED);
        StbResult r = decode(arena, room - 1, &file);
        assert_int_equal(r.status, STB_NO_ROOM);
        assert_int_equal(r.height, PICTURE_HEIGHT);
        assert_int_equal(r.width, PICTURE_WIDTH);
        pictures_release(&file);
    }
    free(arena);
    assert_true(stb_decode_room(1 << 13, 1 << 13, NULL, 0) < (uint64_t)3 << 30);
    assert_true(stb_decode_room(1, 1 << 24, NULL, 0) < (uint64_t)1 << 30);
}

static void assert_has_room(PngKind kind)
{
    enum { SIDE = 1024 };
    ImageFile file = {.path = "large", .channels = 3};
    uint8_t *bytes = pictures_large(&file.size, SIDE, kind);
    file.bytes = bytes;
    size_t room = stb_decode_room(SIDE, SIDE, file.bytes, file.size);
    assert_true(room <= stb_decode_room(SIDE, SIDE, NULL, file.size));
    void *arena = aligned_alloc(64, (room + 63) / 64 * 64);
    assert_non_null(arena);
    StbResult r = decode(arena, room, &file);
    if (r.status != STB_DECODED)
        fail_msg("%d bits, colour type %d, %d, %d: %s", kind.depth, kind.colour, kind.interlaced,
                 kind.transparent, r.reason);
    assert_int_equal(r.width, SIDE);
    free(arena), free(bytes);
}

/* Where the pixels are many, next to nothing is left of the room. */
static void each_kind_of_png_has_room(void **state)
{
    (void)state;
    static const int colours[] = {0, 2, 3, 4, 6}, depths[] = {1, 2, 4, 8, 16};
    for (int c = 0; c < 5; c++)
        for (int d = 0; d < 5; d++) {
            bool possible = colours[c] == 0 || depths[d] == 8 ||
                            (colours[c] == 3 ? depths[d] < 8 : depths[d] == 16);
            for (int i = 0; possible && i < 4; i++)
                assert_has_room((PngKind){depths[d], colours[c], i % 2, i / 2 && colours[c] < 4});
        }
}

/* Cut PNGs, where stb is not shown by their checksums that they are: errors or pixels, and the same
 * whatever was in the arena. */
static void what_was_in_the_arena_makes_no_difference(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE), *other = new_arena(0);
    int decoded = 0;
    for (int i = 0; i < PICTURES; i++) {
        ImageFile file = pictures_read(i, 3);
        for (size_t cut = 0; strstr(file.path, ".png") && cut < file.size; cut += 7) {
            ImageFile less = {file.path, file.bytes, cut, 3};
            StbResult a = decode(arena, ROOM, &less), b = decode(other, ROOM, &less);
            assert_memory_equal(&a, &b, sizeof a);
            decoded += a.status == STB_DECODED;
            if (a.status == STB_DECODED)
                assert_memory_equal(arena + a.pixels, other + b.pixels,
                                    PICTURE_HEIGHT * PICTURE_WIDTH * 3);
        }
        pictures_release(&file);
    }
    assert_true(decoded < 10);
    free(arena), free(other);
}

/* A progressive JPEG without its scans is decoded from what the memory for them holds. */
static void pixels_that_are_left_out_are_none_of_before(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE), *other = new_arena(0);
    for (int i = 0; i < PICTURES; i++) {
        ImageFile file = pictures_read(i, 3);
        uint8_t *bytes = (uint8_t *)(uintptr_t)file.bytes;
        size_t scan = 2;
        while (scan + 2 < file.size && memcmp(bytes + scan, "\xff\xda", 2) != 0) scan++;
        if (strstr(file.path, "progressive.jpg")) {
            memcpy(bytes + scan, "\xff\xd9", 2);
            file.size = scan + 2;
            StbResult a = decode(arena, ROOM, &file), b = decode(other, ROOM, &file);
            assert_int_equal(a.status, STB_DECODED);
            assert_memory_equal(&a, &b, sizeof a);
            assert_memory_equal(arena + a.pixels, other + b.pixels,
                                PICTURE_HEIGHT * PICTURE_WIDTH * 3);
        }
        pictures_release(&file);
    }
    free(arena), free(other);
}

static void every_failure_has_its_reason(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE);
    for (int i = 0; i < PICTURES; i++) {
        ImageFile file = pictures_read(i, 3);
        for (size_t cut = 0; cut < file.size; cut += 10) {
            StbResult r = decode(arena, ROOM, &(ImageFile){"", file.bytes, cut, 3});
            if (r.status == STB_DECODED) continue;
            assert_true(r.status == STB_DAMAGED || r.status == STB_UNKNOWN);
            assert_true(r.reason[0] != 0);
            assert_null(strstr(r.reason, "png sig"));
        }
        pictures_release(&file);
    }
    free(arena);
}

static void a_small_file_does_not_get_much_memory(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE), bytes[PICTURES_BOMB];
    pictures_bomb(bytes);
    StbResult r = decode(arena, ROOM, &(ImageFile){"bomb", bytes, sizeof bytes, 3});
    assert_int_equal(r.status, STB_DAMAGED);
    assert_string_equal(r.reason, "outofmem");
    free(arena);
}

static void what_is_no_image_is_told(void **state)
{
    (void)state;
    uint8_t *arena = new_arena(0xEE), bytes[PICTURES_BOMB];
    static const uint8_t side[] = {0, 0, 0x23, 0x28};
    StbResult r = decode(arena, ROOM, &(ImageFile){"", (const uint8_t *)"no image", 8, 3});
    assert_int_equal(r.status, STB_UNKNOWN);
    assert_string_equal(r.reason, "unknown image type");
    assert_int_equal(decode(arena, ROOM, &(ImageFile){"", bytes, 0, 3}).status, STB_UNKNOWN);
    pictures_bomb(bytes);
    memcpy(bytes + 16, side, 4), memcpy(bytes + 20, side, 4);
    r = decode(arena, ROOM, &(ImageFile){"", bytes, sizeof bytes, 3});
    assert_int_equal(r.status, STB_TOO_LARGE);
    assert_int_equal(r.height, 9000);
    assert_int_equal(r.width, 9000);
    free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_decoded),
        cmocka_unit_test(room_is_known_beforehand),
        cmocka_unit_test(each_kind_of_png_has_room),
        cmocka_unit_test(what_was_in_the_arena_makes_no_difference),
        cmocka_unit_test(pixels_that_are_left_out_are_none_of_before),
        cmocka_unit_test(every_failure_has_its_reason),
        cmocka_unit_test(a_small_file_does_not_get_much_memory),
        cmocka_unit_test(what_is_no_image_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
