/*
 * A safetensors file: every tensor and every text of it is looked up and read, and the whole is
 * written and read again. Then as one of the small files of this program: a history of losses, and
 * a classifier.
 */
#include "fuzz/fuzz.h"

#include "base/memory.h"
#include "model/safetensors.h"
#include "train/classifier.h"
#include "train/loss_history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool inside(const Safetensors *file, const Tensor *t, size_t data_size)
{
    const unsigned char *at = t->data;
    return at >= file->data && (size_t)(at - file->data) <= data_size &&
           t->bytes <= data_size - (size_t)(at - file->data);
}

static void read_floats(const Tensor *t)
{
    Err err;
    float *floats = memory_new(t->count, sizeof *floats, t->name, &err);
    fuzz_require(floats != NULL, "memory for a tensor that is there");
    tensor_to_floats(floats, t);
    fuzz_touch(floats, t->count * sizeof *floats);
    free(floats);
}

static void read_tensors(const Safetensors *file, size_t size)
{
    size_t sum = 0;
    for (size_t i = 0; i < file->count; i++) {
        const Tensor *t = &file->list[i];
        size_t count = 1;
        for (int d = 0; d < t->ndim; d++) count *= t->shape[d];
        fuzz_require(safetensors_find(file, t->name) == t, "a tensor is found by its name");
        fuzz_require(count == t->count, "as many elements as the shape says");
        fuzz_require(count * tensor_type_size(t->type) == t->bytes, "and as many bytes");
        fuzz_require(inside(file, t, size), "a tensor is inside of the data");
        fuzz_touch(t->data, t->bytes);
        if (tensor_is_real(t)) read_floats(t);
        sum += t->bytes;
    }
    fuzz_require(sum < size, "tensors do not overlap");
}

/* --- Once more --- */

static void fill(void *context, size_t index, void *out)
{
    const Safetensors *file = context;
    if (file->list[index].bytes) memcpy(out, file->list[index].data, file->list[index].bytes);
}

static bool write(const Safetensors *file, const char *path)
{
    Err err;
    TensorSpec *specs = memory_new(file->count, sizeof *specs, "specs", &err);
    for (size_t i = 0; i < file->count; i++) {
        const Tensor *t = &file->list[i];
        specs[i] = (TensorSpec){.name = t->name, .type = t->type, .ndim = t->ndim};
        memcpy(specs[i].shape, t->shape, sizeof t->shape);
    }
    SafetensorsPlan plan = {specs, file->count, file->metadata, file->metadata_count,
                            fill,  (void *)file};
    bool good = safetensors_write(path, &plan, &err);
    free(specs);
    return good;
}

static void same(const Tensor *a, const Tensor *b)
{
    fuzz_require(strcmp(a->name, b->name) == 0, "names stay");
    fuzz_require(a->type == b->type && a->ndim == b->ndim, "types stay");
    fuzz_require(memcmp(a->shape, b->shape, sizeof a->shape) == 0, "shapes stay");
    fuzz_require(a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0, "elements stay");
}

static void write_again(const Safetensors *file)
{
    Err err;
    Safetensors again;
    const char *path = fuzz_path("again");
    fuzz_require(write(file, path), "what was read is written");
    fuzz_require(safetensors_read(&again, path, &err), "and read again");
    fuzz_require(again.count == file->count, "with all of its tensors");
    for (size_t i = 0; i < file->count; i++) same(&again.list[i], &file->list[i]);
    fuzz_require(again.metadata_count == file->metadata_count, "and texts");
    for (size_t i = 0; i < file->metadata_count; i++) {
        fuzz_require(strcmp(again.metadata[i].key, file->metadata[i].key) == 0, "keys stay");
        fuzz_require(strcmp(again.metadata[i].value, file->metadata[i].value) == 0, "values stay");
    }
    safetensors_release(&again);
}

/* --- What the program itself keeps in such files --- */

static void read_history(const char *path)
{
    enum { T = 3 };
    Arena arena;
    TimestepHistory history;
    Err err;
    fuzz_require(arena_init(&arena, timestep_history_bytes(T), "a history", &err), "memory");
    timestep_history_init(&history, &arena, T);
    if (loss_history_read(&history, path, &err)) {
        for (int i = 0; i < T * TIMESTEP_HISTORY; i++)
            fuzz_require(isfinite(history.losses[i]), "losses are finite");
        for (int i = 0; i < T; i++)
            fuzz_require(history.counts[i] >= 0 && history.counts[i] <= TIMESTEP_HISTORY,
                         "counts are of losses");
    } else {
        fuzz_refused(&err);
    }
    arena_release(&arena);
}

static void read_classifier(const char *path)
{
    const Dataset set = {.count = 1, .height = 8, .width = 8, .channels = 1};
    Classifier classifier;
    Err err;
    if (classifier_read(&classifier, path, &set, &err))
        classifier_release(&classifier);
    else
        fuzz_refused(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Safetensors file;
    Err err;
    const char *path = fuzz_file(data, size);
    if (!safetensors_read(&file, path, &err)) {
        fuzz_refused(&err);
        return 0;
    }
    read_history(path);
    read_classifier(path);
    read_tensors(&file, size);
    for (size_t i = 0; i < file.metadata_count; i++)
        fuzz_require(safetensors_metadata(&file, file.metadata[i].key) == file.metadata[i].value,
                     "a text is found by its key");
    write_again(&file);
    safetensors_release(&file);
    return 0;
}
