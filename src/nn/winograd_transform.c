/*
 * One-dimensional transforms on vectors of channels, applied to the columns and then to the rows.
 * The points come in pairs +-p, so that even and odd powers are summed once for both.
 */
#include "nn/winograd_transform.h"

#include <assert.h>

#define A 0.75f
#define B 1.5f
#define A2 (A * A)
#define B2 (B * B)

/* 1 over the products of the differences to the other points: at 0, at +-A, at +-B. */
static const float SCALE_0 = 1.0f / (A2 * B2);
static const float SCALE_A = 1.0f / (2 * A2 * (A2 - B2));
static const float SCALE_B = 1.0f / (2 * B2 * (B2 - A2));

/* So that the count of lanes is a constant where all are used. */
#define INLINE inline __attribute__((always_inline))

enum { TILE = WINOGRAD_TILE, WINDOW = WINOGRAD_WINDOW, TAPS = 3 };

/* B': row p holds the coefficients of the product of (x - q) over the other points q. */
static inline void input_1d(Simd out[WINDOW], const Simd d[WINDOW])
{
    Simd even_a = d[4] - B2 * d[2], odd_a = d[3] - B2 * d[1];
    Simd even_b = d[4] - A2 * d[2], odd_b = d[3] - A2 * d[1];
    out[0] = A2 * B2 * d[0] - (A2 + B2) * d[2] + d[4];
    out[1] = even_a + A * odd_a;
    out[2] = even_a - A * odd_a;
    out[3] = even_b + B * odd_b;
    out[4] = even_b - B * odd_b;
    out[5] = A2 * B2 * d[1] - (A2 + B2) * d[3] + d[5];
}

static INLINE void input_lanes(float *v, size_t plane, const float *const *pixel, int c, int lanes)
{
    Simd columns[WINDOW][WINDOW], d[WINDOW];
    for (int j = 0; j < WINDOW; j++) {
        for (int i = 0; i < WINDOW; i++) d[i] = simd_load_some(pixel[WINDOW * i + j] + c, lanes);
        input_1d(columns[j], d);
    }
    for (int i = 0; i < WINDOW; i++) {
        Simd row[WINDOW];
        for (int j = 0; j < WINDOW; j++) d[j] = columns[j][i];
        input_1d(row, d);
        for (int j = 0; j < WINDOW; j++)
            simd_store(v + (size_t)(WINDOW * i + j) * plane + c, row[j]);
    }
}

void winograd_input(float *v, size_t plane, const float *const *pixel, int channels)
{
    int c = 0;
    for (; c + SIMD_LANES <= channels; c += SIMD_LANES) input_lanes(v, plane, pixel, c, SIMD_LANES);
    if (c < channels) input_lanes(v, plane, pixel, c, channels - c);
}

/* G: row p is (1, p, p^2) times the scale of p. */
static inline void filter_1d(Simd out[WINDOW], const Simd g[TAPS])
{
    Simd even_a = SCALE_A * g[0] + (SCALE_A * A2) * g[2];
    Simd even_b = SCALE_B * g[0] + (SCALE_B * B2) * g[2];
    out[0] = SCALE_0 * g[0];
    out[1] = even_a + (SCALE_A * A) * g[1];
    out[2] = even_a - (SCALE_A * A) * g[1];
    out[3] = even_b + (SCALE_B * B) * g[1];
    out[4] = even_b - (SCALE_B * B) * g[1];
    out[5] = g[2];
}

static INLINE void filter_lanes(float *u, size_t plane, const float *g, size_t tap_stride,
                                int lanes)
{
    Simd columns[TAPS][WINDOW], in[TAPS];
    for (int j = 0; j < TAPS; j++) {
        for (int i = 0; i < TAPS; i++)
            in[i] = simd_load_some(g + (size_t)(TAPS * i + j) * tap_stride, lanes);
        filter_1d(columns[j], in);
    }
    for (int i = 0; i < WINDOW; i++) {
        Simd row[WINDOW];
        for (int j = 0; j < TAPS; j++) in[j] = columns[j][i];
        filter_1d(row, in);
        for (int j = 0; j < WINDOW; j++) simd_store(u + (size_t)(WINDOW * i + j) * plane, row[j]);
    }
}

/* Lanes of the vector at `o` that hold channels. */
static inline int lanes_at(int o, int channels)
{
    int left = channels - o;
    return left < 0 ? 0 : left < SIMD_LANES ? left : SIMD_LANES;
}

void winograd_filter(float *u, size_t plane, const float *g, size_t tap_stride, int outputs)
{
    for (int o = 0; o < WINOGRAD_PANEL; o += SIMD_LANES) {
        if (o + SIMD_LANES <= outputs)
            filter_lanes(u + o, plane, g + o, tap_stride, SIMD_LANES);
        else
            filter_lanes(u + o, plane, g + o, tap_stride, lanes_at(o, outputs));
    }
}

static inline void filter_adjoint_1d(Simd g[TAPS], const Simd u[WINDOW])
{
    Simd sum_a = SCALE_A * (u[1] + u[2]), odd_a = (SCALE_A * A) * (u[1] - u[2]);
    Simd sum_b = SCALE_B * (u[3] + u[4]), odd_b = (SCALE_B * B) * (u[3] - u[4]);
    g[0] = SCALE_0 * u[0] + sum_a + sum_b;
    g[1] = odd_a + odd_b;
    g[2] = A2 * sum_a + B2 * sum_b + u[5];
}

static INLINE void filter_adjoint_lanes(float *dg, size_t tap_stride, const float *du, size_t plane,
                                        int lanes)
{
    Simd columns[WINDOW][TAPS], in[WINDOW];
    for (int j = 0; j < WINDOW; j++) {
        for (int i = 0; i < WINDOW; i++) in[i] = simd_load(du + (size_t)(WINDOW * i + j) * plane);
        filter_adjoint_1d(columns[j], in);
    }
    for (int i = 0; i < TAPS; i++) {
        Simd row[TAPS];
        for (int j = 0; j < WINDOW; j++) in[j] = columns[j][i];
        filter_adjoint_1d(row, in);
        for (int j = 0; j < TAPS; j++) {
            float *to = dg + (size_t)(TAPS * i + j) * tap_stride;
            simd_store_some(to, simd_load_some(to, lanes) + row[j], lanes);
        }
    }
}

void winograd_filter_adjoint(float *dg, size_t tap_stride, const float *du, size_t plane,
                             int outputs)
{
    int o = 0;
    for (; o + SIMD_LANES <= outputs; o += SIMD_LANES)
        filter_adjoint_lanes(dg + o, tap_stride, du + o, plane, SIMD_LANES);
    if (o < outputs) filter_adjoint_lanes(dg + o, tap_stride, du + o, plane, outputs - o);
}

/* A': row k holds the points to the power k; infinity has a part in the last only. */
static inline void output_1d(Simd y[TILE], const Simd m[WINDOW])
{
    Simd even_a = m[1] + m[2], odd_a = A * (m[1] - m[2]);
    Simd even_b = m[3] + m[4], odd_b = B * (m[3] - m[4]);
    y[0] = m[0] + even_a + even_b;
    y[1] = odd_a + odd_b;
    y[2] = A2 * even_a + B2 * even_b;
    y[3] = A2 * odd_a + B2 * odd_b + m[5];
}

static INLINE void output_lanes(WinogradTile to, const float *m, size_t plane, int o, int lanes)
{
    Simd columns[WINDOW][TILE], in[WINDOW], add = {0};
    for (int j = 0; j < WINDOW; j++) {
        for (int i = 0; i < WINDOW; i++)
            in[i] = simd_load(m + (size_t)(WINDOW * i + j) * plane + o);
        output_1d(columns[j], in);
    }
    if (to.bias) add += simd_load_some(to.bias + o, lanes);
    if (to.image) add += simd_load_some(to.image + o, lanes);
    for (int i = 0; i < to.rows; i++) {
        Simd row[TILE];
        for (int j = 0; j < WINDOW; j++) in[j] = columns[j][i];
        output_1d(row, in);
        for (int j = 0; j < to.columns; j++) {
            size_t at = (size_t)i * to.line + (size_t)j * to.pixel + (size_t)o;
            Simd sum = row[j] + add;
            if (to.residual) sum += simd_load_some(to.residual + at, lanes);
            simd_store_some(to.y + at, sum, lanes);
        }
    }
}

void winograd_output(WinogradTile to, const float *m, size_t plane)
{
    int o = 0;
    assert(to.rows <= TILE && to.columns <= TILE);
    for (; o + SIMD_LANES <= to.channels; o += SIMD_LANES)
        output_lanes(to, m, plane, o, SIMD_LANES);
    if (o < to.channels) output_lanes(to, m, plane, o, to.channels - o);
}

static inline void output_adjoint_1d(Simd m[WINDOW], const Simd y[TILE])
{
    Simd even_a = y[0] + A2 * y[2], odd_a = A * (y[1] + A2 * y[3]);
    Simd even_b = y[0] + B2 * y[2], odd_b = B * (y[1] + B2 * y[3]);
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
}

static INLINE void output_adjoint_lanes(float *m, size_t plane, const float *const *pixel, int o,
                                        int lanes)
{
    Simd columns[TILE][WINDOW], in[TILE];
    for (int j = 0; j < TILE; j++) {
        for (int i = 0; i < TILE; i++) in[i] = simd_load_some(pixel[TILE * i + j] + o, lanes);
        output_adjoint_1d(columns[j], in);
    }
    for (int i = 0; i < WINDOW; i++) {
        Simd row[WINDOW];
        for (int j = 0; j < TILE; j++) in[j] = columns[j][i];
        output_adjoint_1d(row, in);
        for (int j = 0; j < WINDOW; j++)
            simd_store(m + (size_t)(WINDOW * i + j) * plane + o, row[j]);
    }
}

void winograd_output_adjoint(float *m, size_t plane, const float *const *pixel, int channels)
{
    for (int o = 0; o < WINOGRAD_PANEL; o += SIMD_LANES) {
        if (o + SIMD_LANES <= channels)
            output_adjoint_lanes(m, plane, pixel, o, SIMD_LANES);
        else
            output_adjoint_lanes(m, plane, pixel, o, lanes_at(o, channels));
    }
}
