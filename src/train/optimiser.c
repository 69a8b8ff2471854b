/*
 * What is bound by the memory's speed goes over the arrays as seldom as it can: Adam, the average
 * and the zeros that the next step's gradients start from are one walk, in chunks that the second
 * cache holds.
 */
#include "train/optimiser.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 1 << 14 };

static size_t end_of_chunk(size_t chunk, size_t n)
{
    size_t end = (chunk + 1) * CHUNK;
    return end < n ? end : n;
}

static size_t chunks_of(size_t n)
{
    return (n + CHUNK - 1) / CHUNK;
}

/* Eight running sums, which compilers can keep in a vector. */
static double sum_of_squares(const float *g, size_t n)
{
    double sums[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) sums[j] += (double)g[i + j] * (double)g[i + j];
    for (; i < n; i++) sum += (double)g[i] * (double)g[i];
    for (size_t j = 0; j < 8; j++) sum += sums[j];
    return sum;
}

/* Chunks are summed in groups whose results are added in order; 64 groups are enough for the
 * threads and few enough for the stack. */
double gradient_norm(const float *g, size_t n)
{
    enum { GROUPS = 64 };
    double sums[GROUPS] = {0}, sum = 0;
    size_t chunks = chunks_of(n);
#pragma omp parallel for schedule(static)
    for (int group = 0; group < GROUPS; group++) {
        size_t first = chunks * (size_t)group / GROUPS,
               last = chunks * (size_t)(group + 1) / GROUPS;
        for (size_t chunk = first; chunk < last; chunk++)
            sums[group] +=
                sum_of_squares(g + chunk * CHUNK, end_of_chunk(chunk, n) - chunk * CHUNK);
    }
    for (int group = 0; group < GROUPS; group++) sum += sums[group];
    return sqrt(sum);
}

double clip_factor(double norm, double limit)
{
    if (limit <= 0) return 1;
    return fmin(1, limit / (norm + 1e-6));
}

const char *const rate_decay_names[] = {"constant", "cosine", "linear", NULL};

static double decayed(const LearningRate *r, uint64_t step)
{
    const double pi = 3.14159265358979323846;
    double done = (double)step - r->warmup_steps, all = (double)r->steps - r->warmup_steps;
    if (r->decay == RATE_CONSTANT || done <= 0) return 1;
    if (done >= all) return 0;
    return r->decay == RATE_COSINE ? (1 + cos(pi * done / all)) / 2 : 1 - done / all;
}

double learning_rate_at(const LearningRate *r, uint64_t step)
{
    double rate = r->peak * decayed(r, step);
    if (r->warmup_steps <= 0) return rate;
    return rate * fmin(1, ((double)step + 1) / r->warmup_steps);
}

static const double BETA_1 = 0.9, BETA_2 = 0.999, EPSILON = 1e-8;

/* What is the same for all parameters of an update. */
typedef struct {
    float scale, keep; /* of the gradient, of the weights */
    float step, root;  /* the rate and 1 / sqrt(v), corrected for bias */
} Adam;

static Adam adam_of(const AdamStep *a)
{
    double t = (double)a->updates + 1;
    return (Adam){.scale = (float)a->scale,
                  .keep = (float)(1 - a->rate * a->weight_decay),
                  .step = (float)(a->rate / (1 - pow(BETA_1, t))),
                  .root = (float)(1 / sqrt(1 - pow(BETA_2, t)))};
}

static void adam_chunk(float *restrict w, float *restrict m, float *restrict v,
                       const float *restrict g, size_t n, Adam k)
{
    float b1 = (float)BETA_1, b2 = (float)BETA_2, epsilon = (float)EPSILON;
    /* rounded once: 1 - (float)0.999 is off by 5e-5 of itself */
    float rest1 = (float)(1 - BETA_1), rest2 = (float)(1 - BETA_2);
    for (size_t i = 0; i < n; i++) {
        float gradient = k.scale * g[i];
        m[i] = b1 * m[i] + rest1 * gradient;
        v[i] = b2 * v[i] + rest2 * gradient * gradient;
        w[i] = k.keep * w[i] - k.step * m[i] / (sqrtf(v[i]) * k.root + epsilon);
    }
}

void ema_update(float *restrict ema, const float *restrict w, size_t n, double decay)
{
    float rest = (float)(1 - decay);
    for (size_t i = 0; i < n; i++) ema[i] += rest * (w[i] - ema[i]);
}

void optimiser_update(Optimised o, size_t n, AdamStep step, const double *ema_decay)
{
    Adam k = adam_of(&step);
    size_t chunks = chunks_of(n);
#pragma omp parallel for schedule(static)
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        size_t at = chunk * CHUNK, count = end_of_chunk(chunk, n) - at;
        adam_chunk(o.w + at, o.adam_m + at, o.adam_v + at, o.gradients + at, count, k);
        for (int i = 0; i < o.emas; i++) ema_update(o.ema[i] + at, o.w + at, count, ema_decay[i]);
        memset(o.gradients + at, 0, count * sizeof *o.gradients);
    }
}

double ema_decay_at(double decay, bool warmup, uint64_t updates)
{
    double n = (double)updates;
    return warmup ? fmin(decay, (1 + n) / (10 + n)) : decay;
}
