/*
 * A harness without libFuzzer: main of a test that gives it every file of its corpus once, which is
 * tests/fuzz/corpus/NAME for a program NAME, or the files and folders that are its arguments. A
 * defect is an abort or a sanitizer's finding; the file is named before.
 */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "base/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool replay_file(size_t *done, const char *path, Err *err)
{
    unsigned char *data;
    size_t size;
    if (!file_read(&data, &size, path, (size_t)1 << 30, err)) return false;
    printf("# %s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    ++*done;
    return true;
}

static bool replay(size_t *done, const char *path, Err *err)
{
    FileList list;
    char file[FILE_PATH];
    if (!file_is_folder(path)) return replay_file(done, path, err);
    bool good = file_list(&list, path, err);
    for (size_t i = 0; good && i < list.count; i++)
        good = file_path(file, err, "%s/%s", path, list.names[i]) && replay_file(done, file, err);
    file_list_release(&list);
    return good;
}

int main(int argc, char **argv)
{
    char corpus[FILE_PATH];
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    size_t done = 0;
    Err err = {0};
    parallel_setup(1);
    puts("1..1");
    LLVMFuzzerTestOneInput(NULL, 0);
    bool good = file_path(corpus, &err, "tests/fuzz/corpus/%s", name);
    if (argc < 2) good = good && replay(&done, corpus, &err);
    for (int i = 1; good && i < argc; i++) good = replay(&done, argv[i], &err);
    good = good && (done > 0 || err_set(&err, ERR_DATA, "%s is empty", corpus));
    printf("%sok 1 - %zu inputs of %s\n", good ? "" : "not ", done, name);
    if (!good) printf("# %s\n", err.text);
    return good ? 0 : 1;
}
