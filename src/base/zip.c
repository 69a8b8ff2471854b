/*
 * The central directory at the end of an archive is what counts, as for every other reader; local
 * headers are only looked at for where the data starts. What a member says of its unpacked size is
 * believed no further than deflate can pack (1032 to 1), so that a small file cannot ask for
 * gigabytes.
 */
#include "base/zip.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

uint32_t zip_crc32(const void *data, size_t size)
{
    return zip_crc32_more(0, data, size);
}

uint32_t zip_crc32_more(uint32_t crc, const void *data, size_t size)
{
    return size > 0 ? (uint32_t)crc32_z(crc, data, size) : crc;
}

/* A file is read in blocks whose CRCs are then put together. */
enum { BLOCK = 1 << 20, AT_ONCE = 1 << 16, ROUND = 64 }; /* bytes, bytes, blocks */

/* 0, or errno; EIO where the file ends too early. */
static int block_crc32(uLong *crc, int file, size_t place, size_t bytes)
{
    unsigned char part[AT_ONCE];
    *crc = 0;
    while (bytes > 0) {
        ssize_t got = pread(file, part, bytes < AT_ONCE ? bytes : AT_ONCE, (off_t)place);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? errno : EIO;
        *crc = crc32_z(*crc, part, (size_t)got);
        place += (size_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* Add the `bytes` from `place`, at most ROUND blocks, to *crc. */
static int round_crc32(uLong *crc, int file, size_t place, size_t bytes)
{
    uLong crcs[ROUND];
    int blocks = (int)((bytes + BLOCK - 1) / BLOCK), failed = 0;
    size_t last = bytes - (size_t)(blocks - 1) * BLOCK;
#pragma omp parallel for schedule(dynamic) reduction(max : failed) if (blocks > 1)
    for (int i = 0; i < blocks; i++) {
        int code =
            block_crc32(&crcs[i], file, place + (size_t)i * BLOCK, i < blocks - 1 ? BLOCK : last);
        failed = code > failed ? code : failed;
    }
    for (int i = 0; i < blocks && !failed; i++)
        *crc = crc32_combine(*crc, crcs[i], (z_off_t)(i < blocks - 1 ? BLOCK : last));
    return failed;
}

bool zip_crc32_file(uint32_t *crc, size_t *size, const char *path, Err *err)
{
    FileReader reader;
    if (!file_open(&reader, path, err)) return false;
    uLong sum = 0;
    int failed = 0;
    const size_t most = (size_t)ROUND * BLOCK;
    for (size_t at = 0; at < reader.size && !failed; at += most) {
        size_t left = reader.size - at;
        failed = round_crc32(&sum, fileno(reader.stream), at, left < most ? left : most);
    }
    *crc = (uint32_t)sum;
    *size = reader.size;
    file_close(&reader);
    return !failed ||
           err_set(err, ERR_FAILED, "%s: cannot be read to its end: %s", path, strerror(failed));
}

unsigned char *zip_deflate(size_t *out_size, const void *data, size_t size)
{
    uLongf room = compressBound((uLong)size);
    unsigned char *out = malloc(room);
    if (out && compress(out, &room, data, (uLong)size) == Z_OK) {
        *out_size = room;
        return out;
    }
    free(out);
    return NULL;
}

/* What zlib takes to unpack: its window and some tables (zlib's technical notes). */
enum { INFLATE_MEMORY = 44 << 10 };

/* --- gzip --- */

enum { GZIP_BUFFER = 1 << 17 }; /* zlib makes one of this size and one of twice that */

/* The buffer, grown so that at least one more byte and the final zero fit; NULL, with the old one
 * freed, if there is no memory. */
static unsigned char *grow(unsigned char *data, size_t *room, size_t used)
{
    if (used + 1 < *room) return data;
    *room = 2 * *room;
    unsigned char *grown = realloc(data, *room);
    if (!grown) free(data);
    return grown;
}

static bool gzip_failed(gzFile in, const char *path, Err *err)
{
    int code;
    const char *text = gzerror(in, &code);
    if (code == Z_MEM_ERROR) return memory_refused(3 * GZIP_BUFFER + INFLATE_MEMORY, path, err);
    return err_set(err, code == Z_ERRNO ? ERR_FAILED : ERR_DATA, "%s: cannot be unpacked: %s", path,
                   code == Z_BUF_ERROR ? "it is cut short" : text);
}

/* One byte more than `max` is read, to know of it. */
static bool gzip_read_all(gzFile in, unsigned char **data, size_t *size, const char *path,
                          size_t max, Err *err)
{
    size_t room = 1 << 16;
    *data = malloc(room);
    while (*data && *size <= max) {
        size_t want = room - 1 - *size, left = max - *size;
        if (want > left) want = left + 1;
        int got = gzread(in, *data + *size, want < 1u << 30 ? (unsigned)want : 1u << 30);
        int code;
        gzerror(in, &code);
        if (got < 0 || code == Z_BUF_ERROR) return gzip_failed(in, path, err);
        if (got == 0) return true;
        *size += (size_t)got;
        *data = grow(*data, &room, *size);
    }
    if (!*data) return memory_refused(room, path, err);
    return err_set(err, ERR_DATA, "%s: holds more than the %zu bytes expected", path, max);
}

static gzFile gzip_open(const char *path, Err *err)
{
    FileReader reader;
    if (!file_open(&reader, path, err)) return NULL; /* for its messages */
    file_close(&reader);
    gzFile in = gzopen(path, "rbe");
    if (in)
        gzbuffer(in, GZIP_BUFFER);
    else
        err_set(err, ERR_FAILED, "%s: cannot open it: %s", path, strerror(errno));
    return in;
}

bool gzip_start(void *start, size_t *size, size_t bytes, const char *path, Err *err)
{
    *size = 0;
    gzFile in = gzip_open(path, err);
    if (!in) return false;
    int got = gzread(in, start, (unsigned)bytes), code;
    gzerror(in, &code);
    bool good = (got >= 0 && code != Z_BUF_ERROR) || gzip_failed(in, path, err);
    if (good) *size = (size_t)got;
    gzclose_r(in);
    return good;
}

bool gzip_read(unsigned char **data, size_t *size, const char *path, size_t max, Err *err)
{
    *data = NULL, *size = 0;
    gzFile in = gzip_open(path, err);
    if (!in) return false;
    bool good = gzip_read_all(in, data, size, path, max, err);
    gzclose_r(in);
    if (good)
        (*data)[*size] = 0;
    else
        free(*data), *data = NULL, *size = 0;
    return good;
}

/* --- Numbers, little-endian --- */

static uint32_t get(const unsigned char *from, int bytes)
{
    uint32_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | from[i];
    return value;
}

static void put(unsigned char *to, int bytes, uint32_t value)
{
    for (int i = 0; i < bytes; i++) to[i] = (unsigned char)(value >> 8 * i);
}

/* --- Reading --- */

enum { LOCAL_SIZE = 30, ENTRY_SIZE = 46, END_SIZE = 22, STORED = 0, DEFLATED = 8 };
enum { LOCAL = 0x04034b50, ENTRY = 0x02014b50, END = 0x06054b50 };
#define ZIP64 0xffffffffu /* a size or place that stands in a ZIP64 field instead */

typedef struct {
    uint32_t flags, method, crc, packed, size, place; /* place of the local header */
} Entry;

typedef struct {
    FileReader reader;
    const char *path;
    unsigned char *directory;
    size_t place, size, entries; /* of the directory */
} Archive;

bool zip_is_archive(const char *path)
{
    FileReader reader;
    Err ignored;
    unsigned char start[4] = {0};
    bool good = file_open(&reader, path, &ignored) && file_take(&reader, start, 4, &ignored);
    file_close(&reader);
    return good && (get(start, 4) == LOCAL || get(start, 4) == END);
}

static bool damaged(const Archive *archive, Err *err, const char *what)
{
    return err_set(err, ERR_DATA, "%s: is no whole ZIP archive: %s", archive->path, what);
}

static bool take_at(Archive *archive, void *out, size_t place, size_t bytes, Err *err)
{
    if (fseeko(archive->reader.stream, (off_t)place, SEEK_SET) != 0)
        return damaged(archive, err, "a place behind its end");
    return file_take(&archive->reader, out, bytes, err);
}

/* The last record, which a comment of up to 65535 bytes may follow. */
static bool find_directory(Archive *archive, const unsigned char *tail, size_t tail_size, Err *err)
{
    for (size_t at = tail_size - END_SIZE + 1; at-- > 0;) {
        const unsigned char *end = tail + at;
        if (get(end, 4) != END || get(end + 20, 2) != tail_size - at - END_SIZE) continue;
        archive->entries = get(end + 10, 2);
        archive->size = get(end + 12, 4);
        archive->place = get(end + 16, 4);
        size_t end_place = archive->reader.size - tail_size + at;
        if (archive->entries == 0xffff || archive->place == ZIP64)
            return damaged(archive, err, "ZIP64 is not read");
        if (get(end + 4, 4) != 0) return damaged(archive, err, "it is in several parts");
        if (archive->place > end_place || archive->size != end_place - archive->place)
            return damaged(archive, err, "its directory is not where it says");
        return true;
    }
    return damaged(archive, err, "its directory is missing, it may be cut short");
}

static bool open_archive(Archive *archive, const char *path, Err *err)
{
    archive->path = path;
    if (!file_open(&archive->reader, path, err)) return false;
    size_t size = archive->reader.size;
    if (size < END_SIZE) return damaged(archive, err, "it is too short");
    size_t tail_size = size < END_SIZE + 65535 ? size : END_SIZE + 65535;
    unsigned char *tail = malloc(tail_size);
    if (!tail) return memory_refused(tail_size, path, err);
    bool good = take_at(archive, tail, size - tail_size, tail_size, err) &&
                find_directory(archive, tail, tail_size, err);
    free(tail);
    if (!good) return false;
    archive->directory = malloc(archive->size + 1);
    if (!archive->directory) return memory_refused(archive->size + 1, path, err);
    return take_at(archive, archive->directory, archive->place, archive->size, err);
}

static void close_archive(Archive *archive)
{
    free(archive->directory);
    file_close(&archive->reader);
}

/* The one entry of that name. */
static bool find_entry(Entry *entry, Archive *archive, const char *name, Err *err)
{
    int found = 0;
    size_t at = 0, length = strlen(name);
    for (size_t i = 0; i < archive->entries; i++) {
        const unsigned char *e = archive->directory + at;
        size_t left = archive->size - at;
        if (left < ENTRY_SIZE || get(e, 4) != ENTRY)
            return damaged(archive, err, "an entry of its directory is damaged");
        size_t name_size = get(e + 28, 2);
        size_t whole = ENTRY_SIZE + name_size + get(e + 30, 2) + get(e + 32, 2);
        if (left < whole) return damaged(archive, err, "an entry of its directory is cut short");
        at += whole;
        if (name_size != length || memcmp(e + ENTRY_SIZE, name, length) != 0) continue;
        *entry = (Entry){get(e + 8, 2),  get(e + 10, 2), get(e + 16, 4),
                         get(e + 20, 4), get(e + 24, 4), get(e + 42, 4)};
        found++;
    }
    if (at != archive->size)
        return damaged(archive, err, "its directory is longer than its entries");
    if (found == 1) return true;
    return err_set(err, ERR_DATA, "%s: holds %s \"%s\"", archive->path, found ? "twice" : "no",
                   name);
}

/* Where the entry's bytes start, once all that is said of them can be. */
static bool find_bytes(size_t *place, const Entry *entry, Archive *archive, Err *err)
{
    unsigned char local[LOCAL_SIZE];
    if (entry->flags & 1) return damaged(archive, err, "the member is encrypted");
    if (entry->packed == ZIP64 || entry->size == ZIP64 || entry->place == ZIP64)
        return damaged(archive, err, "ZIP64 is not read; use a .npy file");
    if (entry->method != STORED && entry->method != DEFLATED)
        return damaged(archive, err, "the member is neither stored nor deflated");
    if (entry->method == STORED && entry->packed != entry->size)
        return damaged(archive, err, "the member's two sizes differ");
    if (entry->size / 1032 > entry->packed)
        return damaged(archive, err, "the member cannot unpack to the size it says");
    if (entry->place > archive->place || archive->place - entry->place < LOCAL_SIZE)
        return damaged(archive, err, "the member is not where it says");
    if (!take_at(archive, local, entry->place, LOCAL_SIZE, err)) return false;
    *place = entry->place + LOCAL_SIZE + get(local + 26, 2) + get(local + 28, 2);
    if (get(local, 4) != LOCAL || *place > archive->place ||
        archive->place - *place < entry->packed)
        return damaged(archive, err, "the member is not where it says");
    return true;
}

/* A deflated member to exactly the bytes of `out` that it says it has. */
static bool inflate_all(unsigned char *out, const Entry *entry, unsigned char *packed,
                        const Archive *archive, Err *err)
{
    z_stream stream = {.next_in = packed, .avail_in = (uInt)entry->packed};
    stream.next_out = out, stream.avail_out = (uInt)entry->size;
    int code = inflateInit2(&stream, -MAX_WBITS);
    if (code == Z_OK) {
        code = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
    }
    if (code == Z_MEM_ERROR) return memory_refused(INFLATE_MEMORY, archive->path, err);
    if (code == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0) return true;
    return damaged(archive, err, "the member does not unpack to the size it says");
}

static bool unpack(unsigned char *out, const Entry *entry, Archive *archive, size_t place, Err *err)
{
    if (entry->method == STORED) return take_at(archive, out, place, entry->packed, err);
    unsigned char *packed = malloc((size_t)entry->packed + 1);
    if (!packed) return memory_refused((size_t)entry->packed + 1, archive->path, err);
    bool good = take_at(archive, packed, place, entry->packed, err) &&
                inflate_all(out, entry, packed, archive, err);
    free(packed);
    return good;
}

static bool read_member(unsigned char **data, size_t *size, Archive *archive, const char *member,
                        Err *err)
{
    Entry entry = {0};
    size_t place = 0;
    if (!find_entry(&entry, archive, member, err) || !find_bytes(&place, &entry, archive, err))
        return false;
    *size = entry.size;
    *data = malloc(*size + 1);
    if (!*data) return memory_refused(*size + 1, archive->path, err);
    (*data)[*size] = 0;
    if (!unpack(*data, &entry, archive, place, err)) return false;
    if (zip_crc32(*data, *size) == entry.crc) return true;
    return damaged(archive, err, "the member's bytes do not have the CRC it says");
}

bool zip_read(unsigned char **data, size_t *size, const char *path, const char *member, Err *err)
{
    Archive archive = {0};
    *data = NULL, *size = 0;
    bool good = open_archive(&archive, path, err) && read_member(data, size, &archive, member, err);
    close_archive(&archive);
    if (!good) free(*data), *data = NULL, *size = 0;
    return good;
}

/* --- Writing --- */

/* What the local header and the entry of the directory have in common, from "version needed". */
static void put_common(unsigned char *to, const ZipMember *member)
{
    uint32_t size = (uint32_t)(member->head_size + member->data_size);
    uint32_t crc =
        zip_crc32_more(zip_crc32(member->head, member->head_size), member->data, member->data_size);
    put(to, 2, 20);             /* version needed: 2.0 */
    put(to + 2, 2, 0);          /* flags */
    put(to + 4, 2, STORED);     /* method */
    put(to + 6, 2, 0);          /* 00:00 */
    put(to + 8, 2, 1 << 5 | 1); /* 1980-01-01 */
    put(to + 10, 4, crc);
    put(to + 14, 4, size);
    put(to + 18, 4, size);
    put(to + 22, 2, (uint32_t)strlen(member->name));
    put(to + 24, 2, 0); /* extra field */
}

static bool write_member(FileWriter *writer, const ZipMember *member, Err *err)
{
    unsigned char local[LOCAL_SIZE];
    put(local, 4, LOCAL);
    put_common(local + 4, member);
    return file_write(writer, local, LOCAL_SIZE, err) &&
           file_write(writer, member->name, strlen(member->name), err) &&
           file_write(writer, member->head, member->head_size, err) &&
           file_write(writer, member->data, member->data_size, err);
}

static bool write_entry(FileWriter *writer, const ZipMember *member, size_t place, Err *err)
{
    unsigned char entry[ENTRY_SIZE] = {0};
    put(entry, 4, ENTRY);
    put(entry + 4, 2, 20); /* version made by */
    put_common(entry + 6, member);
    put(entry + 42, 4, (uint32_t)place);
    return file_write(writer, entry, ENTRY_SIZE, err) &&
           file_write(writer, member->name, strlen(member->name), err);
}

static bool write_end(FileWriter *writer, size_t count, size_t place, size_t size, Err *err)
{
    unsigned char end[END_SIZE] = {0};
    put(end, 4, END);
    put(end + 8, 2, (uint32_t)count);
    put(end + 10, 2, (uint32_t)count);
    put(end + 12, 4, (uint32_t)size);
    put(end + 16, 4, (uint32_t)place);
    return file_write(writer, end, END_SIZE, err);
}

static size_t local_size(const ZipMember *member)
{
    return LOCAL_SIZE + strlen(member->name) + member->head_size + member->data_size;
}

bool zip_write(const char *path, const ZipMember *members, size_t count, Err *err)
{
    size_t place = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        place += local_size(&members[i]);
        size += ENTRY_SIZE + strlen(members[i].name);
    }
    if (count >= 0xffff || place + size >= ZIP64)
        return err_set(err, ERR_FAILED,
                       "%s: would take %zu bytes; a .npz holds less than 4 GiB: write .npy", path,
                       place + size);
    FileWriter writer;
    bool good = file_create(&writer, path, err);
    for (size_t i = 0; i < count && good; i++) good = write_member(&writer, &members[i], err);
    for (size_t i = 0, at = 0; i < count && good; at += local_size(&members[i++]))
        good = write_entry(&writer, &members[i], at, err);
    good = good && write_end(&writer, count, place, size, err) && file_commit(&writer, err);
    if (!good) file_abandon(&writer);
    return good;
}
