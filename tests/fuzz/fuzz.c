#include "fuzz/fuzz.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "diffusion/schedule.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fuzz_split(FuzzPart *parts, int most, const uint8_t *data, size_t size)
{
    static const char line[] = "\n==\n";
    const size_t cut = sizeof line - 1;
    int count = 0;
    while (count + 1 < most) {
        const uint8_t *at = size > 0 ? memmem(data, size, line, cut) : NULL;
        if (!at) break;
        size_t before = (size_t)(at - data);
        parts[count++] = (FuzzPart){data, before};
        data = at + cut, size -= before + cut;
    }
    parts[count++] = (FuzzPart){data, size};
    return count;
}

/* --- Files --- */

static char folder[FILE_PATH];

static void remove_folder(void)
{
    Err ignored;
    file_remove(folder, &ignored);
}

static void make_folder(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ddpm-fuzz-XXXXXX", parent && *parent ? parent : "/tmp");
    fuzz_require(mkdtemp(folder) != NULL, "a folder for files");
    atexit(remove_folder);
}

const char *fuzz_path(const char *name)
{
    static char path[FILE_PATH];
    Err err;
    if (!*folder) make_folder();
    if (!name) return folder;
    fuzz_require(file_path(path, &err, "%s/%s", folder, name), "a path");
    return path;
}

const char *fuzz_put(const char *name, FuzzPart part)
{
    const char *path = fuzz_path(name);
    if (!part.data) {
        unlink(path);
        return path;
    }
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = file >= 0 && write(file, part.data, part.size) == (ssize_t)part.size;
    fuzz_require(good && close(file) == 0, "a file for the input");
    return path;
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    /* libFuzzer's empty input may be NULL, which is a file all the same */
    return fuzz_put("input", (FuzzPart){size > 0 ? data : (const uint8_t *)"", size});
}

/* --- What must hold --- */

void fuzz_require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

void fuzz_refused(const Err *err)
{
    size_t length = strnlen(err->text, sizeof err->text);
    if (err->kind != ERR_DATA && err->kind != ERR_USAGE)
        fprintf(stderr, "kind %d: %s\n", (int)err->kind, err->text);
    fuzz_require(err->kind == ERR_DATA || err->kind == ERR_USAGE, "what is refused is the input");
    fuzz_require(length > 0 && length < sizeof err->text, "a refusal has a message");
    for (size_t at = 0, size; at < length; at += size) {
        unsigned code;
        size = utf8_read(&code, err->text + at, length - at);
        fuzz_require(size > 0 && !utf8_is_control(code), "a message may be shown");
    }
}

void fuzz_chain(const DiffusionConfig *config)
{
    Arena arena;
    Schedule chain;
    Err err;
    if (config->timesteps > FUZZ_MOST_STEPS) return;
    fuzz_require(arena_init(&arena, schedule_bytes(config->timesteps), "a chain", &err), "memory");
    schedule_init(&chain, &arena, config);
    fuzz_require(chain.T == config->timesteps, "a chain has T entries");
    for (int i = 0; i < chain.T; i++) {
        bool ends = chain.alpha_bar[i] == 0 && i + 1 == chain.T;
        fuzz_require(chain.beta[i] > 0 && chain.beta[i] <= 1, "betas are in (0, 1]");
        fuzz_require(chain.alpha_bar[i] < (i > 0 ? chain.alpha_bar[i - 1] : 1), "alpha-bar falls");
        fuzz_require(chain.alpha_bar[i] > 0 || ends, "alpha-bar is above 0 but at the end");
        fuzz_require(isfinite(chain.posterior_log_variance[i]), "log-variances are finite");
        fuzz_require(isfinite(chain.coef_x0[i]) && isfinite(chain.coef_xt[i]),
                     "the posterior mean is finite");
    }
    arena_release(&arena);
}

void fuzz_touch(const void *data, size_t size)
{
    static volatile unsigned sum; /* or nothing would be read */
    const unsigned char *bytes = data;
    unsigned all = 0;
    for (size_t i = 0; i < size; i++) all += bytes[i];
    sum = all;
    (void)sum;
}
