/*
 * The folders unet/ and scheduler/ of a checkpoint or pipeline, found from within: whatever way the
 * folder is spelt (".", "unet/.", a link to it), it is a part of the same whole.
 */
#ifndef DDPM_TRAIN_PART_H
#define DDPM_TRAIN_PART_H

#include "base/file.h"

/* Whether two paths lead to one folder that is there. */
bool part_same_folder(const char *a, const char *b);

/* Whether `folder` is the unet/ or scheduler/ of a folder that holds one of the files `beside`
 * (which NULL ends), and is then *whole, and *part "unet" or "scheduler". The folder itself may be
 * missing where its name says it. What does not fit into a path is not found. */
bool part_find(char whole[FILE_PATH], const char **part, const char *folder,
               const char *const *beside);

#endif
