#include "base/file.h"

#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;

/* A path in the folder; the last four results stay. */
static const char *in(const char *name)
{
    static char paths[4][FILE_PATH];
    static int last;
    Err err;
    last = (last + 1) % 4;
    assert_true(file_path(paths[last], &err, "%s/%s", folder, name));
    return paths[last];
}

static int make_folder(void **state)
{
    (void)state;
    folder = test_temp_folder();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_remove_folder(folder);
    return 0;
}

/* The call failed with this kind, and its message holds both. */
static void assert_failed(bool good, const Err *err, ErrKind kind, const char *path,
                          const char *says)
{
    assert_false(good);
    assert_int_equal(err->kind, kind);
    if (!strstr(err->text, path) || !strstr(err->text, says))
        fail_msg("says: %s\n  not: %s ... %s", err->text, path, says);
}

static void put(const char *path, const char *text)
{
    Err err;
    if (!file_write_whole(path, text, strlen(text), &err)) fail_msg("%s", err.text);
}

static void assert_holds(const char *path, const char *text)
{
    Err err;
    unsigned char *data;
    size_t size;
    if (!file_read(&data, &size, path, 1 << 20, &err)) fail_msg("%s", err.text);
    assert_int_equal(size, strlen(text));
    assert_string_equal(data, text);
    free(data);
}

static void assert_names(const char *expected)
{
    Err err;
    FileList list;
    char names[256] = "";
    if (!file_list(&list, folder, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < list.count; i++) {
        strcat(names, list.names[i]);
        strcat(names, " ");
    }
    assert_string_equal(names, expected);
    file_list_release(&list);
}

static void paths_are_joined_and_split(void **state)
{
    (void)state;
    static const char *const parents[][2] = {
        {"a/b", "a"},  {"b", "."},     {"/b", "/"},  {"/", "/"},       {"a/b/", "a"},
        {"a//b", "a"}, {"/a/b", "/a"}, {"//b", "/"}, {"a/b/c", "a/b"}, {".", "."},
    };
    char path[FILE_PATH], *longest = malloc(FILE_PATH + 1);
    Err err;
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        file_parent(path, parents[i][0]);
        assert_string_equal(path, parents[i][1]);
    }
    assert_true(file_path(path, &err, "%s/step-%08d", "runs", 7));
    assert_string_equal(path, "runs/step-00000007");
    memset(longest, 'x', FILE_PATH);
    longest[FILE_PATH] = 0;
    assert_failed(file_path(path, &err, "%s", longest), &err, ERR_FAILED, "xxx", "4095");
    longest[FILE_PATH - 1] = 0;
    assert_true(file_path(path, &err, "%s", longest));
    FileWriter writer; /* there is no room for the name of its temporary file */
    assert_failed(file_create(&writer, longest, &err), &err, ERR_FAILED, "xxx", "4095");
    free(longest);
}

static void whole_files_are_read(void **state)
{
    (void)state;
    Err err;
    unsigned char *data;
    size_t size;
    put(in("a"), "twelve bytes");
    assert_holds(in("a"), "twelve bytes");
    assert_true(file_read(&data, &size, in("a"), 12, &err));
    assert_int_equal(data[12], 0);
    free(data);
    assert_failed(file_read(&data, &size, in("a"), 11, &err), &err, ERR_DATA, in("a"), "12 bytes");
    assert_null(data);
    assert_failed(file_read(&data, &size, in("b"), 11, &err), &err, ERR_DATA, in("b"), "No such");
    assert_failed(file_read(&data, &size, in("a/b"), 11, &err), &err, ERR_DATA, in("a/b"), "Not a");
    assert_failed(file_read(&data, &size, folder, 11, &err), &err, ERR_DATA, folder, "a folder");
    assert_failed(file_read(&data, &size, "/dev/zero", 11, &err), &err, ERR_DATA, "/dev/zero",
                  "a device");
    put(in("a"), "");
    assert_holds(in("a"), "");
}

static void files_are_read_in_parts(void **state)
{
    (void)state;
    Err err;
    FileReader reader;
    char part[16] = "";
    put(in("a"), "12345678");
    assert_true(file_open(&reader, in("a"), &err));
    assert_int_equal(reader.size, 8);
    assert_true(file_take(&reader, part, 5, &err) && file_take(&reader, part + 5, 0, &err));
    assert_string_equal(part, "12345");
    assert_failed(file_take(&reader, part, 4, &err), &err, ERR_DATA, in("a"), "ends too early");
    file_close(&reader);
    file_close(&reader);
}

static void a_file_appears_when_it_is_whole(void **state)
{
    (void)state;
    Err err;
    FileWriter writer;
    put(in("a"), "old");
    assert_true(file_create(&writer, in("a"), &err));
    assert_true(file_write(&writer, "new", 3, &err));
    fprintf(writer.stream, " and %d", 42);
    assert_int_equal(fflush(writer.stream), 0);
    assert_holds(in("a"), "old");
    assert_true(file_commit(&writer, &err));
    assert_holds(in("a"), "new and 42");
    file_abandon(&writer);
    assert_holds(in("a"), "new and 42");
    assert_true(file_create(&writer, in("a"), &err));
    assert_true(file_write(&writer, "newer", 5, &err));
    file_abandon(&writer);
    assert_holds(in("a"), "new and 42");
    assert_names("a ");
}

static void a_link_in_the_way_is_not_followed(void **state)
{
    (void)state;
    Err err;
    char temporary[FILE_PATH];
    put(in("precious"), "mine");
    assert_true(file_path(temporary, &err, "%s.%ld.tmp", in("new"), (long)getpid()));
    assert_int_equal(symlink(in("precious"), temporary), 0);
    assert_true(file_write_whole(in("new"), "text", 4, &err));
    assert_holds(in("new"), "text");
    assert_holds(in("precious"), "mine");
    assert_false(file_exists(temporary));
}

static void new_files_have_the_usual_mode(void **state)
{
    (void)state;
    struct stat status;
    mode_t mask = umask(022);
    put(in("a"), "x");
    umask(mask);
    assert_int_equal(stat(in("a"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
}

/* With a limit on the size of files as a full disk: writes fail half way. */
static void nothing_is_left_of_a_failed_write(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    Err err = {0};
    char *zeros = calloc(SIZE, 1);
    put(in("a"), "old");
    struct rlimit limit, little;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    little = (struct rlimit){SIZE / 2, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    bool good = file_write_whole(in("a"), zeros, SIZE, &err);
    FileWriter writer;
    Err printed = {0};
    bool committed = file_create(&writer, in("a"), &printed);
    for (int i = 0; i < SIZE; i++) fputc('x', writer.stream); /* seen by file_commit alone, */
    setrlimit(RLIMIT_FSIZE, &limit);                          /* though there is room again */
    signal(SIGXFSZ, SIG_DFL);
    committed = committed && file_commit(&writer, &printed);
    assert_failed(good, &err, ERR_FAILED, in("a"), "cannot write");
    assert_failed(committed, &printed, ERR_FAILED, in("a"), "cannot write");
    assert_holds(in("a"), "old");
    assert_names("a ");
    free(zeros);
}

static void what_cannot_be_created_is_named(void **state)
{
    (void)state;
    Err err;
    FileWriter writer;
    assert_failed(file_create(&writer, in("none/a"), &err), &err, ERR_FAILED, in("none/a"),
                  "No such");
    file_abandon(&writer);
    assert_failed(file_create(&writer, folder, &err), &err, ERR_FAILED, folder, "is a folder");
}

/* Through links, since a wrong writer that is root would replace the device itself. */
static void devices_are_written_to_not_replaced(void **state)
{
    (void)state;
    Err err;
    struct stat status;
    assert_true(file_link("/dev/null", in("null"), &err));
    assert_true(file_link("/dev/full", in("full"), &err));
    put(in("null"), "x");
    assert_failed(file_write_whole(in("full"), "x", 1, &err), &err, ERR_FAILED, in("full"),
                  "No space");
    assert_names("full null ");
    assert_int_equal(lstat(in("null"), &status), 0);
    assert_true(S_ISLNK(status.st_mode));
}

static void lines_are_added_to_a_log(void **state)
{
    (void)state;
    Err err;
    FileLog log;
    for (int i = 0; i < 2; i++) {
        assert_true(file_log_open(&log, in("log"), &err));
        assert_true(file_log_line(&log, i ? "second" : "first", &err));
        assert_holds(in("log"), i ? "first\nsecond\n" : "first\n");
        file_log_close(&log);
        file_log_close(&log);
    }
    assert_failed(file_log_open(&log, in("none/log"), &err), &err, ERR_DATA, in("none/log"), "No");
    assert_true(file_log_open(&log, "/dev/full", &err));
    assert_failed(file_log_line(&log, "x", &err), &err, ERR_FAILED, "/dev/full", "No space");
    file_log_close(&log);
}

static void folders_are_made_with_those_above(void **state)
{
    (void)state;
    Err err;
    for (int i = 0; i < 2; i++) {
        if (!file_make_folder(in("a/b//c/"), &err)) fail_msg("%s", err.text);
        assert_true(file_is_folder(in("a/b/c")));
    }
    put(in("a/file"), "");
    assert_failed(file_make_folder(in("a/file/d"), &err), &err, ERR_FAILED, in("a/file"), "cannot");
    assert_failed(file_make_folder(in("a/file"), &err), &err, ERR_FAILED, in("a/file"), "exists");
    assert_true(file_exists(in("a/file")) && !file_is_folder(in("a/file")));
    assert_true(!file_exists(in("a/none")) && !file_is_folder(in("a/none")));
    assert_true(file_make_folder("/", &err));
}

static void lists_are_sorted(void **state)
{
    (void)state;
    Err err;
    FileList list;
    assert_names("");
    put(in("b"), "");
    put(in("a10"), "");
    put(in("a9"), "");
    put(in(".hidden"), "");
    assert_true(file_make_folder(in("Z"), &err));
    assert_names(".hidden Z a10 a9 b ");
    assert_failed(file_list(&list, in("none"), &err), &err, ERR_DATA, in("none"), "No such");
    assert_failed(file_list(&list, in("b"), &err), &err, ERR_DATA, in("b"), "Not a");
    assert_null(list.names);
}

static void trees_are_removed_and_links_are_not_followed(void **state)
{
    (void)state;
    Err err;
    assert_true(file_make_folder(in("tree/b/c"), &err) && file_make_folder(in("kept"), &err));
    put(in("tree/b/file"), "x");
    put(in("kept/file"), "x");
    assert_true(file_link("../kept", in("tree/link"), &err));
    assert_true(file_link("nowhere", in("tree/dangling"), &err));
    if (!file_remove(in("tree"), &err)) fail_msg("%s", err.text);
    assert_false(file_exists(in("tree")));
    assert_holds(in("kept/file"), "x");
    assert_true(file_remove(in("tree"), &err));
    assert_failed(file_remove(in("kept/file/below"), &err), &err, ERR_DATA, "below",
                  "Not a directory");
    assert_true(file_remove(in("kept/file"), &err) && !file_exists(in("kept/file")));
}

static void folders_are_renamed_and_links_swapped(void **state)
{
    (void)state;
    Err err;
    char target[64] = "";
    assert_true(file_make_folder(in("one"), &err) && file_make_folder(in("tmp"), &err));
    put(in("tmp/file"), "2");
    if (!file_rename(in("tmp"), in("two"), &err)) fail_msg("%s", err.text);
    assert_holds(in("two/file"), "2");
    assert_failed(file_rename(in("one"), in("two"), &err), &err, ERR_FAILED, in("one"), in("two"));
    assert_true(file_link("one", in("latest"), &err));
    if (!file_link("two", in("latest"), &err)) fail_msg("%s", err.text);
    assert_true(readlink(in("latest"), target, sizeof target - 1) == 3);
    assert_string_equal(target, "two");
    assert_holds(in("latest/file"), "2");
    assert_names("latest one two ");
    assert_failed(file_link("one", in("two"), &err), &err, ERR_FAILED, in("two"), "cannot rename");
    assert_failed(file_link("one", in("none/x"), &err), &err, ERR_FAILED, in("none/x"), "one");
    assert_names("latest one two ");
    assert_true(file_sync_folder(folder, &err));
    assert_failed(file_sync_folder(in("none"), &err), &err, ERR_DATA, in("none"), "No such");
}

/* Killed while it writes, a process leaves the old file, and a temporary one that the next write of
 * the same process's number goes over. */
static void a_killed_writer_leaves_the_old_file(void **state)
{
    (void)state;
    put(in("a"), "old");
    pid_t child = fork();
    if (child == 0) {
        Err err;
        FileWriter writer;
        bool good = file_create(&writer, in("a"), &err) && file_write(&writer, "new", 3, &err);
        fflush(writer.stream);
        if (good) kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_holds(in("a"), "old");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_are_joined_and_split),
        TEST(whole_files_are_read),
        TEST(files_are_read_in_parts),
        TEST(a_file_appears_when_it_is_whole),
        TEST(a_link_in_the_way_is_not_followed),
        TEST(new_files_have_the_usual_mode),
        TEST(nothing_is_left_of_a_failed_write),
        TEST(what_cannot_be_created_is_named),
        TEST(devices_are_written_to_not_replaced),
        TEST(lines_are_added_to_a_log),
        TEST(folders_are_made_with_those_above),
        TEST(lists_are_sorted),
        TEST(trees_are_removed_and_links_are_not_followed),
        TEST(folders_are_renamed_and_links_swapped),
        TEST(a_killed_writer_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
