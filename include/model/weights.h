/*
 * Flat arrays of parameters as safetensors files, each tensor under its name in diffusers with a
 * prefix for what the array is: "" for the weights of a model, "adam_m." and so on.
 */
#ifndef DDPM_MODEL_WEIGHTS_H
#define DDPM_MODEL_WEIGHTS_H

#include "model/params.h"
#include "model/safetensors.h"

typedef struct {
    const char *prefix;
    float *values; /* [table->floats] */
} WeightArray;

/* All tensors of all arrays, F32, under the file's name only when whole. */
bool weights_write(const char *path, const ParamTable *table, const WeightArray *arrays, int count,
                   Err *err);

/* The same with these `texts` texts as the file's metadata instead of diffusers'. */
bool weights_write_with(const char *path, const ParamTable *table, const WeightArray *arrays,
                        int count, const SafetensorsText *metadata, size_t texts, Err *err);

/* Fill the arrays; padding becomes 0. Every tensor must be there with its shape, real numbers (F32,
 * F64, F16, BF16), all finite, and no other tensor: a model with more to it is another model. The
 * attention's older names (query, key, value, proj_attn) are accepted. ERR_DATA. */
bool weights_read(const char *path, const ParamTable *table, const WeightArray *arrays, int count,
                  Err *err);

/* The same of a file that has been read; `path` stands for it in messages. */
bool weights_take(const Safetensors *file, const char *path, const ParamTable *table,
                  const WeightArray *arrays, int count, Err *err);

#endif
