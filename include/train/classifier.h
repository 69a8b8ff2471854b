/*
 * A classifier of the images of a labelled data set (model/convnet.h), trained in minutes: its last
 * layer but one are the features that sets of images are compared by where nobody brings others.
 * They are of use for the data it was trained on, and figures made with them compare with figures
 * made with the same file alone.
 */
#ifndef DDPM_TRAIN_CLASSIFIER_H
#define DDPM_TRAIN_CLASSIFIER_H

#include "base/memory.h"
#include "data/dataset.h"
#include "model/convnet.h"

#include <stdint.h>

typedef struct {
    ConvnetShape shape; /* of the images, and their classes */
    uint64_t seed;
    int steps;            /* that it was trained for */
    int train_images;     /* of the set that it was trained on */
    int test_images;      /* that it was tested on, none of them trained on; 0: never tested */
    double test_accuracy; /* the share of them whose class it said; 0 where there were none */
} ClassifierInfo;

typedef struct {
    ClassifierInfo info;
    Convnet *net;
    float *weights;  /* [convnet_params(net)->floats] */
    int rows;        /* images at once; follows from their size alone */
    float *x, *y;    /* [rows,height,width,channels] and [rows,classes], for what is below */
    int32_t *labels; /* [rows] */
    Arena memory;    /* that these are in */
} Classifier;

void classifier_release(Classifier *classifier);

/* ---- training ---- */

/* What to train on, and how. The rate is that of Adam after a short rise, falling to 0 by a cosine;
 * batches of 64 images are drawn by data/loader.h. */
typedef struct {
    uint64_t seed;
    bool flip; /* mirror half of the images */
    int steps; /* 0: classifier_steps */
    /* Told after each step how many are done and the batch's loss; false stops. May be NULL. */
    bool (*progress)(void *context, long done, double loss);
    void *context;
} ClassifierTraining;

/* As many as go over `images` images five times, 200 at least. */
int classifier_steps(int images);

/*
 * Train a classifier on `set`. Its bits follow from the set, the seed, `flip` and `steps`, not from
 * the number of threads. Where `progress` stopped it, it is what the steps so far (info.steps) have
 * made of it. The caller releases it; on false there is none. Errors: ERR_DATA (no labels, or what
 * convnet_check refuses), ERR_FAILED (memory), ERR_DIVERGED.
 */
bool classifier_train(Classifier *classifier, const Dataset *set, const ClassifierTraining *how,
                      Err *err);

/* Test it on `set`: the share of images whose class it says goes into `info`. ERR_DATA where
 * classifier_check_fits says so, and for a class that it was not trained on. */
bool classifier_test(Classifier *classifier, const Dataset *set, Err *err);

/* The standard error of info.test_accuracy, that of a share (base/moments.h). */
double classifier_accuracy_error(const ClassifierInfo *info);

/* ---- use ---- */

/* Whether it is for images of the size and channels of `set`; ERR_DATA names both, and `path`,
 * which it was read from. */
bool classifier_check_fits(const Classifier *classifier, const Dataset *set, const char *path,
                           Err *err);

/*
 * out [set->count,CONVNET_FEATURES]: the features of all images of a set that fits, `rows` at a
 * time; takes no memory. `progress` (NULL: none) is told how many images are done; false stops.
 * Returns the number of images that are done. How many images there are, and how many threads,
 * changes no bit of an image's features.
 */
int classifier_features(float *out, Classifier *classifier, const Dataset *set,
                        bool (*progress)(void *context, long done), void *context);

/* ---- files ----
 *
 * A safetensors file of the weights, whose metadata holds what `info` says: format "ddpm
 * classifier", height, width, channels, classes, seed, steps, train_images, test_images,
 * test_accuracy; and crc32, a checksum of them and of the tensors.
 */

/* Under its name only when whole. */
bool classifier_write(const char *path, const Classifier *classifier, Err *err);

/* ERR_DATA for whatever is not such a file, with the remedy. `set` unless it is NULL has to fit.
 * The caller releases the classifier; on false there is none. */
bool classifier_read(Classifier *classifier, const char *path, const Dataset *set, Err *err);

/* For the above: one of this shape with the memory that it works in, and weights of zero. */
bool classifier_init(Classifier *classifier, const ConvnetShape *shape, Err *err);

#endif
