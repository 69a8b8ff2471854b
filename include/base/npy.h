/*
 * NumPy's arrays: .npy (format versions 1.0 and 2.0, NEP 1) and .npz, a ZIP of them, little-endian
 * and in C order. Every number in a header is checked against the size of the file.
 */
#ifndef DDPM_BASE_NPY_H
#define DDPM_BASE_NPY_H

#include "base/err.h"

#include <stddef.h>

typedef enum { ARRAY_U8, ARRAY_F32, ARRAY_F64, ARRAY_I64 } ArrayType;

enum { ARRAY_MAX_DIMS = 6 };

typedef struct {
    ArrayType type;
    int ndim; /* 0: a scalar */
    size_t shape[ARRAY_MAX_DIMS];
    size_t count; /* elements */
    void *data;   /* row-major, 64-byte aligned; array_release frees it */
} Array;

const char *array_type_name(ArrayType type); /* "uint8", "float32", ... */
size_t array_type_size(ArrayType type);      /* bytes of an element */

/* Zeros. `what` stands for it in the message when there is no memory. */
bool array_init(Array *array, ArrayType type, int ndim, const size_t *shape, const char *what,
                Err *err);
void array_release(Array *array);

/* A .npy, or the member "arr_0" of a .npz; which of them, the first bytes tell. */
bool npy_read(Array *array, const char *path, Err *err);

/* Version 1.0, the header padded with spaces to 64 bytes; under its name only when whole
 * (base/file.h). */
bool npy_write(const char *path, const Array *array, Err *err);

/* The array `key` of a .npz, "arr_0" or another: its member key.npy, stored or deflated. */
bool npz_read(Array *array, const char *path, const char *key, Err *err);

typedef struct {
    const char *key;
    const Array *array;
} NpzEntry;

/* Stored, with a fixed date: the same arrays make the same bytes. */
bool npz_write(const char *path, const NpzEntry *entries, size_t count, Err *err);

#endif
