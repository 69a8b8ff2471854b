#include "model/weights.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 128 };

static void full_name(char name[NAME], const WeightArray *array, const Param *param)
{
    int length = snprintf(name, NAME, "%s%s", array->prefix, param->name);
    assert(length > 0 && length < NAME);
}

/* ---- writing ---- */

typedef struct {
    const ParamTable *table;
    const WeightArray *arrays;
} Source;

static void fill(void *context, size_t index, void *out)
{
    const Source *source = context;
    size_t tensors = (size_t)source->table->count;
    const Param *param = &source->table->list[index % tensors];
    param_to_file(out, source->arrays[index / tensors].values + param->offset, param);
}

static void describe(TensorSpec *spec, char name[NAME], const WeightArray *array,
                     const Param *param)
{
    full_name(name, array, param);
    *spec = (TensorSpec){.name = name, .type = TENSOR_F32, .ndim = param->ndim};
    for (int i = 0; i < param->ndim; i++) spec->shape[i] = (size_t)param->shape[i];
}

bool weights_write_with(const char *path, const ParamTable *table, const WeightArray *arrays,
                        int count, const SafetensorsText *metadata, size_t texts, Err *err)
{
    size_t tensors = (size_t)table->count, all = tensors * (size_t)count;
    TensorSpec *specs = memory_new(all, sizeof *specs, "the list of tensors", err);
    char(*names)[NAME] = specs ? memory_new(all, NAME, "the names of tensors", err) : NULL;
    bool ok = names != NULL;
    if (ok) {
        Source source = {table, arrays};
        for (size_t i = 0; i < all; i++)
            describe(&specs[i], names[i], &arrays[i / tensors], &table->list[i % tensors]);
        SafetensorsPlan plan = {specs, all, metadata, texts, fill, &source};
        ok = safetensors_write(path, &plan, err);
    }
    free(names);
    free(specs);
    return ok;
}

bool weights_write(const char *path, const ParamTable *table, const WeightArray *arrays, int count,
                   Err *err)
{
    static const SafetensorsText format = {"format", "pt"};
    return weights_write_with(path, table, arrays, count, &format, 1, err);
}

/* ---- reading ---- */

/* The names that attention's layers had in diffusers before version 0.17. */
static bool older_name(char out[NAME], const char *name)
{
    static const char *const pairs[][2] = {
        {".to_q.", ".query."},
        {".to_k.", ".key."},
        {".to_v.", ".value."},
        {".to_out.0.", ".proj_attn."},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *at = strstr(name, pairs[i][0]);
        if (!at) continue;
        snprintf(out, NAME, "%.*s%s%s", (int)(at - name), name, pairs[i][1],
                 at + strlen(pairs[i][0]));
        return true;
    }
    return false;
}

static const Tensor *find(const Safetensors *file, const char *name)
{
    char older[NAME];
    const Tensor *tensor = safetensors_find(file, name);
    if (!tensor && older_name(older, name)) tensor = safetensors_find(file, older);
    return tensor;
}

static bool same_shape(const Tensor *tensor, const Param *param)
{
    bool same = tensor->ndim == param->ndim;
    for (int i = 0; same && i < param->ndim; i++)
        same = tensor->shape[i] == (size_t)param->shape[i];
    return same;
}

/* "[128, 3, 3, 3]" */
static void print_shape(char out[NAME], const size_t *shape, int ndim)
{
    int at = snprintf(out, NAME, "[");
    for (int i = 0; i < ndim && at < NAME - 24; i++)
        at += snprintf(out + at, (size_t)(NAME - at), "%s%zu", i ? ", " : "", shape[i]);
    snprintf(out + at, (size_t)(NAME - at), "]");
}

static bool wrong_shape(const char *path, const char *name, const Tensor *tensor,
                        const Param *param, Err *err)
{
    char is[NAME], wanted[NAME];
    size_t shape[4];
    for (int i = 0; i < param->ndim; i++) shape[i] = (size_t)param->shape[i];
    print_shape(is, tensor->shape, tensor->ndim);
    print_shape(wanted, shape, param->ndim);
    return err_set(err, ERR_DATA, "%s: tensor %s has the shape %s, but the config makes it %s",
                   path, name, is, wanted);
}

static bool all_finite(const float *x, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) finite &= (bool)isfinite(x[i]);
    return finite;
}

/* One tensor into its place; `buffer` holds the largest of them. */
static bool read_one(float *values, const Safetensors *file, const char *name, const Param *param,
                     float *buffer, const char *path, Err *err)
{
    const Tensor *tensor = find(file, name);
    if (!tensor)
        return err_set(err, ERR_DATA, "%s: tensor %s, which the config asks for, is missing", path,
                       name);
    if (!same_shape(tensor, param)) return wrong_shape(path, name, tensor, param, err);
    if (!tensor_is_real(tensor))
        return err_set(err, ERR_DATA, "%s: tensor %s is of type %s, not of real numbers", path,
                       name, tensor_type_name(tensor->type));
    tensor_to_floats(buffer, tensor);
    if (!all_finite(buffer, param->count))
        return err_set(err, ERR_DATA, "%s: tensor %s holds numbers that are not finite", path,
                       name);
    param_from_file(values + param->offset, buffer, param);
    return true;
}

static bool is_known(const Tensor *tensor, const Safetensors *file, const ParamTable *table,
                     const WeightArray *arrays, int count)
{
    bool known = false;
    for (int a = 0; a < count && !known; a++)
        for (int p = 0; p < table->count && !known; p++) {
            char name[NAME];
            full_name(name, &arrays[a], &table->list[p]);
            known = find(file, name) == tensor;
        }
    return known;
}

/* A tensor of the file that no array asked for. There is one, since it has more than were found. */
static bool name_stranger(const char *path, const Safetensors *file, const ParamTable *table,
                          const WeightArray *arrays, int count, Err *err)
{
    size_t i = 0;
    assert(file->count > 0 && file->list);
    while (i + 1 < file->count && is_known(&file->list[i], file, table, arrays, count)) i++;
    return err_set(err, ERR_DATA,
                   "%s: tensor %s is not part of the network that the config describes", path,
                   file->list[i].name);
}

static size_t largest_tensor(const ParamTable *table)
{
    size_t largest = 0;
    for (int i = 0; i < table->count; i++)
        if (table->list[i].count > largest) largest = table->list[i].count;
    return largest;
}

static bool read_arrays(const char *path, const Safetensors *file, const ParamTable *table,
                        const WeightArray *arrays, int count, Err *err)
{
    float *buffer = memory_new(largest_tensor(table), sizeof *buffer, "a tensor", err);
    bool ok = buffer != NULL;
    for (int a = 0; ok && a < count; a++) {
        memset(arrays[a].values, 0, table->floats * sizeof *arrays[a].values);
        for (int p = 0; ok && p < table->count; p++) {
            char name[NAME];
            full_name(name, &arrays[a], &table->list[p]);
            ok = read_one(arrays[a].values, file, name, &table->list[p], buffer, path, err);
        }
    }
    free(buffer);
    return ok;
}

bool weights_take(const Safetensors *file, const char *path, const ParamTable *table,
                  const WeightArray *arrays, int count, Err *err)
{
    if (!read_arrays(path, file, table, arrays, count, err)) return false;
    if (file->count == (size_t)table->count * (size_t)count) return true;
    return name_stranger(path, file, table, arrays, count, err);
}

bool weights_read(const char *path, const ParamTable *table, const WeightArray *arrays, int count,
                  Err *err)
{
    Safetensors file;
    if (!safetensors_read(&file, path, err)) return false;
    bool ok = weights_take(&file, path, table, arrays, count, err);
    safetensors_release(&file);
    return ok;
}
