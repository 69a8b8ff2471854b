#include "eval/features.h"

#include "base/memory.h"
#include "base/npy.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool features_new(Features *features, int count, int dim, Err *err)
{
    assert(count > 0 && dim > 0);
    *features = (Features){NULL, count, dim};
    features->rows = memory_new((size_t)count, (size_t)dim * sizeof(float), "features", err);
    if (!features->rows) *features = (Features){0};
    return features->rows != NULL;
}

void features_release(Features *features)
{
    free(features->rows);
    *features = (Features){0};
}

static bool check(const Array *array, const char *path, Err *err)
{
    bool real = array->type == ARRAY_F32 || array->type == ARRAY_F64;
    if (!real || array->ndim != 2)
        return err_set(err, ERR_DATA,
                       "%s: an array of %d dimensions of %s; features are float32 or float64, one "
                       "row for each image",
                       path, array->ndim, array_type_name(array->type));
    for (int i = 0; i < 2; i++)
        if (array->shape[i] == 0 || array->shape[i] > INT_MAX)
            return err_set(err, ERR_DATA, "%s: dimension %d of the array is %zu", path, i,
                           array->shape[i]);
    return true;
}

static bool convert(Features *features, const Array *array, const char *path, Err *err)
{
    for (size_t i = 0; i < array->count; i++) {
        features->rows[i] = array->type == ARRAY_F32 ? ((const float *)array->data)[i]
                                                     : (float)((const double *)array->data)[i];
        if (!isfinite(features->rows[i]))
            return err_set(err, ERR_DATA, "%s: number %zu of row %zu is not finite", path,
                           i % array->shape[1], i / array->shape[1]);
    }
    return true;
}

bool features_read(Features *features, const char *path, Err *err)
{
    Array array;
    *features = (Features){0};
    if (!npy_read(&array, path, err)) return false;
    bool done = check(&array, path, err) &&
                features_new(features, (int)array.shape[0], (int)array.shape[1], err) &&
                convert(features, &array, path, err);
    array_release(&array);
    if (!done) features_release(features);
    return done;
}

bool features_choose(Features *out, const Features *from, const uint32_t *index, int count,
                     Err *err)
{
    size_t dim = (size_t)from->dim;
    if (!features_new(out, count, from->dim, err)) return false;
    for (size_t i = 0; i < (size_t)count; i++) {
        assert(index[i] < (uint32_t)from->count);
        memcpy(out->rows + i * dim, from->rows + index[i] * dim, dim * sizeof(float));
    }
    return true;
}
