/*
 * What the modules of base do when the C library refuses something: memory at any of their
 * allocations, and the calls that hardly ever fail.
 */
#include "faults.h"

#include "base/child.h"
#include "base/eigen.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/npy.h"
#include "base/zip.h"

#include <unistd.h>

/* "the bytes that are packed " twelve times, as Python's zipfile deflates them. */
static const unsigned char deflated[] = {
    80,  75, 3,   4,   20,  0,  0,   0,  8,  0,   0,  0,  33, 0,   3,  57,  153, 28,  33,
    0,   0,  0,   56,  1,   0,  0,   1,  0,  0,   0,  97, 43, 201, 72, 85,  72,  170, 44,
    73,  45, 86,  40,  201, 72, 44,  81, 72, 44,  74, 85, 40, 72,  76, 206, 78,  77,  1,
    242, 71, 101, 112, 203, 0,  0,   80, 75, 1,   2,  20, 3,  20,  0,  0,   0,   8,   0,
    0,   0,  33,  0,   3,   57, 153, 28, 33, 0,   0,  0,  56, 1,   0,  0,   1,   0,   0,
    0,   0,  0,   0,   0,   0,  0,   0,  0,  128, 1,  0,  0,  0,   0,  97,  80,  75,  5,
    6,   0,  0,   0,   0,   1,  0,   1,  0,  47,  0,  0,  0,  64,  0,  0,   0,   0,   0};

static char *folder;

static const char *in(const char *name)
{
    static char path[FILE_PATH];
    Err err;
    assert_true(file_path(path, &err, "%s/%s", folder, name));
    return path;
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

/* ---- memory ---- */

static bool reads_a_file(Err *err)
{
    unsigned char *data;
    size_t size;
    bool ok = file_read(&data, &size, in("text"), 1000, err);
    free(data);
    return ok;
}

static bool lists_a_folder(Err *err)
{
    FileList list;
    bool ok = file_list(&list, folder, err);
    file_list_release(&list);
    return ok;
}

static bool logs_a_line(Err *err)
{
    FileLog log;
    bool ok = file_log_open(&log, in("log"), err) && file_log_line(&log, "a line", err);
    file_log_close(&log);
    return ok;
}

static bool unpacks_gzip(Err *err)
{
    unsigned char data[8];
    size_t size;
    return gzip_read(data, &size, sizeof data, 0, in("packed.gz"), err);
}

static bool reads_a_member(Err *err)
{
    Array array;
    bool ok = npz_read(&array, in("stored.npz"), "x", err);
    array_release(&array);
    return ok;
}

static bool unpacks_a_member(Err *err)
{
    unsigned char *data;
    size_t size;
    bool ok = zip_read(&data, &size, in("deflated.zip"), "a", err);
    free(data);
    return ok;
}

static bool writes_an_archive(Err *err)
{
    float values[6] = {1, 2};
    Array x = {ARRAY_F32, 2, {2, 3}, 6, values};
    const NpzEntry entry = {"x", &x};
    return npz_write(in("new.npz"), &entry, 1, err);
}

static bool packs(Err *err)
{
    size_t size;
    unsigned char *data = zip_deflate(&size, "aaaaaaaaaaaaaaaaaaaaaaaa", 24);
    if (!data) return memory_refused(24, "packing", err);
    free(data);
    return true;
}

static bool parses_json(Err *err)
{
    static const char text[] = "{\"a\": [1, {\"b\": \"text\"}, null], \"c\": true, \"d\": 2.5}";
    Json *json;
    bool ok = json_parse(&json, text, sizeof text - 1, "x.json", err);
    json_free(json);
    return ok;
}

static bool reads_json(Err *err)
{
    Json *json;
    bool ok = json_read(&json, in("x.json"), err);
    json_free(json);
    return ok;
}

static bool builds_json(Err *err)
{
    Json *json = json_new_object(), *list = json_new_list(), *inner = json_new_object();
    json_set_number(json, "a", 1);
    json_set_string(json, "b", "text");
    json_set_string(json, "b", "another");
    json_set_bool(json, "c", true);
    json_set_null(json, "d");
    json_add_number(list, 2);
    json_add_string(list, "three");
    json_set(inner, "list", list);
    json_set(json, "inner", inner);
    bool ok = json_write(in("new.json"), json, err);
    json_free(json);
    return ok;
}

/* Longer than a buffer of the C library's: what is printed is the whole of it. */
static bool prints_much_json(Err *err)
{
    enum { COUNT = 4000 };
    char *text;
    Json *list = json_new_list();
    for (int i = 0; i < COUNT; i++) json_add_number(list, 7);
    bool ok = json_print(&text, list, JSON_COMPACT, err);
    if (ok) assert_int_equal(strlen(text), 2 * COUNT + 1);
    free(text);
    json_free(list);
    return ok;
}

static bool refuses_a_value(Err *err)
{
    Json *json;
    if (!json_parse(&json, "{\"key\": [1, 2]}", 15, "x.json", err)) return false;
    assert_false(json_refuse(json_get(json, "key"), "key", "x.json", "a number", err));
    assert_int_equal(err->kind, ERR_DATA);
    json_free(json);
    return true;
}

static bool runs_a_program(Err *err)
{
    const char *const argv[] = {"sh", "-c", "cat", NULL};
    unsigned char *data = NULL;
    size_t size;
    bool ok = child_run(&data, &size, argv, "text", 4, "install it", err);
    free(data);
    return ok;
}

static bool finds_eigenvalues(Err *err)
{
    double matrix[] = {2, 1, 1, 3}, values[2];
    return eigen_symmetric(values, matrix, 2, true, err);
}

static bool takes_an_arena(Err *err)
{
    Arena arena;
    bool ok = arena_init(&arena, (size_t)3 << 20, "an arena", err);
    arena_release(&arena);
    return ok;
}

static void put_files(void)
{
    unsigned char *data;
    size_t size;
    Err err;
    test_put(folder, "text", "a text", 6);
    test_put(folder, "deflated.zip", deflated, sizeof deflated);
    test_put(folder, "x.json", "{\"a\": [1, 2]}", 13);
    assert_true(writes_an_archive(&err));
    assert_true(file_read(&data, &size, in("new.npz"), 1000, &err));
    test_put(folder, "stored.npz", data, size);
    free(data);
}

/* Through the program, as nothing here may include zlib.h. */
static void put_gzip(void)
{
    const char *const argv[] = {"gzip", "-c", NULL};
    static char text[200000];
    unsigned char *data;
    size_t size;
    Err err;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i * i % 23);
    if (!child_run(&data, &size, argv, text, sizeof text, "install gzip", &err))
        fail_msg("%s", err.text);
    test_put(folder, "packed.gz", data, size);
    free(data);
}

static void memory_may_end_anywhere(void **state)
{
    (void)state;
    static bool (*const attempts[])(Err *) = {
        reads_a_file,    lists_a_folder,    logs_a_line,
        unpacks_gzip,    reads_a_member,    unpacks_a_member,
        packs,           writes_an_archive, parses_json,
        reads_json,      builds_json,       prints_much_json,
        refuses_a_value, runs_a_program,    finds_eigenvalues,
        takes_an_arena,
    };
    if (!FAULTS) skip();
    put_files();
    put_gzip();
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) starve(attempts[i]);
}

/* ---- calls ---- */

static bool writes_a_file(Err *err)
{
    return file_write_whole(in("new"), "text", 4, err);
}

static bool removes(Err *err)
{
    test_put(folder, "old", "", 0);
    return file_remove(in("old"), err);
}

static bool syncs(Err *err)
{
    return file_sync_folder(folder, err);
}

static bool sums(Err *err)
{
    uint32_t crc;
    size_t size;
    return zip_crc32_file(&crc, &size, in("text"), err);
}

static bool seeks(Err *err)
{
    return reads_a_member(err);
}

static bool locks(Err *err)
{
    Lock lock;
    bool ok = lock_take(&lock, in("lock"), err);
    lock_release(&lock);
    return ok;
}

/* What each call's failure is said to be; NULL: it is tried again, and nothing is to be said. */
static void calls_may_fail(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        int reason;
        bool (*attempt)(Err *);
        const char *says;
    } cases[] = {
        {"fopen", EMFILE, reads_a_file, "cannot open: Too many open files"},
        {"fread", 0, reads_a_file, "ends too early, within the next 6 bytes"},
        {"open", EMFILE, syncs, "cannot open the folder to sync it: Too many open files"},
        {"fsync", EIO, syncs, "cannot sync the folder: Input/output error"},
        {"fsync", EINVAL, syncs, NULL}, /* a file system that cannot */
        {"pread", EIO, sums, "cannot be read to its end: Input/output error"},
        {"fread", EIO, runs_a_program, "sh: cannot read what it prints: Input/output error"},
        {"fopen", EMFILE, writes_a_file, "cannot write there: Too many open files"},
        {"fsync", EIO, writes_a_file, "cannot write: Input/output error"},
        {"rename", EACCES, writes_a_file, "cannot write: Permission denied"},
        {"remove", EACCES, removes, "cannot remove: Permission denied"},
        {"remove", ENOENT, removes, NULL},
        {"readdir", EIO, lists_a_folder, "cannot list the folder: Input/output error"},
        {"write", EINTR, logs_a_line, NULL},
        {"write", ENOSPC, logs_a_line, "cannot write: No space left on device"},
        {"fseeko", EINVAL, seeks, "a place behind its end"},
        {"flock", ENOLCK, locks, "cannot be locked: No locks available"},
        {"fstat", EIO, locks, NULL}, /* as where its file was removed meanwhile */
        {"pipe", EMFILE, runs_a_program, "sh: cannot make a pipe: Too many open files"},
        {"tmpfile", EMFILE, runs_a_program, "sh: cannot make a temporary file: Too many open"},
        {"fseek", EIO, runs_a_program, "sh: cannot read what it prints: Input/output error"},
        {"write", EINTR, runs_a_program, NULL},
        {"write", EPIPE, runs_a_program, NULL},
        {"waitpid", EINTR, runs_a_program, NULL},
    };
    if (!FAULTS) skip();
    put_files();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        fault_call(cases[i].call, cases[i].reason);
        bool ok = cases[i].attempt(&err);
        if (!fault_happened()) fail_msg("%s is not called", cases[i].call);
        if (!cases[i].says && !ok) fail_msg("%s: %s", cases[i].call, err.text);
        if (cases[i].says && (ok || !strstr(err.text, cases[i].says)))
            fail_msg("%s: says \"%s\", not \"%s\"", cases[i].call, err.text, cases[i].says);
        assert_false(file_exists(in("new"))); /* nor anything half-written beside it */
    }
    FileList list;
    Err err;
    assert_true(file_list(&list, folder, &err));
    for (size_t i = 0; i < list.count; i++) assert_null(strstr(list.names[i], ".tmp"));
    file_list_release(&list);
}

/* A file of the kernel's that gives nothing of what it has. */
static void a_file_may_not_be_readable(void **state)
{
    (void)state;
    Err err;
    FileReader reader;
    char byte;
    if (!file_exists("/proc/self/mem")) skip();
    assert_true(file_open(&reader, "/proc/self/mem", &err));
    assert_false(file_take(&reader, &byte, 1, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "/proc/self/mem: cannot read: "));
    file_close(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_may_end_anywhere, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(calls_may_fail, make_folder, remove_folder),
        cmocka_unit_test(a_file_may_not_be_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
