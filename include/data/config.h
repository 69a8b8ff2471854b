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

typedef struct {
    DataFormat format;
    char path[1024]; /* empty where the format is `shapes` */
    bool flip;       /* mirror half of the training images */
    bool labels;
    Fit fit; /* how images of another size are let in; FIT_NONE: they are an error */
} DataConfig;

#endif
