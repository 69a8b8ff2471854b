#include "base/file.h"
#include "support.h"
#include "train/checksums.h"

#include <stdio.h>
#include <unistd.h>

static const char *const NAMES[] = {"a.json", "unet/w.bin", "scheduler/s.json"};

/* A folder of those files, each of which holds its own name, and their checksums. */
static char *new_folder(void)
{
    char *folder = test_temp_folder();
    Err err;
    for (int i = 0; i < 3; i++) test_put(folder, NAMES[i], NAMES[i], strlen(NAMES[i]));
    if (!checksums_write(folder, NAMES, 3, &err)) fail_msg("%s", err.text);
    return folder;
}

static bool check(const char *folder, const char *name, Err *err)
{
    char *path = test_path(folder, name);
    bool ok = checksums_check(path, err);
    free(path);
    return ok;
}

static void assert_good(const char *folder, const char *name)
{
    Err err;
    if (!check(folder, name, &err)) fail_msg("%s", err.text);
}

static void assert_bad(const char *folder, const char *name, const char *words)
{
    Err err;
    if (check(folder, name, &err)) fail_msg("%s is good, though %s", name, words);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, words) || !strstr(err.text, "delete checksums.json"))
        fail_msg("%s, not: %s", err.text, words);
}

static void put_list(const char *folder, const char *text)
{
    test_put(folder, "checksums.json", text, strlen(text));
}

static void what_was_written_is_good(void **state)
{
    (void)state;
    char *folder = new_folder();
    for (int i = 0; i < 3; i++) assert_good(folder, NAMES[i]);
    assert_good(folder, "unet//w.bin"); /* as of a folder that was named with a slash at its end */
    /* what zlib says of "a.json", by Python */
    char *path = test_path(folder, "checksums.json");
    unsigned char *text;
    size_t size;
    Err err;
    assert_true(file_read(&text, &size, path, 10000, &err));
    assert_non_null(strstr((char *)text, "\"bytes\": 6"));
    assert_non_null(strstr((char *)text, "\"crc32\": \"46d81660\""));
    free(text), free(path);
    test_remove_folder(folder);
}

static void any_change_is_told_with_the_file(void **state)
{
    (void)state;
    char *folder = new_folder();
    test_put(folder, "a.json", "b.json", 6);
    assert_bad(folder, "a.json", "a.json: damaged: its CRC-32 is ");
    test_put(folder, "a.json", "a.jso", 5);
    assert_bad(folder, "a.json", "a.json: damaged: it has 5 bytes");
    test_put(folder, "a.json", "a.json\n", 7);
    assert_bad(folder, "a.json", "it had 6");
    test_put(folder, "unet/w.bin", "unet/v.bin", 10);
    assert_bad(folder, "unet/w.bin", "w.bin: damaged: its CRC-32");
    assert_good(folder, "scheduler/s.json");
    test_put(folder, "a.json", "a.json", 6);
    assert_good(folder, "a.json");
    test_remove_folder(folder);
}

static void link_in(const char *folder, const char *target, const char *name)
{
    char *path = test_path(folder, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

/* Names that do not end in unet/FILE, of a file that the list has. */
static void a_part_by_any_name_is_checked(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "unet/w.bin",
        "unet/./w.bin",
        "unet/.//w.bin",
        "unet/../unet/./w.bin",
        "link/w.bin",
        "unet/in/../w.bin",
        "link/./w.bin",
        "other/link/w.bin",
        "./unet/w.bin",
        "other/unet/w.bin",
        "scheduler/../unet/w.bin",
    };
    char *folder = new_folder();
    test_put(folder, "unet/in/x", "", 0);
    test_put(folder, "other/x", "", 0);
    link_in(folder, "unet", "link");
    link_in(folder, "../unet", "other/link");
    link_in(folder, "../unet", "other/unet");
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        assert_good(folder, spellings[i]);
    test_put(folder, "unet/w.bin", "unet/v.bin", 10);
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        assert_bad(folder, spellings[i], "w.bin: damaged: its CRC-32");
    char *part = test_path(folder, "unet"), before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(part), 0);
    Err err[3];
    bool good[] = {checksums_check("w.bin", &err[0]), checksums_check("./w.bin", &err[1]),
                   checksums_check("../unet/w.bin", &err[2])};
    assert_int_equal(chdir(before), 0);
    for (int i = 0; i < 3; i++) {
        assert_false(good[i]);
        assert_non_null(strstr(err[i].text, "damaged: its CRC-32"));
    }
    free(part);
    test_remove_folder(folder);
}

/* The folder itself is called unet, or a link of that name is the part. */
static void the_list_beside_a_file_or_a_link_is_its_own(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *unet = test_path(folder, "unet");
    Err err;
    for (int i = 0; i < 3; i++) test_put(unet, NAMES[i], NAMES[i], strlen(NAMES[i]));
    if (!checksums_write(unet, NAMES, 3, &err)) fail_msg("%s", err.text);
    assert_good(folder, "unet/a.json");
    test_put(folder, "unet/a.json", "b.json", 6);
    assert_bad(folder, "unet/a.json", "a.json: damaged: its CRC-32");
    free(unet);
    test_remove_folder(folder);
    folder = new_folder();
    char *part = test_path(folder, "unet"), *away = test_path(folder, "elsewhere");
    assert_int_equal(rename(part, away), 0);
    link_in(folder, "elsewhere", "unet");
    assert_good(folder, "unet/w.bin");
    test_put(folder, "elsewhere/w.bin", "unet/v.bin", 10);
    assert_bad(folder, "unet/w.bin", "w.bin: damaged: its CRC-32");
    free(part), free(away);
    test_remove_folder(folder);
}

static void files_that_come_and_go_are_told_of(void **state)
{
    (void)state;
    char *folder = new_folder(), *path = test_path(folder, "scheduler/s.json");
    test_put(folder, "b.json", "b.json", 6);
    test_put(folder, "unet/a.json", "a.json", 6);
    assert_bad(folder, "b.json", "does not list it");
    assert_bad(folder, "unet/a.json", "does not list it");
    assert_good(folder, "neither/there/nor/listed");
    assert_good(folder, "unet/nor_this.json");
    assert_int_equal(unlink(path), 0);
    assert_bad(folder, "scheduler/s.json", "s.json: missing, though ");
    free(path);
    test_remove_folder(folder);
}

static void without_a_list_everything_is_good(void **state)
{
    (void)state;
    char *folder = new_folder(), *path = test_path(folder, "checksums.json");
    assert_int_equal(unlink(path), 0);
    test_put(folder, "a.json", "b.json", 6);
    assert_good(folder, "a.json");
    assert_good(folder, "none.json");
    /* the list above counts for unet and scheduler alone: others' folders are their own */
    test_put(folder, "other/config.json", "x", 1);
    put_list(folder, "{}");
    assert_good(folder, "other/config.json");
    free(path);
    test_remove_folder(folder);
}

static void a_list_that_is_damaged_is_told_of(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{\"a.json\": {\"bytes\": 6, ",
        "[]",
        "7",
        "{\"a.json\": 7}",
        "{\"a.json\": {}}",
        "{\"a.json\": {\"bytes\": 6}}",
        "{\"a.json\": {\"crc32\": \"46d81660\"}}",
        "{\"a.json\": {\"bytes\": \"6\", \"crc32\": \"46d81660\"}}",
        "{\"a.json\": {\"bytes\": 6.5, \"crc32\": \"46d81660\"}}",
        "{\"a.json\": {\"bytes\": -6, \"crc32\": \"46d81660\"}}",
        "{\"a.json\": {\"bytes\": 6, \"crc32\": 12345678}}",
        "{\"a.json\": {\"bytes\": 6, \"crc32\": \"\"}}",
        "{\"a.json\": {\"bytes\": 6, \"crc32\": \"46d816600\"}}",
    };
    char *folder = new_folder();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_list(folder, texts[i]);
        assert_bad(folder, "a.json", "checksums.json");
    }
    put_list(folder, "{\"a.json\": {\"bytes\": 6, \"crc32\": \"46d81660\"}}");
    assert_good(folder, "a.json");
    test_remove_folder(folder);
}

static void a_file_that_is_not_there_is_not_listed(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    Err err;
    test_put(folder, "a.json", "a.json", 6);
    assert_false(checksums_write(folder, NAMES, 3, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "unet/w.bin"));
    assert_good(folder, "a.json"); /* and there is no list */
    test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_good),
        cmocka_unit_test(any_change_is_told_with_the_file),
        cmocka_unit_test(a_part_by_any_name_is_checked),
        cmocka_unit_test(the_list_beside_a_file_or_a_link_is_its_own),
        cmocka_unit_test(files_that_come_and_go_are_told_of),
        cmocka_unit_test(without_a_list_everything_is_good),
        cmocka_unit_test(a_list_that_is_damaged_is_told_of),
        cmocka_unit_test(a_file_that_is_not_there_is_not_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
