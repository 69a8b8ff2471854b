#include "model/params.h"

#include "base/memory.h"
#include "base/rng.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN_FLOATS = MEMORY_ALIGN / (int)sizeof(float) };

bool params_init(ParamTable *table, int capacity, Err *err)
{
    Param *list = memory_new((size_t)capacity, sizeof *list, "the parameter table", err);
    *table = (ParamTable){.list = list, .capacity = capacity};
    return list != NULL;
}

void params_release(ParamTable *table)
{
    free(table->list);
    *table = (ParamTable){0};
}

static int append(ParamTable *table, Param param)
{
    assert(table->count < table->capacity);
    param.count = 1;
    for (int i = 0; i < param.ndim; i++) param.count *= (size_t)param.shape[i];
    param.offset = table->floats;
    size_t lines = (param.count + ALIGN_FLOATS - 1) / ALIGN_FLOATS;
    table->floats += lines * ALIGN_FLOATS;
    table->parameters += param.count;
    table->list[table->count] = param;
    return table->count++;
}

static Param named(ParamKind kind, const char *prefix, const char *suffix)
{
    Param param = {.kind = kind};
    int length = snprintf(param.name, sizeof param.name, "%s.%s", prefix, suffix);
    assert(length > 0 && (size_t)length < sizeof param.name);
    return param;
}

int params_add(ParamTable *table, ParamKind kind, const char *prefix, const char *suffix, int out,
               int in, double gain)
{
    Param param = named(kind, prefix, suffix);
    param.ndim = kind == PARAM_FILTER ? 4 : kind == PARAM_VECTOR ? 1 : 2;
    param.shape[0] = out;
    param.shape[1] = in;
    param.shape[2] = param.shape[3] = 3;
    param.gain = gain;
    param.constant = kind == PARAM_VECTOR ? (float)gain : 0.0f;
    return append(table, param);
}

int params_add_1x1(ParamTable *table, const char *prefix, const char *suffix, int out, int in)
{
    Param param = named(PARAM_MATRIX, prefix, suffix);
    param.ndim = 4;
    param.shape[0] = out;
    param.shape[1] = in;
    param.shape[2] = param.shape[3] = 1;
    param.gain = 1.0;
    return append(table, param);
}

const Param *params_find(const ParamTable *table, const char *name)
{
    for (int i = 0; i < table->count; i++)
        if (strcmp(table->list[i].name, name) == 0) return &table->list[i];
    return NULL;
}

static size_t taps(const Param *param)
{
    return param->kind == PARAM_FILTER ? 9 : 1;
}

static bool is_transposed(const Param *param)
{
    return param->kind == PARAM_FILTER || param->kind == PARAM_MATRIX;
}

/* Outputs that are handled together: a cache line of memory's order, as many rows of the file's. */
enum { TOGETHER = 16 };

void param_from_file(float *memory, const float *file, const Param *param)
{
    if (!is_transposed(param)) {
        memcpy(memory, file, param->count * sizeof *memory);
        return;
    }
    size_t out = (size_t)param->shape[0], in = (size_t)param->shape[1], k = taps(param);
    for (size_t first = 0; first < out; first += TOGETHER) {
        size_t end = out - first < TOGETHER ? out : first + TOGETHER;
        for (size_t i = 0; i < in; i++)
            for (size_t tap = 0; tap < k; tap++)
                for (size_t o = first; o < end; o++)
                    memory[(tap * in + i) * out + o] = file[(o * in + i) * k + tap];
    }
}

void param_to_file(float *file, const float *memory, const Param *param)
{
    if (!is_transposed(param)) {
        memcpy(file, memory, param->count * sizeof *file);
        return;
    }
    size_t out = (size_t)param->shape[0], in = (size_t)param->shape[1], k = taps(param);
    for (size_t first = 0; first < out; first += TOGETHER) {
        size_t end = out - first < TOGETHER ? out : first + TOGETHER;
        for (size_t i = 0; i < in; i++)
            for (size_t tap = 0; tap < k; tap++)
                for (size_t o = first; o < end; o++)
                    file[(o * in + i) * k + tap] = memory[(tap * in + i) * out + o];
    }
}

/* FNV-1a, 64 bits. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

/* Element i in the order of files is element i of the tensor's own stream. */
static void draw_uniform(float *memory, const Param *param, uint64_t seed)
{
    size_t out = (size_t)param->shape[0], in = (size_t)param->shape[1], k = taps(param);
    double fan_average = (double)(k * (in + out)) / 2.0;
    float limit = (float)(param->gain * sqrt(3.0 / fan_average));
    uint64_t hash = hash_name(param->name);
    RngKey key = {seed, (uint32_t)hash, (uint32_t)(hash >> 32), RNG_INIT, 0};
    bool as_it_is = param->kind == PARAM_TABLE;
    for (size_t first = 0; first < param->count; first += 64) {
        uint32_t bits[64];
        rng_bits(bits, 16, (uint32_t)(first / 4), key);
        for (size_t e = first; e < first + 64 && e < param->count; e++) {
            size_t tap = e % k, i = e / k % in, o = e / k / in;
            float u = (float)(bits[e - first] >> 8) * 0x1p-23f - 1.0f;
            memory[as_it_is ? e : (tap * in + i) * out + o] = limit * u;
        }
    }
}

void params_draw(float *weights, const ParamTable *table, uint64_t seed)
{
    memset(weights, 0, table->floats * sizeof *weights);
    for (int p = 0; p < table->count; p++) {
        const Param *param = &table->list[p];
        float *memory = weights + param->offset;
        if (param->kind == PARAM_VECTOR)
            for (size_t i = 0; i < param->count; i++) memory[i] = param->constant;
        else
            draw_uniform(memory, param, seed);
    }
}
