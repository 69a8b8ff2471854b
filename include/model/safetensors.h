/*
 * Safetensors files: a little-endian 64-bit length N, N bytes of JSON, then the tensors' data:
 *
 *     {"__metadata__": {"key": "text", ...},
 *      "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 *
 * offsets in bytes from the first byte behind the JSON. Such files come from strangers: every
 * length, offset, product and name is checked before it is believed.
 */
#ifndef DDPM_MODEL_SAFETENSORS_H
#define DDPM_MODEL_SAFETENSORS_H

#include "base/err.h"

#include <stddef.h>

typedef enum {
    TENSOR_F32,
    TENSOR_F64,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_I64,
    TENSOR_I32,
    TENSOR_I16,
    TENSOR_I8,
    TENSOR_U64,
    TENSOR_U32,
    TENSOR_U16,
    TENSOR_U8,
    TENSOR_BOOL,
} TensorType;

enum { TENSOR_MAX_DIMS = 8 };

/* As the files write it: "F32". */
const char *tensor_type_name(TensorType type);
size_t tensor_type_size(TensorType type); /* bytes of an element */

typedef struct {
    const char *name; /* owned by the file */
    TensorType type;
    int ndim; /* 0: a scalar */
    size_t shape[TENSOR_MAX_DIMS];
    size_t count, bytes; /* elements (0 if a side is), and what they take */
    const void *data;    /* row-major; only a file that mixes types can leave it unaligned */
} Tensor;

typedef struct {
    const char *key, *value;
} SafetensorsText;

typedef struct {
    Tensor *list; /* sorted by name */
    size_t count;
    SafetensorsText *metadata;
    size_t metadata_count;
    char *strings;       /* what the names and the metadata point into */
    unsigned char *data; /* what the tensors point into, 64-byte aligned */
} Safetensors;

/* --- Reading --- */

/* The whole file into memory, not mapped: it may be rewritten meanwhile. ERR_DATA names the file,
 * the tensor and the value; nothing is then left to release. At most 8 dimensions. */
bool safetensors_read(Safetensors *file, const char *path, Err *err);
void safetensors_release(Safetensors *file);

/* NULL if there is none. */
const Tensor *safetensors_find(const Safetensors *file, const char *name);
const char *safetensors_metadata(const Safetensors *file, const char *key);

/* Whether tensor_to_floats can take it: F32, F64, F16 or BF16. */
bool tensor_is_real(const Tensor *tensor);

/* All `count` elements, in the order of the file; F64 is rounded. */
void tensor_to_floats(float *out, const Tensor *tensor);

/* --- Writing --- */

typedef struct {
    const char *name;
    TensorType type;
    int ndim;
    size_t shape[TENSOR_MAX_DIMS];
} TensorSpec;

typedef struct {
    const TensorSpec *list; /* in the order they are written; no name twice */
    size_t count;
    const SafetensorsText *metadata;
    size_t metadata_count;
    /* Put the bytes of list[index] into `out` (64-byte aligned). Called once for each tensor, in
     * order, so that only one is in memory at a time. */
    void (*fill)(void *context, size_t index, void *out);
    void *context;
} SafetensorsPlan;

/* Under its name only when whole (base/file.h). The header is padded with spaces so that the data
 * starts at a multiple of 64 bytes. */
bool safetensors_write(const char *path, const SafetensorsPlan *plan, Err *err);

#endif
