/*
 * The keys of `data` in a config.
 */
#ifndef DDPM_DATA_CONFIG_H
#define DDPM_DATA_CONFIG_H

#include <stdbool.h>

typedef enum { DATA_CIFAR10, DATA_IDX, DATA_FOLDER, DATA_NPY, DATA_SHAPES } DataFormat;
typedef enum { FIT_NONE, FIT_PAD, FIT_RESIZE } Fit;

/* Names by value, ended by NULL: "cifar10", "idx", "folder", "npy", "shapes"; "pad", "resize" with
 * an empty first name, since null stands for FIT_NONE. */
extern const char *const data_format_names[];
extern const char *const fit_names[];

/* Values of `validation` beside fractions, and their names: "" (null) and "test". */
enum { VALIDATION_NONE = 0, VALIDATION_TEST = 1 };
extern const char *const validation_names[];

typedef struct {
    DataFormat format;
    char path[1024]; /* empty where the format is `shapes` */
    bool flip;       /* mirror half of the training images */
    bool labels;
    Fit fit; /* how images of another size are let in; FIT_NONE: they are an error */
    /* The images to judge by: none, the data's test part, or, between 0 and 1, this part of the
     * training images, which is then not trained on. */
    double validation;
} DataConfig;

/* Whether `validation` takes images out of training. */
bool data_holds_out(const DataConfig *config);

#endif
