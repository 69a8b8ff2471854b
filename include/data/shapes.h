/*
 * A procedural data set that needs no files: one shape (circle, square, triangle, cross, ring,
 * star, crescent, heart: the label) of random place, size, turn and colour on a plain background.
 */
#ifndef DDPM_DATA_SHAPES_H
#define DDPM_DATA_SHAPES_H

#include "data/dataset.h"

enum { SHAPES_CLASSES = 8, SHAPES_TRAIN = 10000, SHAPES_TEST = 1000 };

/* Draw the 10,000 images of the training part or the 1,000 others of the test part, at any size,
 * grey (channels 1) or in colour (3). The pictures depend on nothing else, and the same one is
 * drawn at every size; image i is of class i mod 8. ERR_FAILED if there is no memory, ERR_USAGE for
 * another number of channels. */
bool shapes_draw(Dataset *set, DatasetPart part, int height, int width, int channels, Err *err);

#endif
