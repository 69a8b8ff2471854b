/*
 * What the kernels' inner loops are made of, written so that compilers turn the loops around them
 * into vector code under the strict rules of floating point: no branch, no call, no errno. Private
 * to nn.
 */
#ifndef DDPM_NN_VECTOR_MATH_H
#define DDPM_NN_VECTOR_MATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Below this many elements a kernel runs on one thread: waking a second would cost more. */
#define VECTOR_PARALLEL_MIN 16384

/* 2^k for -126 <= k <= 127, where `bits` holds k in its low bits. */
static inline float vector_power_of_two(uint32_t k)
{
    uint32_t bits = (k + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* exp(r), |r| <= log(2)/2: a polynomial interpolated at Chebyshev's points, off by 1e-8. */
static inline float vector_exp_near_zero(float r)
{
    float p = 0.00139262504f;
    p = p * r + 0.00836323295f;
    p = p * r + 0.0416665524f;
    p = p * r + 0.166665763f;
    p = p * r + 0.5f;
    return p * (r * r) + r + 1.0f;
}

/* x = k log 2 + r, |r| <= log(2)/2: gives exp(r), and k in the low bits of *whole. */
static inline float vector_exp_reduced(uint32_t *whole, float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float shifted = x * 1.44269504f + round, k = shifted - round;
    memcpy(whole, &shifted, sizeof *whole);
    /* log 2 in two parts */
    return vector_exp_near_zero((x - k * 0.693359375f) + k * 2.12194440e-4f);
}

/*
 * exp(x) within 2 ulp (of the smallest normal, below that); exp(-inf) = 0, exp(inf) = inf, NaN
 * stays. 2^k is applied in two halves, since k itself may be past what a float's exponent holds.
 */
static inline float vector_exp(float x)
{
    x = x < -104.0f ? -104.0f : x; /* exp is 0 below and infinite above; NaN passes */
    x = x > 89.0f ? 89.0f : x;
    uint32_t whole;
    float p = vector_exp_reduced(&whole, x);
    whole -= 0x4B400000u; /* k, in two's complement */
    uint32_t half = (uint32_t)((int32_t)whole >> 1);
    return p * vector_power_of_two(half) * vector_power_of_two(whole - half);
}

/*
 * 1 / (1 + exp(-x)) within 4 ulp for |x| <= 87, as at 87 beyond that (1.6e-38 or 1, NaN included:
 * x sigmoid(x) is still NaN). exp as above, but the magnitude is cut in integers, which no compiler
 * makes a branch of, so that 2^k is a float: in loops it takes three fifths of the time.
 */
static inline float vector_sigmoid(float x)
{
    uint32_t bits, power;
    memcpy(&bits, &x, sizeof bits);
    uint32_t magnitude = bits & 0x7FFFFFFFu, most = 0x42AE0000u; /* 87 */
    magnitude = magnitude < most ? magnitude : most;
    bits = magnitude | (~bits & 0x80000000u);
    float minus_x, e;
    memcpy(&minus_x, &bits, sizeof minus_x);
    float p = vector_exp_reduced(&power, minus_x);
    memcpy(&bits, &p, sizeof bits);
    bits += power << 23; /* p 2^k */
    memcpy(&e, &bits, sizeof e);
    return 1.0f / (1.0f + e);
}

/* d/dx (x sigmoid(x)), given s = sigmoid(x). */
static inline float vector_silu_slope(float x, float s)
{
    return s + x * s * (1.0f - s);
}

enum { VECTOR_SUM_COLUMNS = 512, VECTOR_SUM_ROWS = 16 };

/* sums[j] += the sum over rows of x[r,j] for j < columns <= VECTOR_SUM_COLUMNS; x's rows are
 * `stride` apart. Runs of VECTOR_SUM_ROWS rows in float, the runs in double. */
static inline void vector_row_sums(double *restrict sums, const float *restrict x, size_t rows,
                                   size_t stride, size_t columns)
{
    float run[VECTOR_SUM_COLUMNS];
    for (size_t first = 0; first < rows; first += VECTOR_SUM_ROWS) {
        size_t last = rows - first < VECTOR_SUM_ROWS ? rows : first + VECTOR_SUM_ROWS;
        memcpy(run, x + first * stride, columns * sizeof *run);
        for (size_t r = first + 1; r < last; r++)
            for (size_t j = 0; j < columns; j++) run[j] += x[r * stride + j];
        for (size_t j = 0; j < columns; j++) sums[j] += (double)run[j];
    }
}

#endif
