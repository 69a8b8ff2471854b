#include "data/config.h"

#include <stddef.h>

const char *const data_format_names[] = {"cifar10", "idx", "folder", "npy", "shapes", NULL};
const char *const fit_names[] = {"", "pad", "resize", NULL};
