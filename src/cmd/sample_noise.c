#include "cmd/sample_noise.h"

#include "base/memory.h"
#include "base/npy.h"
#include "base/zip.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static bool check_shape(const Array *array, const char *path, const ModelConfig *m, Err *err)
{
    if (array->type == ARRAY_F32 && array->ndim == 4 && array->shape[0] > 0 &&
        array->shape[1] == (size_t)m->channels && array->shape[2] == (size_t)m->height &&
        array->shape[3] == (size_t)m->width)
        return true;
    return err_set(err, ERR_DATA, "--noise %s: expected float32 of shape [N, %d, %d, %d]", path,
                   m->channels, m->height, m->width);
}

/* Image i of a run starts from image i of the file, whatever the first one is. */
static bool choose_count(int *chosen, size_t held, const char *path, uint32_t first, int count,
                         Err *err)
{
    if (first < held && (size_t)count <= held - first) {
        *chosen = count > 0 ? count : (int)(held - first);
        return true;
    }
    if (first == 0)
        return err_set(err, ERR_USAGE, "--count %d, but --noise %s holds %zu images", count, path,
                       held);
    return err_set(err, ERR_USAGE,
                   "--first %" PRIu32 " --count %d, but --noise %s holds the images 0 .. %zu",
                   first, count > 0 ? count : 1, path, held - 1);
}

static bool check_finite(const Array *array, const char *path, Err *err)
{
    const float *x = array->data;
    size_t size = array->count / array->shape[0];
    for (size_t i = 0; i < array->count; i++)
        if (!isfinite(x[i]))
            return err_set(err, ERR_DATA,
                           "--noise %s: image %zu (the first is 0) holds %g, which is not finite",
                           path, i / size, (double)x[i]);
    return true;
}

/* [N,C,H,W] to [N,H,W,C]. */
static void reorder(float *out, const float *in, int count, size_t channels, size_t pixels)
{
    for (size_t i = 0; i < (size_t)count; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                out[(i * pixels + p) * channels + c] = in[(i * channels + c) * pixels + p];
}

static bool take(SampleNoise *noise, const Array *array, const char *path, const ModelConfig *m,
                 uint32_t first, int count, Err *err)
{
    if (!check_shape(array, path, m, err) ||
        !choose_count(&noise->count, array->shape[0], path, first, count, err) ||
        !check_finite(array, path, err))
        return false;
    size_t channels = array->shape[1], pixels = array->shape[2] * array->shape[3];
    size_t size = channels * pixels;
    noise->x_T = memory_new((size_t)noise->count * size, sizeof *noise->x_T, "x_T", err);
    if (!noise->x_T) return false;
    const float *in = array->data;
    reorder(noise->x_T, in + first * size, noise->count, channels, pixels);
    noise->crc32 = zip_crc32(in, array->count * sizeof *in);
    return true;
}

bool sample_noise_read(SampleNoise *noise, const char *path, const ModelConfig *model,
                       uint32_t first, int count, Err *err)
{
    Array array;
    *noise = (SampleNoise){0};
    if (!npy_read(&array, path, err)) return false;
    bool ok = take(noise, &array, path, model, first, count, err);
    array_release(&array);
    return ok;
}

void sample_noise_release(SampleNoise *noise)
{
    free(noise->x_T);
    *noise = (SampleNoise){0};
}
