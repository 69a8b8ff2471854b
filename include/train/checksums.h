/*
 * checksums.json: what the other files of a folder were when they were written, so that damage to
 * one of them is told of where its own format could not tell, as among the numbers of tensors:
 *
 *     {"ddpm.json": {"bytes": 2345, "crc32": "89abcdef"}, "unet/config.json": ..., ...}
 *
 * It guards against accidents, not against those who mean to deceive.
 */
#ifndef DDPM_TRAIN_CHECKSUMS_H
#define DDPM_TRAIN_CHECKSUMS_H

#include "base/err.h"

#define CHECKSUMS_FILE "checksums.json"

/* Of the `count` files of `folder` that are named, some perhaps "unet/NAME" or "scheduler/NAME". */
bool checksums_write(const char *folder, const char *const *names, int count, Err *err);

/* Whether the file is as the checksums.json beside it says, or that above it for one in a folder
 * unet or scheduler, however that folder is spelt (train/part.h); true where there is none.
 * ERR_DATA names the file, how it differs and the remedy; a file that is not there but listed, or
 * there and not listed, is such an error too. */
bool checksums_check(const char *path, Err *err);

#endif
