/*
 * The header of a .npy is the text of a Python dictionary. It is read by a small parser of just
 * what NumPy writes there, in any order of keys; all else is refused.
 */
#include "base/npy.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *descr; /* NumPy's, and the header's */
    size_t size;
} types[] = {
    [ARRAY_U8] = {"uint8", "|u1", 1},
    [ARRAY_F32] = {"float32", "<f4", 4},
    [ARRAY_F64] = {"float64", "<f8", 8},
    [ARRAY_I64] = {"int64", "<i8", 8},
};
enum { TYPES = sizeof types / sizeof *types };

const char *array_type_name(ArrayType type)
{
    return types[type].name;
}

size_t array_type_size(ArrayType type)
{
    return types[type].size;
}

static size_t bytes_of(const Array *array)
{
    return array->count * types[array->type].size;
}

bool array_init(Array *array, ArrayType type, int ndim, const size_t *shape, const char *what,
                Err *err)
{
    assert(ndim >= 0 && ndim <= ARRAY_MAX_DIMS);
    *array = (Array){.type = type, .ndim = ndim, .count = 1};
    for (int i = 0; i < ndim; i++) {
        array->shape[i] = shape[i];
        if (__builtin_mul_overflow(array->count, shape[i], &array->count))
            return err_set(err, ERR_FAILED, "%s: the product of its sides overflows", what);
    }
    array->data = memory_new(array->count, types[type].size, what, err);
    return array->data != NULL;
}

void array_release(Array *array)
{
    free(array->data);
    *array = (Array){0};
}

/* --- The header's dictionary --- */

typedef struct {
    const char *at; /* in text that ends in a zero byte */
    const char *path;
} Parser;

static bool bad(const Parser *parser, Err *err, const char *what)
{
    return err_set(err, ERR_DATA, "%s: is no .npy file that can be read: %s", parser->path, what);
}

static void skip_spaces(Parser *parser)
{
    parser->at += strspn(parser->at, " ");
}

/* Whether the next character but spaces is `c`; if so, it is passed. */
static bool next_is(Parser *parser, char c)
{
    skip_spaces(parser);
    if (*parser->at != c) return false;
    parser->at++;
    return true;
}

static bool parse_word(char word[32], Parser *parser)
{
    char quote = next_is(parser, '\'') ? '\'' : '"';
    if (quote == '"' && !next_is(parser, '"')) return false;
    size_t length = strcspn(parser->at, quote == '"' ? "\"" : "'");
    if (length >= 32 || parser->at[length] != quote) return false;
    memcpy(word, parser->at, length);
    word[length] = 0;
    parser->at += length + 1;
    return true;
}

static bool parse_type(Array *array, Parser *parser, Err *err)
{
    char word[32];
    if (!parse_word(word, parser)) return bad(parser, err, "its type is no simple one");
    for (int i = 0; i < TYPES; i++)
        if (strcmp(word, types[i].descr) == 0) {
            array->type = (ArrayType)i;
            return true;
        }
    return err_set(err, ERR_DATA,
                   "%s: its type is %s; convert it to uint8, float32, float64 or int64, "
                   "little-endian",
                   parser->path, word);
}

static bool parse_order(Parser *parser, Err *err)
{
    skip_spaces(parser);
    if (strncmp(parser->at, "False", 5) == 0) {
        parser->at += 5;
        return true;
    }
    if (strncmp(parser->at, "True", 4) != 0) return bad(parser, err, "its order is not said");
    return err_set(err, ERR_DATA,
                   "%s: is in Fortran order; save it with numpy.ascontiguousarray first",
                   parser->path);
}

static bool parse_side(size_t *side, Parser *parser)
{
    skip_spaces(parser);
    *side = 0;
    if (*parser->at < '0' || *parser->at > '9') return false;
    for (; *parser->at >= '0' && *parser->at <= '9'; parser->at++)
        if (__builtin_mul_overflow(*side, (size_t)10, side) ||
            __builtin_add_overflow(*side, (size_t)(*parser->at - '0'), side))
            return false;
    return true;
}

/* "()", "(3,)", "(2, 3)" */
static bool parse_shape(Array *array, Parser *parser, Err *err)
{
    if (!next_is(parser, '(')) return bad(parser, err, "its shape is no tuple");
    while (!next_is(parser, ')')) {
        if (array->ndim == ARRAY_MAX_DIMS) return bad(parser, err, "it has more than 6 dimensions");
        if (!parse_side(&array->shape[array->ndim++], parser))
            return bad(parser, err, "a side of its shape is no whole number");
        if (!next_is(parser, ',')) {
            if (next_is(parser, ')')) return true;
            return bad(parser, err, "its shape is no tuple");
        }
    }
    return true;
}

static bool parse_entry(Array *array, unsigned *seen, Parser *parser, Err *err)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[32];
    unsigned which = 0;
    if (!parse_word(key, parser) || !next_is(parser, ':'))
        return bad(parser, err, "its header is no dictionary");
    while (which < 3 && strcmp(key, keys[which]) != 0) which++;
    if (which == 3 || *seen & 1u << which)
        return bad(parser, err, "its header has a wrong key, or one twice");
    *seen |= 1u << which;
    return which == 0   ? parse_type(array, parser, err)
           : which == 1 ? parse_order(parser, err)
                        : parse_shape(array, parser, err);
}

static bool parse_header(Array *array, const char *text, const char *path, Err *err)
{
    Parser parser = {text, path};
    unsigned seen = 0;
    if (!next_is(&parser, '{')) return bad(&parser, err, "its header is no dictionary");
    while (!next_is(&parser, '}')) {
        if (!parse_entry(array, &seen, &parser, err)) return false;
        if (next_is(&parser, ',')) continue;
        if (!next_is(&parser, '}')) return bad(&parser, err, "its header is no dictionary");
        break;
    }
    if (seen != 7) return bad(&parser, err, "its header lacks a key");
    parser.at += strspn(parser.at, " \n");
    return *parser.at == 0 || bad(&parser, err, "there is more behind the header's dictionary");
}

/* --- Reading --- */

/* Where the bytes come from: a file, or a member of a .npz in memory. */
typedef struct {
    FileReader *reader;    /* or NULL, and then: */
    unsigned char *memory; /* of memory_new */
    size_t size, taken;    /* bytes */
    const char *path;
} Source;

static bool take(Source *source, void *out, size_t bytes, Err *err)
{
    if (bytes > source->size - source->taken)
        return err_set(err, ERR_DATA, "%s: is cut short: has %zu bytes", source->path,
                       source->size);
    if (source->reader) {
        if (!file_take(source->reader, out, bytes, err)) return false;
    } else {
        memcpy(out, source->memory + source->taken, bytes);
    }
    source->taken += bytes;
    return true;
}

/* The magic bytes, the version, and the length of the text. */
static bool read_start(size_t *length, Source *source, Err *err)
{
    unsigned char start[8], size[4] = {0};
    if (!take(source, start, sizeof start, err)) return false;
    if (memcmp(start, "\x93NUMPY", 6) != 0)
        return err_set(err, ERR_DATA, "%s: is no .npy file: its first bytes are not NumPy's",
                       source->path);
    if ((start[6] != 1 && start[6] != 2) || start[7] != 0)
        return err_set(err, ERR_DATA, "%s: is of .npy version %d.%d; 1.0 and 2.0 can be read",
                       source->path, start[6], start[7]);
    if (!take(source, size, start[6] == 1 ? 2 : 4, err)) return false;
    *length = size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;
    return true;
}

static bool read_header(Array *array, Source *source, Err *err)
{
    char text[65536];
    size_t length = 0;
    if (!read_start(&length, source, err)) return false;
    if (length >= sizeof text)
        return err_set(err, ERR_DATA, "%s: its header has %zu bytes; at most %zu can be read",
                       source->path, length, sizeof text - 1);
    if (!take(source, text, length, err)) return false;
    text[length] = 0;
    if (strlen(text) != length)
        return err_set(err, ERR_DATA, "%s: has a zero byte in its header", source->path);
    return parse_header(array, text, source->path, err);
}

/* That the shape takes just the bytes that are left. */
static bool check_size(const Array *array, const Source *source, Err *err)
{
    size_t bytes = types[array->type].size, left = source->size - source->taken;
    bool overflow = false;
    for (int i = 0; i < array->ndim; i++)
        overflow = __builtin_mul_overflow(bytes, array->shape[i], &bytes) || overflow;
    if (!overflow && bytes == left) return true;
    if (overflow)
        return err_set(err, ERR_DATA, "%s: the product of its shape overflows", source->path);
    return err_set(err, ERR_DATA, "%s: its shape of %s takes %zu bytes, but %zu are there",
                   source->path, types[array->type].name, bytes, left);
}

/* That of a member stays in its block, which becomes the array's: there may be no room for two. */
static bool read_data(Array *array, const Array *header, Source *source, Err *err)
{
    if (source->reader)
        return array_init(array, header->type, header->ndim, header->shape, source->path, err) &&
               take(source, array->data, bytes_of(array), err);
    *array = *header;
    array->count = (source->size - source->taken) / types[array->type].size;
    array->data = memmove(source->memory, source->memory + source->taken, bytes_of(array));
    source->memory = NULL;
    return true;
}

static bool read_array(Array *array, Source *source, Err *err)
{
    Array header = {0};
    return read_header(&header, source, err) && check_size(&header, source, err) &&
           read_data(array, &header, source, err);
}

static bool read_file(Array *array, const char *path, Err *err)
{
    FileReader reader;
    if (!file_open(&reader, path, err)) return false;
    Source source = {.reader = &reader, .size = reader.size, .path = path};
    bool good = read_array(array, &source, err);
    file_close(&reader);
    if (!good) array_release(array);
    return good;
}

bool npy_read(Array *array, const char *path, Err *err)
{
    *array = (Array){0};
    return zip_is_archive(path) ? npz_read(array, path, "arr_0", err) : read_file(array, path, err);
}

bool npz_read(Array *array, const char *path, const char *key, Err *err)
{
    char member[FILE_PATH], name[FILE_PATH];
    unsigned char *bytes;
    size_t size;
    *array = (Array){0};
    if (!file_path(member, err, "%s.npy", key) || !file_path(name, err, "%s(%s)", path, key) ||
        !zip_read(&bytes, &size, path, member, err))
        return false;
    Source source = {.memory = bytes, .size = size, .path = name};
    bool good = read_array(array, &source, err);
    free(source.memory);
    if (!good) array_release(array);
    return good;
}

/* --- Writing --- */

enum { HEADER_ROOM = 256 }; /* six sides of 20 digits, and the rest, in whole 64 bytes */

/* The header's size. */
static size_t make_header(char header[HEADER_ROOM], const Array *array)
{
    char text[HEADER_ROOM];
    int used = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                        types[array->type].descr);
    for (int i = 0; i < array->ndim; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%zu%s", array->shape[i],
                         array->ndim == 1      ? ","
                         : i + 1 < array->ndim ? ", "
                                               : "");
    used += snprintf(text + used, sizeof text - (size_t)used, "), }");
    size_t size = memory_round(10 + (size_t)used + 1), length = size - 10;
    assert(size <= HEADER_ROOM);
    memset(header, ' ', size);
    memcpy(header, "\x93NUMPY\1\0", 8);
    header[8] = (char)length, header[9] = 0;
    memcpy(header + 10, text, (size_t)used);
    header[size - 1] = '\n';
    return size;
}

bool npy_write(const char *path, const Array *array, Err *err)
{
    char header[HEADER_ROOM];
    FileWriter writer;
    size_t size = make_header(header, array);
    return file_create(&writer, path, err) && file_write(&writer, header, size, err) &&
           file_write(&writer, array->data, bytes_of(array), err) && file_commit(&writer, err);
}

bool npz_write(const char *path, const NpzEntry *entries, size_t count, Err *err)
{
    char(*headers)[HEADER_ROOM] = memory_new(count, HEADER_ROOM, path, err);
    char(*names)[64] = memory_new(count, sizeof *names, path, err);
    ZipMember *members = memory_new(count, sizeof *members, path, err);
    bool good = headers && names && members;
    for (size_t i = 0; i < count && good; i++) {
        assert(strlen(entries[i].key) + sizeof ".npy" <= sizeof names[i]);
        snprintf(names[i], sizeof names[i], "%s.npy", entries[i].key);
        members[i] = (ZipMember){.name = names[i],
                                 .head = headers[i],
                                 .head_size = make_header(headers[i], entries[i].array),
                                 .data = entries[i].array->data,
                                 .data_size = bytes_of(entries[i].array)};
    }
    good = good && zip_write(path, members, count, err);
    free(headers);
    free(names);
    free(members);
    return good;
}
