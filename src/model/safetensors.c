/*
 * Nothing here takes time or memory out of proportion to the file's size, whatever its header says:
 * names and offsets are checked by sorting, and no size is used before it is known to fit.
 */
#include "model/safetensors.h"

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER 100000000u         /* bytes, the format's own limit */
#define MAX_EXACT ((uint64_t)1 << 53) /* above it JSON's numbers are not exact */
static const char METADATA[] = "__metadata__";

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [TENSOR_F32] = {"F32", 4},   [TENSOR_F64] = {"F64", 8}, [TENSOR_F16] = {"F16", 2},
    [TENSOR_BF16] = {"BF16", 2}, [TENSOR_I64] = {"I64", 8}, [TENSOR_I32] = {"I32", 4},
    [TENSOR_I16] = {"I16", 2},   [TENSOR_I8] = {"I8", 1},   [TENSOR_U64] = {"U64", 8},
    [TENSOR_U32] = {"U32", 4},   [TENSOR_U16] = {"U16", 2}, [TENSOR_U8] = {"U8", 1},
    [TENSOR_BOOL] = {"BOOL", 1},
};
enum { TYPES = sizeof types / sizeof *types };

const char *tensor_type_name(TensorType type)
{
    return types[type].name;
}

size_t tensor_type_size(TensorType type)
{
    return types[type].size;
}

/* --- The header --- */

/* A tensor as the header has it; `begin` and `end` count from the start of the data. */
typedef struct {
    size_t begin, end;
    const char *name;
} Extent;

typedef struct {
    Safetensors *file;
    Extent *extents;  /* one for each tensor, in any order */
    size_t data_size; /* bytes behind the header */
    char *strings;    /* where the next name goes */
    const char *path;
} Header;

static bool bad(const Header *header, const char *name, Err *err, const char *what)
{
    return err_set(err, ERR_DATA, "%s: tensor \"%.200s\": %s", header->path, name, what);
}

static const char *keep_string(Header *header, const char *string)
{
    size_t size = strlen(string) + 1;
    char *kept = memcpy(header->strings, string, size);
    header->strings += size;
    return kept;
}

static bool read_type(Tensor *t, const Json *json, const Header *header, Err *err)
{
    const char *name = json && json_type(json) == JSON_STRING ? json_string(json) : NULL;
    if (!name) return bad(header, t->name, err, "\"dtype\" is missing or not a string");
    for (int i = 0; i < TYPES; i++)
        if (strcmp(name, types[i].name) == 0) {
            t->type = (TensorType)i;
            return true;
        }
    return err_set(err, ERR_DATA, "%s: tensor \"%.200s\": dtype \"%.40s\" is not known",
                   header->path, t->name, name);
}

static bool read_shape(Tensor *t, const Json *json, const Header *header, Err *err)
{
    if (!json || json_type(json) != JSON_LIST)
        return bad(header, t->name, err, "\"shape\" is missing or not a list");
    t->count = 1;
    for (const Json *child = json_first(json); child; child = json_next(child)) {
        uint64_t side;
        if (t->ndim == TENSOR_MAX_DIMS)
            return bad(header, t->name, err, "has more than 8 dimensions");
        if (!json_whole(&side, child, MAX_EXACT))
            return bad(header, t->name, err, "a side of \"shape\" is not a whole number >= 0");
        if (__builtin_mul_overflow(t->count, side, &t->count))
            return bad(header, t->name, err, "the product of \"shape\" overflows");
        t->shape[t->ndim++] = side;
    }
    if (__builtin_mul_overflow(t->count, types[t->type].size, &t->bytes))
        return bad(header, t->name, err, "the size in bytes overflows");
    return true;
}

static bool read_offsets(Extent *extent, const Tensor *t, const Json *json, const Header *header,
                         Err *err)
{
    if (!json || json_type(json) != JSON_LIST || json_count(json) != 2)
        return bad(header, t->name, err, "\"data_offsets\" is missing or not a list of two");
    uint64_t begin, end;
    const Json *first = json_first(json);
    if (!json_whole(&begin, first, header->data_size) ||
        !json_whole(&end, json_next(first), header->data_size) || end < begin)
        return err_set(err, ERR_DATA,
                       "%s: tensor \"%.200s\": \"data_offsets\" are not two whole numbers, the "
                       "second no less than the first, within the file's %zu bytes of data",
                       header->path, t->name, header->data_size);
    if (end - begin != t->bytes)
        return err_set(err, ERR_DATA,
                       "%s: tensor \"%.200s\": \"data_offsets\" span %zu bytes, but its shape and "
                       "dtype %s take %zu",
                       header->path, t->name, (size_t)(end - begin), types[t->type].name, t->bytes);
    *extent = (Extent){begin, end, t->name};
    return true;
}

static bool read_tensor(Header *header, const Json *json, Err *err)
{
    Safetensors *file = header->file;
    Tensor *t = &file->list[file->count];
    Extent *extent = &header->extents[file->count];
    t->name = keep_string(header, json_key(json));
    if (json_type(json) != JSON_OBJECT) return bad(header, t->name, err, "is not an object");
    for (const Json *child = json_first(json); child; child = json_next(child)) {
        const char *key = json_key(child);
        if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 &&
            strcmp(key, "data_offsets") != 0)
            return err_set(err, ERR_DATA, "%s: tensor \"%.200s\": unknown key \"%.40s\"",
                           header->path, t->name, key);
    }
    if (!read_type(t, json_get(json, "dtype"), header, err) ||
        !read_shape(t, json_get(json, "shape"), header, err) ||
        !read_offsets(extent, t, json_get(json, "data_offsets"), header, err))
        return false;
    t->data = file->data + extent->begin;
    file->count++;
    return true;
}

static bool read_metadata(Header *header, const Json *json, Err *err)
{
    Safetensors *file = header->file;
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_DATA, "%s: \"%s\" is not an object", header->path, METADATA);
    file->metadata = memory_new(json_count(json), sizeof *file->metadata, header->path, err);
    if (!file->metadata) return false;
    for (const Json *child = json_first(json); child; child = json_next(child)) {
        if (json_type(child) != JSON_STRING)
            return err_set(err, ERR_DATA, "%s: \"%s\": the value of \"%.200s\" is not a string",
                           header->path, METADATA, json_key(child));
        const char *key = keep_string(header, json_key(child));
        const char *value = keep_string(header, json_string(child));
        file->metadata[file->metadata_count++] = (SafetensorsText){key, value};
    }
    return true;
}

static int by_place(const void *left, const void *right)
{
    const Extent *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Tensor *)a)->name, ((const Tensor *)b)->name);
}

/* In the order of their places each tensor starts where the one before ends, and the last ends
 * where the file does. */
static bool check_cover(Header *header, Err *err)
{
    size_t count = header->file->count, at = 0;
    qsort(header->extents, count, sizeof *header->extents, by_place);
    for (size_t i = 0; i < count; i++) {
        const Extent *e = &header->extents[i];
        if (e->begin != at)
            return err_set(err, ERR_DATA,
                           "%s: tensor \"%.200s\" begins at byte %zu of the data, %s byte %zu, "
                           "where the one before it ends",
                           header->path, e->name, e->begin,
                           e->begin < at ? "before" : "with a hole after", at);
        at = e->end;
    }
    if (at == header->data_size) return true;
    return err_set(err, ERR_DATA, "%s: its tensors end at byte %zu of %zu bytes of data",
                   header->path, at, header->data_size);
}

static bool read_entries(Header *header, const Json *json, Err *err)
{
    for (const Json *child = json_first(json); child; child = json_next(child))
        if (!(strcmp(json_key(child), METADATA) == 0 ? read_metadata(header, child, err)
                                                     : read_tensor(header, child, err)))
            return false;
    if (!check_cover(header, err)) return false;
    qsort(header->file->list, header->file->count, sizeof *header->file->list, by_name);
    return true;
}

/* `text_size` bytes of JSON, decoded, are never fewer than those of the strings in it and a zero
 * byte behind each, since every one stands between two quotes. */
static bool read_header(Safetensors *file, const Json *json, const FileReader *reader,
                        size_t text_size, Err *err)
{
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_DATA, "%s: its header is not a JSON object", reader->path);
    size_t count = json_count(json);
    Header header = {.file = file,
                     .path = reader->path,
                     .data_size = reader->size - sizeof(uint64_t) - text_size};
    header.extents = memory_new(count, sizeof *header.extents, reader->path, err);
    file->list = memory_new(count, sizeof *file->list, reader->path, err);
    file->strings = header.strings = memory_new(text_size, 1, reader->path, err);
    bool good = header.extents && file->list && file->strings && read_entries(&header, json, err);
    free(header.extents);
    return good;
}

/* --- The file --- */

static bool read_length(size_t *length, FileReader *reader, Err *err)
{
    unsigned char bytes[8];
    if (reader->size < sizeof bytes)
        return err_set(err, ERR_DATA, "%s: has %zu bytes, too few for a safetensors file",
                       reader->path, reader->size);
    if (!file_take(reader, bytes, sizeof bytes, err)) return false;
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    *length = value;
    if (value <= MAX_HEADER && value <= reader->size - sizeof bytes) return true;
    return err_set(err, ERR_DATA,
                   "%s: says its header has %llu bytes, more than %s; not a safetensors file, or "
                   "cut short",
                   reader->path, (unsigned long long)value,
                   value > MAX_HEADER ? "the 100,000,000 allowed" : "the file has");
}

static bool read_json(Json **json, FileReader *reader, size_t length, Err *err)
{
    char origin[FILE_PATH + 16];
    snprintf(origin, sizeof origin, "%s: header", reader->path);
    char *text = memory_new(length, 1, origin, err);
    bool good =
        text && file_take(reader, text, length, err) && json_parse(json, text, length, origin, err);
    free(text);
    return good;
}

static bool read_all(Safetensors *file, FileReader *reader, Err *err)
{
    size_t length = 0;
    Json *json = NULL;
    if (!read_length(&length, reader, err) || !read_json(&json, reader, length, err)) return false;
    size_t data_size = reader->size - sizeof(uint64_t) - length;
    file->data = memory_new(data_size, 1, reader->path, err);
    bool good = file->data && read_header(file, json, reader, length, err) &&
                file_take(reader, file->data, data_size, err);
    json_free(json);
    return good;
}

bool safetensors_read(Safetensors *file, const char *path, Err *err)
{
    FileReader reader;
    *file = (Safetensors){0};
    if (!file_open(&reader, path, err)) return false;
    bool good = read_all(file, &reader, err);
    file_close(&reader);
    if (!good) safetensors_release(file);
    return good;
}

void safetensors_release(Safetensors *file)
{
    free(file->list);
    free(file->metadata);
    free(file->strings);
    free(file->data);
    *file = (Safetensors){0};
}

const Tensor *safetensors_find(const Safetensors *file, const char *name)
{
    Tensor key = {.name = name};
    if (file->count == 0) return NULL;
    return bsearch(&key, file->list, file->count, sizeof *file->list, by_name);
}

const char *safetensors_metadata(const Safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
    return NULL;
}

/* --- Elements --- */

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Half precision (IEEE 754 binary16): a sign, 5 bits of exponent, 10 of fraction. */
static float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3ff;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float tiny = (float)fraction * 0x1p-24f;
    return sign ? -tiny : tiny;
}

bool tensor_is_real(const Tensor *tensor)
{
    return tensor->type == TENSOR_F32 || tensor->type == TENSOR_F64 || tensor->type == TENSOR_F16 ||
           tensor->type == TENSOR_BF16;
}

void tensor_to_floats(float *out, const Tensor *tensor)
{
    assert(tensor_is_real(tensor));
    const unsigned char *data = tensor->data;
    if (tensor->type == TENSOR_F32) {
        if (tensor->count) memcpy(out, data, tensor->bytes);
        return;
    }
    for (size_t i = 0; i < tensor->count; i++) {
        double wide;
        uint16_t narrow;
        if (tensor->type == TENSOR_F64) {
            memcpy(&wide, data + i * sizeof wide, sizeof wide);
            out[i] = (float)wide;
        } else {
            memcpy(&narrow, data + i * sizeof narrow, sizeof narrow);
            out[i] = tensor->type == TENSOR_F16 ? float_of_half(narrow)
                                                : float_of_bits((uint32_t)narrow << 16);
        }
    }
}

/* --- Writing --- */

static size_t bytes_of(const TensorSpec *spec)
{
    size_t bytes = types[spec->type].size;
    for (int i = 0; i < spec->ndim; i++) bytes *= spec->shape[i];
    return bytes;
}

static Json *describe(const TensorSpec *spec, size_t begin)
{
    Json *json = json_new_object(), *shape = json_new_list(), *offsets = json_new_list();
    for (int i = 0; i < spec->ndim; i++) json_add_number(shape, (double)spec->shape[i]);
    json_add_number(offsets, (double)begin);
    json_add_number(offsets, (double)(begin + bytes_of(spec)));
    json_set_string(json, "dtype", types[spec->type].name);
    json_set(json, "shape", shape);
    json_set(json, "data_offsets", offsets);
    return json;
}

static Json *make_header(const SafetensorsPlan *plan)
{
    Json *json = json_new_object(), *metadata = plan->metadata_count ? json_new_object() : NULL;
    for (size_t i = 0; i < plan->metadata_count; i++)
        json_set_string(metadata, plan->metadata[i].key, plan->metadata[i].value);
    if (plan->metadata_count) json_set(json, METADATA, metadata);
    size_t at = 0;
    for (size_t i = 0; i < plan->count; i++) {
        json_set(json, plan->list[i].name, describe(&plan->list[i], at));
        at += bytes_of(&plan->list[i]);
    }
    return json; /* json_print tells where there was no memory */
}

static bool write_header(FileWriter *writer, const char *text, Err *err)
{
    static const char spaces[MEMORY_ALIGN + 1] =
        "                                                                ";
    unsigned char bytes[8];
    size_t length = strlen(text), total = memory_round(sizeof bytes + length);
    uint64_t padded = total - sizeof bytes;
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(padded >> 8 * i);
    return file_write(writer, bytes, sizeof bytes, err) && file_write(writer, text, length, err) &&
           file_write(writer, spaces, total - sizeof bytes - length, err);
}

static bool write_tensors(FileWriter *writer, const SafetensorsPlan *plan, Err *err)
{
    size_t largest = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (bytes_of(&plan->list[i]) > largest) largest = bytes_of(&plan->list[i]);
    void *data = memory_new(largest, 1, writer->path, err);
    bool good = data != NULL;
    for (size_t i = 0; i < plan->count && good; i++) {
        plan->fill(plan->context, i, data);
        good = file_write(writer, data, bytes_of(&plan->list[i]), err);
    }
    free(data);
    return good;
}

bool safetensors_write(const char *path, const SafetensorsPlan *plan, Err *err)
{
    FileWriter writer;
    char *text;
    Json *json = make_header(plan);
    bool good = json_print(&text, json, JSON_COMPACT, err) || err_prefix(err, "%s", path);
    json_free(json);
    if (!good) return false;
    good = file_create(&writer, path, err) && write_header(&writer, text, err) &&
           write_tensors(&writer, plan, err) && file_commit(&writer, err);
    if (!good) file_abandon(&writer);
    free(text);
    return good;
}
