#include "train/loss_history.h"

#include "model/safetensors.h"

#include <math.h>
#include <string.h>

static void fill(void *context, size_t index, void *out)
{
    const TimestepHistory *h = context;
    size_t n = (size_t)h->T;
    if (index == 0)
        memcpy(out, h->losses, n * TIMESTEP_HISTORY * sizeof *h->losses);
    else
        memcpy(out, h->counts, n * sizeof *h->counts);
}

bool loss_history_write(const char *path, const TimestepHistory *history, Err *err)
{
    TimestepHistory copy = *history;
    size_t n = (size_t)history->T;
    const TensorSpec specs[] = {
        {.name = "losses", .type = TENSOR_F64, .ndim = 2, .shape = {n, TIMESTEP_HISTORY}},
        {.name = "counts", .type = TENSOR_I32, .ndim = 1, .shape = {n}},
    };
    SafetensorsPlan plan = {.list = specs, .count = 2, .fill = fill, .context = &copy};
    return safetensors_write(path, &plan, err);
}

static const Tensor *find(const Safetensors *file, const char *name, TensorType type, size_t count,
                          const char *path, Err *err)
{
    const Tensor *tensor = safetensors_find(file, name);
    if (tensor && tensor->type == type && tensor->count == count) return tensor;
    err_set(err, ERR_DATA, "%s: %s is missing, or is not %zu numbers of type %s", path, name, count,
            tensor_type_name(type));
    return NULL;
}

static bool check(const TimestepHistory *h, const char *path, Err *err)
{
    for (int i = 0; i < h->T; i++)
        if (h->counts[i] < 0 || h->counts[i] > TIMESTEP_HISTORY)
            return err_set(err, ERR_DATA, "%s: counts[%d] = %d is not in 0 .. %d", path, i,
                           h->counts[i], TIMESTEP_HISTORY);
    for (size_t k = 0; k < (size_t)h->T * TIMESTEP_HISTORY; k++)
        if (!isfinite(h->losses[k]))
            return err_set(err, ERR_DATA, "%s: losses holds %g", path, h->losses[k]);
    return true;
}

bool loss_history_read(TimestepHistory *history, const char *path, Err *err)
{
    Safetensors file;
    size_t n = (size_t)history->T;
    if (!safetensors_read(&file, path, err)) return false;
    const Tensor *losses = find(&file, "losses", TENSOR_F64, n * TIMESTEP_HISTORY, path, err);
    const Tensor *counts = losses ? find(&file, "counts", TENSOR_I32, n, path, err) : NULL;
    if (counts) {
        memcpy(history->losses, losses->data, losses->bytes);
        memcpy(history->counts, counts->data, counts->bytes);
    }
    safetensors_release(&file);
    return counts && check(history, path, err);
}
