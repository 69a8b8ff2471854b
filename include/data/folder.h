/*
 * A folder of image files of any size. The images in it, and in its sub-folders, whose sorted names
 * are the classes; if there are sub-folders with images, images beside them are an error, for they
 * have no class.
 */
#ifndef DDPM_DATA_FOLDER_H
#define DDPM_DATA_FOLDER_H

#include "data/dataset.h"

/* Each image becomes `channels` and is cut to the shape of height : width and resized. Files are in
 * the order of their names within a class; hidden ones, and those whose names do not end as an
 * image's, are passed over. If the sub-folders `train` and `test` are both there, `part` chooses
 * one of them, and the classes are those of `train`. ERR_DATA: a file that cannot be read as an
 * image (it is named), or no image at all. On false `set` is empty. */
bool folder_read(Dataset *set, const char *path, DatasetPart part, int height, int width,
                 int channels, Err *err);

#endif
