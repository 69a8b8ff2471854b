#include "base/zip.h"

#include "base/file.h"
#include "support.h"

#include <stdio.h>

/* What Python's gzip and zipfile made: two gzip members of 100 bytes of TEXT each; an archive with
 * TEXT deflated as a.txt, "stored" stored as b.txt, nothing deflated as empty, and a comment. */
#define TWENTY "The quick brown fox "
static const char TEXT[] = TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY;
enum { TEXT_SIZE = sizeof TEXT - 1 };
static const unsigned char gzip_file[] = {
    31,  139, 8,   0,   0,   0,   0,   0,   2,   3,   11,  201, 72, 85,  40,  44, 205, 76,
    206, 86,  72,  42,  202, 47,  207, 83,  72,  203, 175, 80,  8,  161, 178, 24, 0,   140,
    155, 202, 110, 100, 0,   0,   0,   31,  139, 8,   0,   0,   0,  0,   0,   2,  3,   11,
    201, 72,  85,  40,  44,  205, 76,  206, 86,  72,  42,  202, 47, 207, 83,  72, 203, 175,
    80,  8,   161, 178, 24,  0,   140, 155, 202, 110, 100, 0,   0,  0};
static const unsigned char zip_file[] = {
    80,  75,  3,   4,   20,  0,   0,  0,   8,  0,   0,   0,   33,  0,   126, 244, 123, 76,  25,
    0,   0,   0,   200, 0,   0,   0,  5,   0,  0,   0,   97,  46,  116, 120, 116, 11,  201, 72,
    85,  40,  44,  205, 76,  206, 86, 72,  42, 202, 47,  207, 83,  72,  203, 175, 80,  8,   25,
    130, 98,  0,   80,  75,  3,   4,  20,  0,  0,   0,   0,   0,   0,   0,   33,  0,   11,  249,
    67,  86,  6,   0,   0,   0,   6,  0,   0,  0,   5,   0,   0,   0,   98,  46,  116, 120, 116,
    115, 116, 111, 114, 101, 100, 80, 75,  3,  4,   20,  0,   0,   0,   8,   0,   0,   0,   33,
    0,   0,   0,   0,   0,   2,   0,  0,   0,  0,   0,   0,   0,   5,   0,   0,   0,   101, 109,
    112, 116, 121, 3,   0,   80,  75, 1,   2,  20,  3,   20,  0,   0,   0,   8,   0,   0,   0,
    33,  0,   126, 244, 123, 76,  25, 0,   0,  0,   200, 0,   0,   0,   5,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,  128, 1,  0,   0,   0,   0,   97,  46,  116, 120, 116, 80,
    75,  1,   2,   20,  3,   20,  0,  0,   0,  0,   0,   0,   0,   33,  0,   11,  249, 67,  86,
    6,   0,   0,   0,   6,   0,   0,  0,   5,  0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   128, 1,   60,  0,   0,   0,  98,  46, 116, 120, 116, 80,  75,  1,   2,   20,  3,   20,
    0,   0,   0,   8,   0,   0,   0,  33,  0,  0,   0,   0,   0,   2,   0,   0,   0,   0,   0,
    0,   0,   5,   0,   0,   0,   0,  0,   0,  0,   0,   0,   0,   0,   128, 1,   101, 0,   0,
    0,   101, 109, 112, 116, 121, 80, 75,  5,  6,   0,   0,   0,   0,   3,   0,   3,   0,   153,
    0,   0,   0,   138, 0,   0,   0,  5,   0,  104, 101, 108, 108, 111};

static char *folder;
static char path[FILE_PATH];

static int make_folder(void **state)
{
    (void)state;
    Err err;
    folder = test_temp_folder();
    return !file_path(path, &err, "%s/file", folder);
}

static int remove_folder(void **state)
{
    (void)state;
    test_remove_folder(folder);
    return 0;
}

static void put_file(const void *bytes, size_t size)
{
    Err err;
    if (!file_write_whole(path, bytes, size, &err)) fail_msg("%s", err.text);
}

/* Whether the read succeeds; it then gives the `size` bytes, all there are, else it names the file.
 * Cut anywhere into what is passed over and what is read. */
static bool gzip_gives(const char *expected, size_t size)
{
    Err err = {0};
    char *data = malloc(size + 1);
    size_t step = size < 1000 ? 1 : size / 3, there;
    bool good = true;
    for (size_t skip = 0; skip <= size && good; skip += step) {
        memset(data, 7, size + 1);
        good = gzip_read(data, &there, size - skip, skip, path, &err);
        if (!good) break;
        assert_int_equal(there, size - skip);
        assert_memory_equal(data, expected + skip, size - skip);
        assert_int_equal(data[size - skip], 7);
    }
    if (!good) assert_true(err.kind == ERR_DATA && strstr(err.text, path));
    free(data);
    return good;
}

static void the_crc_is_the_usual_one(void **state)
{
    (void)state;
    assert_int_equal(zip_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(zip_crc32("", 0), 0);
    assert_int_equal(zip_crc32_more(zip_crc32("1234", 4), "56789", 5), 0xcbf43926);
    assert_int_equal(zip_crc32_more(0xcbf43926, NULL, 0), 0xcbf43926);
}

/* Around a block of 1 MiB and a round of 64 of them, all that the reading is divided into. */
static void the_crc_of_a_file_is_that_of_its_bytes(void **state)
{
    (void)state;
    const size_t block = 1 << 20, round = 64 * block;
    const size_t sizes[] = {0, 1, 65537, block - 1, block, block + 1, round, round + 7};
    unsigned char *data = malloc(round + 7);
    assert_non_null(data);
    for (size_t i = 0; i < round + 7; i++) data[i] = (unsigned char)(i * i >> 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t crc = 77;
        size_t size = 77;
        Err err;
        if (!file_write_whole(path, data, sizes[i], &err)) fail_msg("%s", err.text);
        if (!zip_crc32_file(&crc, &size, path, &err)) fail_msg("%s", err.text);
        assert_int_equal(size, sizes[i]);
        assert_int_equal(crc, zip_crc32(data, sizes[i]));
    }
    free(data);
    uint32_t crc;
    size_t size;
    Err err;
    assert_false(zip_crc32_file(&crc, &size, "tests/none", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_false(zip_crc32_file(&crc, &size, folder, &err));
    assert_non_null(strstr(err.text, "is a folder"));
}

/* How many bytes there are, where `bytes` are asked for. */
static size_t gzip_size(size_t bytes, size_t skip)
{
    char *data = malloc(bytes + 1);
    size_t size = 77;
    Err err;
    data[bytes] = 7;
    if (!gzip_read(data, &size, bytes, skip, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(data[bytes], 7);
    free(data);
    return size;
}

static void gzip_and_plain_files_are_read(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        put_file(plain ? (const void *)TEXT : gzip_file, plain ? TEXT_SIZE : sizeof gzip_file);
        assert_true(gzip_gives(TEXT, TEXT_SIZE));
        assert_int_equal(gzip_size(TEXT_SIZE + 99, 0), TEXT_SIZE);
        assert_int_equal(gzip_size(TEXT_SIZE - 1, 0), TEXT_SIZE); /* one is not read */
        assert_int_equal(gzip_size(50, 0), 51);
        assert_int_equal(gzip_size(50, TEXT_SIZE - 20), 20);
        assert_int_equal(gzip_size(50, TEXT_SIZE + 20), 0);
        assert_int_equal(gzip_size(0, 0), 1);
    }
    put_file("", 0);
    assert_true(gzip_gives("", 0));
}

static void large_files_are_read_whole(void **state)
{
    (void)state;
    enum { SIZE = 1000003 };
    char *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) bytes[i] = (char)(i * 2654435761u >> 24);
    put_file(bytes, SIZE);
    assert_true(gzip_gives(bytes, SIZE));
    assert_int_equal(gzip_size(SIZE - 1, 0), SIZE);
    free(bytes);
}

static void damaged_gzip_is_refused(void **state)
{
    (void)state;
    /* a cut between the two members leaves a whole file, and one in the magic bytes a plain one */
    for (size_t cut = 2; cut < sizeof gzip_file; cut++) {
        if (cut == sizeof gzip_file / 2) continue;
        put_file(gzip_file, cut);
        if (gzip_gives(TEXT, TEXT_SIZE / 2))
            assert_in_range(cut, sizeof gzip_file / 2 + 1, sizeof gzip_file / 2 + 1);
    }
    unsigned char changed[sizeof gzip_file];
    for (size_t at = 10; at < sizeof gzip_file / 2; at++) { /* behind the first header */
        memcpy(changed, gzip_file, sizeof changed);
        changed[at] ^= 0x15;
        put_file(changed, sizeof changed);
        assert_false(gzip_gives(TEXT, TEXT_SIZE));
    }
    Err err;
    unsigned char data[10];
    size_t size;
    assert_false(gzip_read(data, &size, sizeof data, 0, "tests/none.gz", &err));
    assert_non_null(strstr(err.text, "tests/none.gz"));
    assert_false(gzip_read(data, &size, sizeof data, SIZE_MAX, path, &err)); /* no such place */
    assert_non_null(strstr(err.text, path));
}

static void the_start_is_what_the_whole_begins_with(void **state)
{
    (void)state;
    Err err;
    char start[TEXT_SIZE + 8];
    size_t size, most;
    for (int plain = 0; plain < 2; plain++) {
        put_file(plain ? (const void *)TEXT : gzip_file, plain ? TEXT_SIZE : sizeof gzip_file);
        for (size_t bytes = 0; bytes <= sizeof start; bytes++) {
            memset(start, 0, sizeof start);
            assert_true(gzip_start(start, &size, bytes, &most, path, &err));
            assert_int_equal(most, plain ? TEXT_SIZE : 1032 * sizeof gzip_file);
            assert_int_equal(size, bytes < TEXT_SIZE ? bytes : TEXT_SIZE);
            assert_memory_equal(start, TEXT, size);
        }
    }
    put_file(gzip_file, 20);
    assert_false(gzip_start(start, &size, sizeof start, &most, path, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "cut short"));
    assert_false(gzip_start(start, &size, 4, &most, "tests/none.gz", &err));
    assert_non_null(strstr(err.text, "tests/none.gz"));
}

/* --- Archives --- */

static bool zip_gives(const char *member, const void *expected, size_t expected_size)
{
    Err err = {0};
    unsigned char *data;
    size_t size;
    if (!zip_read(&data, &size, path, member, &err)) {
        assert_null(data);
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, path));
        return false;
    }
    assert_int_equal(size, expected_size);
    assert_memory_equal(data, expected, size);
    assert_int_equal(data[size], 0);
    free(data);
    return true;
}

static void another_program_s_archive_is_read(void **state)
{
    (void)state;
    put_file(zip_file, sizeof zip_file);
    assert_true(zip_is_archive(path));
    assert_true(zip_gives("a.txt", TEXT, TEXT_SIZE));
    assert_true(zip_gives("b.txt", "stored", 6));
    assert_true(zip_gives("empty", "", 0));
    assert_false(zip_gives("a.tx", "", 0));
    assert_false(zip_gives("", "", 0));
    put_file(gzip_file, sizeof gzip_file);
    assert_false(zip_is_archive(path) || zip_is_archive("tests/none") || zip_is_archive("tests"));
}

static void damaged_archives_are_refused(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof zip_file; cut++) {
        put_file(zip_file, cut);
        assert_false(zip_gives("a.txt", TEXT, TEXT_SIZE));
    }
    unsigned char changed[sizeof zip_file];
    for (size_t at = 0; at < sizeof zip_file; at++)
        for (int bit = 0; bit < 8; bit++) { /* refused, or without effect on the member */
            memcpy(changed, zip_file, sizeof changed);
            changed[at] ^= (unsigned char)(1 << bit);
            put_file(changed, sizeof changed);
            zip_gives("a.txt", TEXT, TEXT_SIZE);
            zip_gives("b.txt", "stored", 6);
        }
}

/* Fields of a.txt's entry in the directory, which starts at DIRECTORY. */
enum { DIRECTORY = 138 };

static bool with_field(size_t at, int bytes, uint32_t value)
{
    unsigned char changed[sizeof zip_file];
    memcpy(changed, zip_file, sizeof changed);
    for (int i = 0; i < bytes; i++) changed[at + (size_t)i] = (unsigned char)(value >> 8 * i);
    put_file(changed, sizeof changed);
    return zip_gives("a.txt", TEXT, TEXT_SIZE);
}

static void every_field_is_checked(void **state)
{
    (void)state;
    size_t entry = DIRECTORY, end = sizeof zip_file - 5 - 22;
    assert_true(with_field(entry, 4, 0x02014b50));
    assert_true(with_field(end, 4, 0x06054b50));
    assert_false(with_field(0, 4, 0x04034b51));          /* the local header's signature */
    assert_false(with_field(26, 2, 0xffff));             /* its length of name */
    assert_false(with_field(entry, 4, 0x02014b51));      /* the entry's signature */
    assert_false(with_field(entry + 8, 2, 1));           /* flags: encrypted */
    assert_false(with_field(entry + 10, 2, 0));          /* method: stored, sizes differ */
    assert_false(with_field(entry + 10, 2, 12));         /* method: bzip2 */
    assert_false(with_field(entry + 16, 4, 0x12345678)); /* CRC */
    assert_false(with_field(entry + 20, 4, 24));         /* packed size */
    assert_false(with_field(entry + 20, 4, 26));
    assert_false(with_field(entry + 20, 4, 0x7fffffff));
    assert_false(with_field(entry + 20, 4, 0xffffffff)); /* ZIP64 */
    assert_false(with_field(entry + 24, 4, 199));        /* size */
    assert_false(with_field(entry + 24, 4, 201));
    assert_false(with_field(entry + 24, 4, 0xfffffffe));
    assert_false(with_field(entry + 28, 2, 0xffff)); /* length of the name */
    assert_false(with_field(entry + 42, 4, 1));      /* place of the local header */
    assert_false(with_field(entry + 42, 4, 0xfffffffe));
    assert_false(with_field(end + 4, 2, 1));  /* number of this part */
    assert_false(with_field(end + 10, 2, 2)); /* entries */
    assert_false(with_field(end + 10, 2, 4));
    assert_false(with_field(end + 12, 4, 152));        /* size of the directory */
    assert_false(with_field(end + 16, 4, 0xfffffffe)); /* its place */
    assert_false(with_field(end + 16, 4, 0xffffffff)); /* ZIP64 */
    assert_false(with_field(end + 10, 2, 0xffff));
    assert_false(with_field(end + 20, 2, 6)); /* length of the comment */
}

static void assert_says(const unsigned char *bytes, size_t size, const char *member,
                        const char *words)
{
    Err err;
    unsigned char *data;
    put_file(bytes, size);
    assert_false(zip_read(&data, &size, path, member, &err));
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, words)) fail_msg("%s\n does not say: %s", err.text, words);
}

/* What 25 bytes cannot unpack to is refused for that, and no memory is taken. */
static void a_size_that_cannot_be_is_not_believed(void **state)
{
    (void)state;
    unsigned char changed[sizeof zip_file];
    memcpy(changed, zip_file, sizeof changed);
    unsigned char *size = changed + DIRECTORY + 24;
    size[0] = 25800 & 255, size[1] = 25800 >> 8;
    assert_says(changed, sizeof changed, "a.txt", "does not unpack to the size it says");
    size[0] = 26832 & 255, size[1] = 26832 >> 8; /* 26 times 1032 */
    assert_says(changed, sizeof changed, "a.txt", "cannot unpack to the size it says");
}

/* The last entry says that more follows than there is: the record of the end, were it taken for
 * that, and then what is behind the file. */
static void an_entry_ends_inside_of_the_directory(void **state)
{
    (void)state;
    enum { LAST = DIRECTORY + 2 * 51 };
    static const size_t lengths[] = {28, 30, 32}; /* of name, extra field, comment */
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int more = 1; more < 300; more++) {
            unsigned char changed[sizeof zip_file];
            memcpy(changed, zip_file, sizeof changed);
            unsigned length = changed[LAST + lengths[i]] + (unsigned)more;
            changed[LAST + lengths[i]] = (unsigned char)length;
            changed[LAST + lengths[i] + 1] = (unsigned char)(length >> 8);
            assert_says(changed, sizeof changed, "a.txt", "an entry of its directory is cut short");
        }
}

static void a_name_may_not_be_there_twice(void **state)
{
    (void)state;
    Err err;
    const ZipMember twice[] = {{.name = "x", .data = "1", .data_size = 1},
                               {.name = "x", .data = "2", .data_size = 1}};
    if (!zip_write(path, twice, 2, &err)) fail_msg("%s", err.text);
    assert_false(zip_gives("x", "1", 1));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    Err err;
    const ZipMember members[] = {
        {.name = "one", .head = "head", .head_size = 4, .data = "data", .data_size = 4},
        {.name = "two", .data = "data", .data_size = 4},
        {.name = "nothing"},
    };
    for (int again = 0; again < 2; again++) {
        if (!zip_write(path, members, 3, &err)) fail_msg("%s", err.text);
        assert_true(zip_gives("one", "headdata", 8));
        assert_true(zip_gives("two", "data", 4));
        assert_true(zip_gives("nothing", "", 0));
    }
    assert_false(zip_write("tests/none/x.npz", members, 3, &err));
    assert_non_null(strstr(err.text, "tests/none/x.npz"));
    const ZipMember huge = {.name = "huge", .data = "", .data_size = (size_t)1 << 32};
    assert_false(zip_write(path, &huge, 1, &err));
    assert_non_null(strstr(err.text, "4 GiB"));
    assert_true(zip_gives("two", "data", 4)); /* what was there stays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_crc_is_the_usual_one),
        cmocka_unit_test(the_crc_of_a_file_is_that_of_its_bytes),
        cmocka_unit_test(gzip_and_plain_files_are_read),
        cmocka_unit_test(large_files_are_read_whole),
        cmocka_unit_test(damaged_gzip_is_refused),
        cmocka_unit_test(the_start_is_what_the_whole_begins_with),
        cmocka_unit_test(another_program_s_archive_is_read),
        cmocka_unit_test(damaged_archives_are_refused),
        cmocka_unit_test(every_field_is_checked),
        cmocka_unit_test(a_size_that_cannot_be_is_not_believed),
        cmocka_unit_test(an_entry_ends_inside_of_the_directory),
        cmocka_unit_test(a_name_may_not_be_there_twice),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
