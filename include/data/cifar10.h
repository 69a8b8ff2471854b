/*
 * CIFAR-10 (Krizhevsky 2009), the binary version: records of one label byte, 0 .. 9, and 3,072
 * bytes of 32 x 32 pixels, all the red ones first, then green, then blue.
 */
#ifndef DDPM_DATA_CIFAR10_H
#define DDPM_DATA_CIFAR10_H

#include "data/dataset.h"

enum { CIFAR10_SIDE = 32, CIFAR10_CHANNELS = 3, CIFAR10_CLASSES = 10, CIFAR10_RECORD = 3073 };

/* `path` is a folder with data_batch_*.bin (as many as are there) and test_batch.bin, or one file,
 * which is the whole of either part. ERR_DATA: a file is missing, ends inside of a record, or has
 * a label above 9; it and the record are named. On false `set` is empty. */
bool cifar10_read(Dataset *set, const char *path, DatasetPart part, Err *err);

#endif
