/*
 * A folder with a PNG for each image, 000012.png for the image of index 12. Each appears whole, as
 * its batch is done, and says how it was drawn; so a folder that was interrupted goes on, and many
 * machines may fill one.
 */
#ifndef DDPM_CMD_SAMPLE_FOLDER_H
#define DDPM_CMD_SAMPLE_FOLDER_H

#include "cmd/sample_output.h"

typedef struct {
    const SampleOutput *output;
    bool *there; /* [count] which of the images the folder holds */
    int left;    /* those that it does not */
} SampleFolder;

/* Look at what is there, and make the folder if it is not. ERR_USAGE, with the difference, for an
 * image that this model, seed and sampler would not draw at its index: asked of those outside of
 * first .. first + count - 1 too, so that a folder holds images of one kind. */
bool sample_folder_open(SampleFolder *folder, const SampleOutput *output, Err *err);
void sample_folder_release(SampleFolder *folder);

/* Whether one of the images at .. at + n - 1 of the `count` is still missing. */
bool sample_folder_needs(const SampleFolder *folder, int at, int n);

/* Write those of them that are missing; images [n,h,w,c] in [-1, 1]. */
bool sample_folder_write(SampleFolder *folder, const float *images, int at, int n, Err *err);

#endif
