/*
 * What zlib gives: CRC-32, gzip files, and ZIP archives as .npz needs them (PKWARE's APPNOTE;
 * stored or deflated members below 4 GiB, no encryption, no ZIP64).
 */
#ifndef DDPM_BASE_ZIP_H
#define DDPM_BASE_ZIP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of PNG, gzip and ZIP. */
uint32_t zip_crc32(const void *data, size_t size);

/* That of what `crc` is of, and then `data`. */
uint32_t zip_crc32_more(uint32_t crc, const void *data, size_t size);

/* That of a whole file, and the bytes it has; by all threads, and no more than a few of its pages
 * are held at once. */
bool zip_crc32_file(uint32_t *crc, size_t *size, const char *path, Err *err);

/* `data` as a zlib stream (RFC 1950), which a PNG holds; the caller frees it. NULL if there is no
 * memory. */
unsigned char *zip_deflate(size_t *out_size, const void *data, size_t size);

/* The first `bytes` of a file, unpacked if it is gzip (told by its first bytes, not by its name),
 * or fewer: *size. *most is what it can come to as a whole, by its size: its header is best
 * compared with that before memory is taken for the rest. */
bool gzip_start(void *start, size_t *size, size_t bytes, size_t *most, const char *path, Err *err);

/* The `bytes` behind the first `skip`. *size is how many there are, fewer where the file ends, and
 * one more, which is not in `out`, where it does not. Damage is ERR_DATA. */
bool gzip_read(void *out, size_t *size, size_t bytes, size_t skip, const char *path, Err *err);

/* Whether the file starts as a ZIP archive does; false if it cannot be read. */
bool zip_is_archive(const char *path);

/* One member, unpacked, in a block of memory_new with a zero byte behind. Lengths, places and the
 * CRC are checked. */
bool zip_read(unsigned char **data, size_t *size, const char *path, const char *member, Err *err);

/* A member to be: `head`, then `data`. */
typedef struct {
    const char *name;
    const void *head, *data;
    size_t head_size, data_size;
} ZipMember;

/* Stored, dated 1980-01-01, so that the same members make the same bytes; under its name only when
 * whole (base/file.h). 4 GiB or more is ERR_FAILED. */
bool zip_write(const char *path, const ZipMember *members, size_t count, Err *err);

#endif
