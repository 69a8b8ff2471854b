/*
 * The central directory at the end of an archive is what counts, as for every other reader; local
 * headers are only looked at for where the data starts. What a file says of its unpacked size is
 * believed no further than deflate can pack (a match of 258 bytes in 2 bits), so that a small one
 * cannot ask for gigabytes; and what is unpacked goes straight to its place, for it may be most of
 * what the machine has.
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
enum { INFLATE_MEMORY = 44 << 10, DEFLATE_MOST = 1032 /* bytes that one may unpack to */ };

/* --- gzip --- */

enum { GZIP_BUFFER = 1 << 17 }; /* zlib makes one of this size and one of twice that */

static bool gzip_failed(gzFile in, const char *path, Err *err)
{
    int code;
    const char *text = gzerror(in, &code);
    if (code == Z_MEM_ERROR) return memory_refused(3 * GZIP_BUFFER + INFLATE_MEMORY, path, err);
    return err_set(err, code == Z_ERRNO ? ERR_FAILED : ERR_DATA, "%s: cannot be unpacked: %s", path,
                   code == Z_BUF_ERROR ? "it is cut short" : text);
}

static gzFile gzip_open(size_t *packed, const char *path, Err *err)
{
    FileReader reader;
    if (!file_open(&reader, path, err)) return NULL; /* for its messages */
    *packed = reader.size;
    file_close(&reader);
    gzFile in = gzopen(path, "rbe");
    if (in)
        gzbuffer(in, GZIP_BUFFER);
    else
        err_set(err, ERR_FAILED, "%s: cannot open it: %s", path, strerror(errno));
    return in;
}

/* Up to `bytes` more to `out`; *size are there. */
static bool gzip_take(gzFile in, unsigned char *out, size_t *size, size_t bytes, const char *path,
                      Err *err)
{
    for (*size = 0; *size < bytes;) {
        size_t want = bytes - *size;
        int got = gzread(in, out + *size, want < 1u << 30 ? (unsigned)want : 1u << 30), code;
        gzerror(in, &code);
        if (got < 0 || code == Z_BUF_ERROR) return gzip_failed(in, path, err);
        if (got == 0) break;
        *size += (size_t)got;
    }
    return true;
}

bool gzip_start(void *start, size_t *size, size_t bytes, size_t *most, const char *path, Err *err)
{
    *size = *most = 0;
    gzFile in = gzip_open(most, path, err);
    if (!in) return false;
    bool good = gzip_take(in, start, size, bytes, path, err);
    if (!gzdirect(in)) *most *= DEFLATE_MOST;
    gzclose_r(in);
    return good;
}

bool gzip_read(void *out, size_t *size, size_t bytes, size_t skip, const char *path, Err *err)
{
    unsigned char more;
    size_t packed, after = 0;
    *size = 0;
    gzFile in = gzip_open(&packed, path, err);
    if (!in) return false;
    bool good = gzseek(in, (z_off_t)skip, SEEK_SET) >= 0 || gzip_failed(in, path, err);
    good = good && gzip_take(in, out, size, bytes, path, err) &&
           (*size < bytes || gzip_take(in, &more, &after, 1, path, err));
    *size += after;
    gzclose_r(in);
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
    unsigned char *tail = memory_new(tail_size, 1, path, err);
    if (!tail) return false;
    bool good = take_at(archive, tail, size - tail_size, tail_size, err) &&
                find_directory(archive, tail, tail_size, err);
    free(tail);
    if (!good) return false;
    archive->directory = memory_new(archive->size, 1, path, err);
    return archive->directory &&
           take_at(archive, archive->directory, archive->place, archive->size, err);
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
    if (entry->size / DEFLATE_MOST > entry->packed)
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

/* All of the stream, whose bytes are the next of the file. */
static bool inflate_from(z_stream *stream, const Entry *entry, Archive *archive, int *code,
                         Err *err)
{
    unsigned char part[AT_ONCE];
    size_t left = entry->packed;
    bool good = true;
    do {
        if (stream->avail_in == 0) {
            stream->next_in = part;
            stream->avail_in = (uInt)(left < sizeof part ? left : sizeof part);
            left -= stream->avail_in;
            good = file_take(&archive->reader, part, stream->avail_in, err);
        }
        if (good) *code = inflate(stream, Z_NO_FLUSH);
    } while (good && *code == Z_OK && (left > 0 || stream->avail_in > 0));
    stream->avail_in += left > 0;
    stream->next_in = NULL; /* what is not used is not looked at again */
    return good;
}

/* A deflated member to exactly the bytes of `out` that it says it has. */
static bool inflate_all(unsigned char *out, const Entry *entry, Archive *archive, Err *err)
{
    z_stream stream = {.next_out = out, .avail_out = (uInt)entry->size};
    int code = inflateInit2(&stream, -MAX_WBITS);
    if (code == Z_OK) {
        bool read = inflate_from(&stream, entry, archive, &code, err);
        inflateEnd(&stream);
        if (!read) return false;
    }
    if (code == Z_MEM_ERROR) return memory_refused(INFLATE_MEMORY, archive->path, err);
    if (code == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0) return true;
    return damaged(archive, err, "the member does not unpack to the size it says");
}

static bool unpack(unsigned char *out, const Entry *entry, Archive *archive, size_t place, Err *err)
{
    if (entry->method == STORED) return take_at(archive, out, place, entry->packed, err);
    return take_at(archive, out, place, 0, err) && inflate_all(out, entry, archive, err);
}

static bool read_member(unsigned char **data, size_t *size, Archive *archive, const char *member,
                        Err *err)
{
    Entry entry = {0};
    size_t place = 0;
    if (!find_entry(&entry, archive, member, err) || !find_bytes(&place, &entry, archive, err))
        return false;
    *size = entry.size;
    *data = memory_new(*size + 1, 1, archive->path, err);
    if (!*data || !unpack(*data, &entry, archive, place, err)) return false;
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
