/*
 * The parameter table: every tensor of a network declared once, by name, shape and initial value.
 * Weights, gradients, Adam's moments and averages are flat float arrays of this one layout, so
 * that optimiser, clipping, averaging and saving are loops over one array.
 *
 * Names and shapes are those of diffusers' UNet2DModel. In memory a filter [out,in,3,3] lies as
 * [3,3,in,out] and a matrix [out,in] (or [out,in,1,1]) as [in,out], which is how the kernels read
 * them; tensors start at multiples of 16 floats, with zeros between, which stay zero.
 */
#ifndef DDPM_MODEL_PARAMS_H
#define DDPM_MODEL_PARAMS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The gain of the output layer and of each residual branch's last layer: nearly zero, as Ho et al.
 * have it, so that the network starts as the identity plus the shortcuts. */
#define PARAM_GAIN_LAST 1e-5

typedef enum {
    PARAM_FILTER, /* [out,in,3,3] in files */
    PARAM_MATRIX, /* [out,in] or [out,in,1,1] in files */
    PARAM_TABLE,  /* [rows,columns], as it is */
    PARAM_VECTOR, /* [size] */
} ParamKind;

typedef struct {
    char name[80];
    ParamKind kind;
    int ndim, shape[4]; /* in files */
    size_t offset;      /* floats from the start of the array */
    size_t count;       /* floats */
    float constant;     /* a vector's initial value */
    double gain;        /* of the others': uniform with standard deviation gain / sqrt(fan_avg) */
} Param;

typedef struct {
    Param *list;
    int count, capacity;
    size_t floats;     /* length of an array of this layout */
    size_t parameters; /* those that are not padding */
} ParamTable;

/* An empty table with room for `capacity` tensors. */
bool params_init(ParamTable *table, int capacity, Err *err);
void params_release(ParamTable *table);

/* Append a tensor "prefix.suffix"; returns its index. `in` is 0 for a vector. */
int params_add(ParamTable *table, ParamKind kind, const char *prefix, const char *suffix, int out,
               int in, double gain);
/* A matrix that files hold as the filter of a 1x1 convolution, [out,in,1,1]. */
int params_add_1x1(ParamTable *table, const char *prefix, const char *suffix, int out, int in);

/* The tensor of that name, or NULL. */
const Param *params_find(const ParamTable *table, const char *name);

/* From the order of files to that of memory, and back; `count` floats each, not aliased. */
void param_from_file(float *memory, const float *file, const Param *param);
void param_to_file(float *file, const float *memory, const Param *param);

/* Initial weights (Ho et al. 2020: uniform, variance gain^2 / fan_avg, fan_avg the mean of a
 * tensor's inputs and outputs; vectors constant). Drawn from (seed, name) alone, in the order of
 * files. weights: [table->floats], overwritten. */
void params_draw(float *weights, const ParamTable *table, uint64_t seed);

#endif
