/*
 * For each of some images, which image of a data set is nearest to it, and which next: whether
 * samples are copies of what a network was trained on.
 *
 * The distance is the squared L2 of the bytes, sum over values of (a - b)^2, and it is exact:
 * identical images are at 0, ties are ties. Ties go to the image that comes first in the set.
 */
#ifndef DDPM_EVAL_NEAREST_H
#define DDPM_EVAL_NEAREST_H

#include "data/dataset.h"

typedef struct {
    int index;        /* in the set; -1 where it has no such image, and then distance INT64_MAX */
    bool mirrored;    /* nearer as mirrored than as it stands */
    int64_t distance; /* squared, in grey levels */
} Neighbour;

typedef struct {
    Neighbour nearest, next; /* two different images of the set, mirrored or not */
} NearestImages;

/*
 * out [queries->count] = the two nearest images of `set`, which has the same height, width and
 * channels (an assert) and, with `mirror`, counts each image and its mirror image as one, at the
 * smaller distance of the two. Threads do not matter to the result. Memory: at most 40 MB, and 512
 * times the bytes of an image with `mirror`.
 *
 * `progress` (NULL: none) is told how many queries are done, from time to time; false stops, and
 * *done tells how many of `out` there are. ERR_FAILED if there is no memory.
 */
bool nearest_images(NearestImages *out, int *done, const Dataset *queries, const Dataset *set,
                    bool mirror, bool (*progress)(void *context, long done), void *context,
                    Err *err);

#endif
