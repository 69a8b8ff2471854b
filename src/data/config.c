#include "data/config.h"

#include <stddef.h>

const char *const data_format_names[] = {"cifar10", "idx", "folder", "npy", "shapes", NULL};
const char *const fit_names[] = {"", "pad", "resize", NULL};
const char *const validation_names[] = {"", "test", NULL};

bool data_holds_out(const DataConfig *c)
{
    return c->validation > VALIDATION_NONE && c->validation < VALIDATION_TEST;
}
