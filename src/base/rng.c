/*
 * Blocks are computed LANES at a time with the lanes innermost, which compilers turn into vector
 * code. (Of 16 lanes GCC unrolls the loop first and then finds no vectors in it: four times
 * slower.) Every draw is made in double or in integers and rounded to float once.
 */
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { LANES = 32, ROUNDS = 10 };

static void philox(uint32_t x[4][LANES], const uint32_t key[2])
{
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * x[0][i], p1 = (uint64_t)0xCD9E8D57u * x[2][i];
            uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1][i] ^ k0;
            uint32_t y2 = (uint32_t)(p0 >> 32) ^ x[3][i] ^ k1;
            x[0][i] = y0, x[1][i] = (uint32_t)p1, x[2][i] = y2, x[3][i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

/* LANES blocks from `first_block` on. */
static void lanes_of_blocks(uint32_t x[4][LANES], uint32_t first_block, RngKey key)
{
    uint32_t words[2] = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)};
    for (uint32_t i = 0; i < LANES; i++) {
        x[0][i] = first_block + i;
        x[1][i] = key.image;
        x[2][i] = key.step;
        x[3][i] = (uint32_t)key.stream | key.part << 8;
    }
    philox(x, words);
}

void rng_bits(uint32_t *out, size_t blocks, uint32_t first_block, RngKey key)
{
    for (size_t done = 0; done < blocks; done += LANES) {
        uint32_t x[4][LANES], ordered[4 * LANES];
        lanes_of_blocks(x, first_block + (uint32_t)done, key);
        for (int i = 0; i < LANES; i++)
            for (int j = 0; j < 4; j++) ordered[4 * i + j] = x[j][i];
        size_t count = blocks - done < LANES ? blocks - done : LANES;
        memcpy(out + 4 * done, ordered, count * 4 * sizeof *out);
    }
}

void rng_uniform(float *out, size_t n, RngKey key)
{
    for (size_t done = 0; done < n; done += 4 * LANES) {
        uint32_t bits[4 * LANES];
        rng_bits(bits, LANES, (uint32_t)(done / 4), key);
        size_t count = n - done < 4 * LANES ? n - done : 4 * LANES;
        for (size_t i = 0; i < count; i++) out[done + i] = (float)(bits[i] >> 8) * 0x1p-24f;
    }
}

uint32_t rng_below(uint32_t limit, uint32_t index, RngKey key)
{
    uint32_t bits[4];
    rng_bits(bits, 1, index / 2, key);
    const uint32_t *pair = bits + 2 * (index % 2);
    uint64_t high = (uint64_t)pair[0] * limit, low = (uint64_t)pair[1] * limit;
    return (uint32_t)((high + (low >> 32)) >> 32);
}

void rng_order(uint32_t *order, uint32_t count, RngKey key)
{
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t i = count; i-- > 1;) {
        uint32_t j = rng_below(i + 1, i, key), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}

/* log(x) for a normal x > 0: x = 2^e m with m in [sqrt(1/2), sqrt(2)), then the series of
 * 2 atanh((m-1)/(m+1)), whose terms fall by at least (0.1716)^2 each. */
static double log_positive(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t shifted = bits - 0x3FE6A09E667F3BCDu; /* the bits of sqrt(1/2) */
    int64_t exponent = (int64_t)shifted >> 52;
    bits -= (uint64_t)exponent << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 1.0 / 23.0;
    for (int k = 21; k >= 1; k -= 2) sum = sum * z + 1.0 / k;
    return (double)exponent * 0.693147180559945309417 + 2.0 * s * sum;
}

/* Taylor series on |x| <= pi/4, exact to the last bits of double there. */
static double sin_small(double x)
{
    double z = x * x, sum = 1.0;
    for (int k = 16; k >= 2; k -= 2) sum = 1.0 - sum * z / (k * (k + 1));
    return x * sum;
}

static double cos_small(double x)
{
    double z = x * x, sum = 1.0;
    for (int k = 17; k >= 1; k -= 2) sum = 1.0 - sum * z / (k * (k + 1));
    return sum;
}

/* sin and cos of 2 pi u, u in [0, 1): u is split into a quarter turn and a rest of at most 1/8. */
static void sin_cos_turn(double *sine, double *cosine, double u)
{
    int quarter = (int)(u * 4.0 + 0.5);
    double angle = (u - quarter * 0.25) * 6.28318530717958647693;
    double s = sin_small(angle), c = cos_small(angle);
    double swapped_s = quarter & 1 ? c : s, swapped_c = quarter & 1 ? s : c;
    *sine = quarter & 2 ? -swapped_s : swapped_s;
    *cosine = (quarter + 1) & 2 ? -swapped_c : swapped_c;
}

void rng_normal(float *out, size_t n, RngKey key)
{
    for (size_t done = 0; done < n; done += 4 * LANES) {
        uint32_t x[4][LANES];
        float normals[4 * LANES];
        lanes_of_blocks(x, (uint32_t)(done / 4), key);
        for (int pair = 0; pair < 4; pair += 2)
            for (int i = 0; i < LANES; i++) {
                double u = ((double)x[pair][i] + 0.5) * 0x1p-32, sine, cosine;
                double radius = sqrt(-2.0 * log_positive(u));
                sin_cos_turn(&sine, &cosine, (double)x[pair + 1][i] * 0x1p-32);
                normals[4 * i + pair] = (float)(radius * cosine);
                normals[4 * i + pair + 1] = (float)(radius * sine);
            }
        size_t count = n - done < 4 * LANES ? n - done : 4 * LANES;
        memcpy(out + done, normals, count * sizeof *out);
    }
}
