/*
 * The IDX files of MNIST (LeCun, Cortes, Burges) and of those that took over its names
 * (Fashion-MNIST: Xiao, Rasul, Vollgraf 2017): a big-endian u32 magic, 0x803 for images and 0x801
 * for labels, the u32 sizes [N,H,W] or [N], then bytes; each perhaps through gzip.
 */
#ifndef DDPM_DATA_IDX_H
#define DDPM_DATA_IDX_H

#include "data/dataset.h"

/* `path` is a folder with train-images-idx3-ubyte and train-labels-idx1-ubyte, or those of
 * t10k for the test part, each with or without .gz. The labels are read if `labels`. ERR_DATA: a
 * file is missing, has another magic, or is not as long as it says; it is named. On false `set` is
 * empty. */
bool idx_read(Dataset *set, const char *path, DatasetPart part, bool labels, Err *err);

#endif
