/*
 * Whether an image is one of those that are to be drawn, its texts tell (train/provenance.h); there
 * is no list beside the images that could say something else than they do.
 */
#include "cmd/sample_folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/image.h"
#include "data/pixels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void image_name(char name[32], uint32_t index)
{
    snprintf(name, 32, "%06" PRIu32 ".png", index);
}

/* Whether `name` is that of an image, and of which. */
static bool index_of(uint32_t *index, const char *name)
{
    char expected[32];
    *index = (uint32_t)strtoul(name, NULL, 10);
    image_name(expected, *index);
    return strcmp(name, expected) == 0;
}

static Provenance provenance_of(const SampleOutput *o, uint32_t index)
{
    Provenance how = *o->how;
    provenance_add_index(&how, o->classes, index);
    return how;
}

static bool check_image(SampleFolder *f, const char *name, uint32_t index, Err *err)
{
    const SampleOutput *o = f->output;
    char path[FILE_PATH];
    Provenance how = provenance_of(o, index);
    Err why;
    if (!file_path(path, err, "%s/%s", o->path, name)) return false;
    if (!provenance_check(&how, path, &why))
        return err_set(err, why.kind, "--output %s: %s; name another folder, or remove the image",
                       o->path, why.text);
    uint32_t at = index - o->first;
    if (index >= o->first && at < (uint32_t)o->count) f->there[at] = true, f->left--;
    return true;
}

static bool check_images(SampleFolder *f, Err *err)
{
    FileList list;
    uint32_t index;
    bool ok = true;
    if (!file_list(&list, f->output->path, err)) return false;
    for (size_t i = 0; ok && i < list.count; i++)
        if (index_of(&index, list.names[i])) ok = check_image(f, list.names[i], index, err);
    file_list_release(&list);
    return ok;
}

bool sample_folder_open(SampleFolder *f, const SampleOutput *output, Err *err)
{
    *f = (SampleFolder){.output = output, .left = output->count};
    f->there = memory_new((size_t)output->count, sizeof *f->there, "the list of images", err);
    return f->there && file_make_folder(output->path, err) && check_images(f, err);
}

void sample_folder_release(SampleFolder *f)
{
    free(f->there);
    *f = (SampleFolder){0};
}

bool sample_folder_needs(const SampleFolder *f, int at, int n)
{
    return memchr(f->there + at, 0, (size_t)n) != NULL;
}

static bool write_one(const SampleFolder *f, Image *image, const float *pixels, int at, Err *err)
{
    const SampleOutput *o = f->output;
    char path[FILE_PATH], name[32];
    uint32_t index = o->first + (uint32_t)at;
    Provenance how = provenance_of(o, index);
    PngText texts[PROVENANCE_MAX];
    image_name(name, index);
    pixels_to_bytes(image->pixels, pixels, sample_output_floats(o));
    return file_path(path, err, "%s/%s", o->path, name) &&
           image_write(path, image, texts, provenance_texts(texts, &how), err);
}

bool sample_folder_write(SampleFolder *f, const float *images, int at, int n, Err *err)
{
    const SampleOutput *o = f->output;
    Image image;
    bool ok = image_new(&image, o->height, o->width, o->channels, err);
    for (int i = 0; ok && i < n; i++) {
        if (f->there[at + i]) continue;
        ok = write_one(f, &image, images + (size_t)i * sample_output_floats(o), at + i, err);
        if (ok) f->there[at + i] = true, f->left--;
    }
    image_release(&image);
    return ok;
}
