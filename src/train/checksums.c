/*
 * A file is read twice, once for its checksum and once for what is in it: the second time comes
 * from memory, and so no reader needs to know of checksums. The size is there for the message, and
 * since a CRC-32 is sure to find a changed byte, but not a changed length.
 */
#include "train/checksums.h"

#include "base/file.h"
#include "base/json.h"
#include "base/zip.h"
#include "train/part.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEX = 9 }; /* "89abcdef" */

static bool add_file(Json *list, const char *folder, const char *name, Err *err)
{
    char path[FILE_PATH], hex[HEX];
    uint32_t crc;
    size_t size;
    if (!file_path(path, err, "%s/%s", folder, name) || !zip_crc32_file(&crc, &size, path, err))
        return false;
    Json *entry = json_new_object();
    snprintf(hex, sizeof hex, "%08" PRIx32, crc);
    json_set_number(entry, "bytes", (double)size);
    json_set_string(entry, "crc32", hex);
    json_set(list, name, entry);
    return true;
}

bool checksums_write(const char *folder, const char *const *names, int count, Err *err)
{
    char path[FILE_PATH];
    Json *list = json_new_object();
    bool ok = file_path(path, err, "%s/" CHECKSUMS_FILE, folder);
    for (int i = 0; ok && i < count; i++) ok = add_file(list, folder, names[i], err);
    ok = ok && json_write(path, list, err);
    json_free(list);
    return ok;
}

/* ---- checking ---- */

/* A file as the list beside it, or above it, calls it. */
typedef struct {
    const char *path;
    char list[FILE_PATH], name[FILE_PATH];
} Listed;

/* The list beside the file is its own, even in a folder that is called unet. */
static bool find_list(Listed *file, const char *path, Err *err)
{
    static const char *const list[] = {CHECKSUMS_FILE, NULL};
    char folder[FILE_PATH], above[FILE_PATH];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *part;
    file->path = path;
    file_parent(folder, path);
    if (!file_path(file->list, err, "%s/" CHECKSUMS_FILE, folder)) return false;
    if (file_exists(file->list) || !part_find(above, &part, folder, list))
        return file_path(file->name, err, "%s", name);
    return file_path(file->name, err, "%s/%s", part, name) &&
           file_path(file->list, err, "%s/" CHECKSUMS_FILE, above);
}

static bool read_entry(uint64_t *size, const char **hex, const Json *entry, const Listed *file,
                       Err *err)
{
    bool object = json_type(entry) == JSON_OBJECT;
    const Json *bytes = object ? json_get(entry, "bytes") : NULL;
    const Json *crc = object ? json_get(entry, "crc32") : NULL;
    if (bytes && crc && json_type(bytes) == JSON_NUMBER &&
        json_whole(size, bytes, (uint64_t)1 << 53) && json_type(crc) == JSON_STRING) {
        *hex = json_string(crc);
        return true;
    }
    return err_set(err, ERR_DATA, "%s: \"%s\" has no \"bytes\" and \"crc32\"", file->list,
                   file->name);
}

static bool compare(const Listed *file, const Json *entry, Err *err)
{
    uint64_t size;
    const char *hex = NULL;
    uint32_t crc;
    size_t bytes;
    char is[HEX];
    if (!read_entry(&size, &hex, entry, file, err) ||
        !zip_crc32_file(&crc, &bytes, file->path, err))
        return false;
    if (bytes != size)
        return err_set(err, ERR_DATA, "%s: damaged: it has %zu bytes, and by %s it had %" PRIu64,
                       file->path, bytes, file->list, size);
    snprintf(is, sizeof is, "%08" PRIx32, crc);
    if (strcmp(is, hex) == 0) return true;
    return err_set(err, ERR_DATA, "%s: damaged: its CRC-32 is %s, and by %s it was %.40s",
                   file->path, is, file->list, hex);
}

static bool check_listed(const Listed *file, const Json *json, Err *err)
{
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_DATA, "%s: holds %s, not an object", file->list,
                       json_type_name(json_type(json)));
    const Json *entry = json_get(json, file->name);
    bool there = file_exists(file->path);
    if (entry && there) return compare(file, entry, err);
    if (!entry && !there) return true;
    return err_set(err, ERR_DATA,
                   there ? "%s: %s does not list it" : "%s: missing, though %s lists it",
                   file->path, file->list);
}

static bool add_remedy(Err *err)
{
    Err wrong = *err;
    if (err->kind != ERR_DATA) return false;
    return err_set(err, ERR_DATA,
                   "%s; copy the checkpoint again or take an older one, or, if you changed the "
                   "file yourself, delete " CHECKSUMS_FILE,
                   wrong.text);
}

bool checksums_check(const char *path, Err *err)
{
    Listed file;
    Json *json;
    if (!find_list(&file, path, err)) return false;
    if (!file_exists(file.list)) return true;
    if (!json_read(&json, file.list, err)) return add_remedy(err);
    bool ok = check_listed(&file, json, err);
    json_free(json);
    return ok || add_remedy(err);
}
