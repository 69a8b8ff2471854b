/*
 * Arrays of images as `ddpm sample` writes them: a .npy file of uint8 [N,H,W,C] (C is 1 or 3;
 * [N,H,W] is grey), or a .npz file with that as arr_0 and, perhaps, labels as arr_1, int64 [N].
 */
#ifndef DDPM_DATA_NPY_IMAGES_H
#define DDPM_DATA_NPY_IMAGES_H

#include "data/dataset.h"

/* The labels of a .npz are read if `labels`; there are one more classes than the largest. ERR_DATA:
 * not such a file, a damaged one, or labels outside of 0 .. 65,535. On false `set` is empty. */
bool npy_images_read(Dataset *set, const char *path, bool labels, Err *err);

#endif
