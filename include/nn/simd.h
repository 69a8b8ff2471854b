/*
 * Vectors of floats as wide as the machine's registers, by GCC's vector extensions: the operators
 * work on them, and a float is spread over all lanes. Private to nn.
 */
#ifndef DDPM_NN_SIMD_H
#define DDPM_NN_SIMD_H

#include <string.h>

#if defined(__AVX512F__)
enum { SIMD_LANES = 16 };
#elif defined(__AVX__)
enum { SIMD_LANES = 8 };
#else
enum { SIMD_LANES = 4 };
#endif

typedef float Simd __attribute__((vector_size(SIMD_LANES * sizeof(float))));

static inline Simd simd_load(const float *from)
{
    Simd v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void simd_store(float *to, Simd v)
{
    memcpy(to, &v, sizeof v);
}

/* The first `lanes` lanes, the others zero. With a constant SIMD_LANES, a plain load. */
static inline Simd simd_load_some(const float *from, int lanes)
{
    Simd v = {0};
    memcpy(&v, from, (size_t)lanes * sizeof *from);
    return v;
}

static inline void simd_store_some(float *to, Simd v, int lanes)
{
    memcpy(to, &v, (size_t)lanes * sizeof *to);
}

#endif
