#include "train/damage.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SOME = 100 }; /* places in the header, and behind it, where not all are asked for */

void loaded_add(Loaded *loaded, const void *data, size_t size)
{
    if (loaded->size + size > loaded->room) {
        loaded->room = 2 * (loaded->size + size);
        loaded->bytes = realloc(loaded->bytes, loaded->room);
        assert_non_null(loaded->bytes);
    }
    if (size > 0) memcpy(loaded->bytes + loaded->size, data, size);
    loaded->size += size;
}

typedef struct {
    const DamageCase *of;
    char *folder, *path;
    unsigned char *whole;
    size_t size, header;
    bool all;
    Loaded good; /* what is read of the file as it was */
    int file;
    long inputs, errors, equal, others;
} Damage;

static void start(Damage *d, const DamageCase *c, bool all)
{
    Err err;
    *d = (Damage){.of = c, .folder = c->make(), .all = all};
    d->path = test_path(d->folder, c->file);
    if (!file_read(&d->whole, &d->size, d->path, 1 << 24, &err) ||
        !c->load(&d->good, d->folder, &err))
        fail_msg("%s", err.text);
    d->header = c->header ? c->header(d->whole) : 0;
    assert_true(d->header <= d->size);
    d->file = open(d->path, O_RDWR);
    assert_true(d->file >= 0);
}

static void end(Damage *d)
{
    print_message("%s: %ld inputs of %zu bytes: %ld errors, %ld equal, %ld others\n", d->of->name,
                  d->inputs, d->size, d->errors, d->equal, d->others);
    close(d->file);
    free(d->good.bytes), free(d->whole), free(d->path);
    test_remove_folder(d->folder);
}

/* What is read of the file now; `what` was done to it at `place`. */
static void look(Damage *d, bool told, const char *what, size_t place)
{
    Loaded now = {0};
    Err err = {0};
    d->inputs++;
    if (!d->of->load(&now, d->folder, &err)) {
        d->errors++;
        if (err.kind != ERR_DATA || !strstr(err.text, d->folder))
            fail_msg("%s: %s at %zu: kind %d: %s", d->path, what, place, (int)err.kind, err.text);
    } else if (now.size == d->good.size && memcmp(now.bytes, d->good.bytes, now.size) == 0) {
        d->equal++;
    } else {
        d->others++;
        if (told) fail_msg("%s: %s at %zu is not noticed", d->path, what, place);
    }
    free(now.bytes);
}

static void put(Damage *d, size_t place, unsigned char byte)
{
    assert_int_equal(pwrite(d->file, &byte, 1, (off_t)place), 1);
}

static void change(Damage *d, size_t place, bool told)
{
    unsigned char byte = d->whole[place];
    put(d, place, (unsigned char)(byte ^ 1 << place % 8));
    look(d, told, "a bit", place);
    put(d, place, (unsigned char)~byte);
    look(d, told, "a byte", place);
    put(d, place, byte);
}

/* The place after `at` to look at. */
static size_t next(const Damage *d, size_t at)
{
    bool behind = at >= d->header;
    size_t step = d->all ? 1 : 1 + (behind ? d->size - d->header : d->header) / SOME;
    return behind || at + step < d->header ? at + step : d->header;
}

static void change_bytes(Damage *d)
{
    DamageTold told = d->of->told;
    for (size_t at = 0; at < d->size; at = next(d, at))
        change(d, at, told == DAMAGE_TOLD || (told == DAMAGE_HEADER_TOLD && at < d->header));
}

/* From the longest to the shortest, so that the file need not be written again. */
static void cut(Damage *d)
{
    size_t *lengths = malloc(d->size * sizeof *lengths), count = 0;
    assert_non_null(lengths);
    for (size_t at = 0; at < d->size; at = next(d, at)) lengths[count++] = at;
    while (count-- > 0) {
        assert_int_equal(ftruncate(d->file, (off_t)lengths[count]), 0);
        look(d, d->of->told != DAMAGE_NOT_TOLD, "a cut", lengths[count]);
    }
    free(lengths);
}

void damage_try(const DamageCase *c, bool all)
{
    Damage d;
    start(&d, c, all);
    change_bytes(&d);
    Loaded again = {0};
    Err err;
    if (!c->load(&again, d.folder, &err)) fail_msg("%s", err.text); /* as it was */
    assert_int_equal(again.size, d.good.size);
    assert_memory_equal(again.bytes, d.good.bytes, again.size);
    free(again.bytes);
    cut(&d);
    end(&d);
}
