/*
 * Rows of all images follow one another, image by image, and are asked in batches that end where
 * they will: what a row is follows from its image and its number there alone, and its term is added
 * in that order. Only the pilot's last row ends a batch, since p is made of it.
 *
 * With a fixed variance a term is C_t and a constant times a squared error, which is a loop that
 * compilers turn into vector code; exponentials and the normal's CDF, ten times as slow, are for
 * learned variances and L_0.
 */
#include "diffusion/bound.h"

#include "base/rng.h"
#include "base/whole.h"
#include "diffusion/likelihood.h"
#include "diffusion/loss.h"
#include "diffusion/predict.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- memory ---- */

int bound_rows(const BoundConfig *config)
{
    return config->budget > 0 ? config->budget : config->schedule->T;
}

static size_t image_size(const BoundConfig *c)
{
    return c->pixels * (size_t)c->channels;
}

static size_t output_size(const BoundConfig *c)
{
    return c->pixels * (size_t)loss_output_channels(c->diffusion, c->channels);
}

size_t bound_bytes(const BoundConfig *c)
{
    size_t n = (size_t)c->rows, T = (size_t)c->schedule->T, doubles = T * sizeof(double);
    size_t rows = 2 * memory_round(n * image_size(c) * sizeof(float)) +
                  memory_round(n * output_size(c) * sizeof(float)) +
                  2 * memory_round(n * sizeof(int)) + 2 * memory_round(n * sizeof(double));
    return rows + 4 * memory_round(doubles) + memory_round(T * sizeof(Moments)) +
           memory_round((size_t)c->budget * sizeof(double));
}

static double *take_doubles(Arena *arena, int n)
{
    return arena_take(arena, (size_t)n * sizeof(double));
}

/* ---- which t ---- */

/* The log-variance of p where it is fixed; with learned_range that of v = -1. */
static double log_variance_at(const BoundConfig *c, int i)
{
    if (c->diffusion->variance == VARIANCE_LEARNED_RANGE)
        return schedule_learned_log_variance(c->schedule, i, -1);
    return schedule_log_variance(c->schedule, c->diffusion->variance, i);
}

/* What x_0's squared error is multiplied by in L_{t-1}: in nats, coef_x0^2 / (2 sigma^2). */
static double error_weight(const BoundConfig *c, int i)
{
    double a = c->schedule->coef_x0[i];
    return 0.5 * a * a * exp(-log_variance_at(c, i));
}

/* p, which need not add up to 1 yet, and its cumulative sums. */
static void use(BoundProposal *q, int T)
{
    double sum = 0, total = 0;
    for (int i = 1; i < T; i++) sum += q->p[i];
    q->p[0] = q->cumulative[0] = 0;
    for (int i = 1; i < T; i++) {
        q->p[i] /= sum;
        q->cumulative[i] = total += q->p[i];
    }
}

/* That of normal data of variance s^2, whose x_0 is known from x_t but for s^2 / (s^2 SNR + 1);
 * with a tenth of uniform, for networks that are worse than that anywhere. */
static void guess(BoundProposal *q, const BoundConfig *c)
{
    const double data_variance = 0.25, uniform_part = 0.1;
    int T = c->schedule->T;
    for (int i = 1; i < T; i++)
        q->p[i] = error_weight(c, i) * data_variance / (data_variance * c->schedule->snr[i] + 1.0);
    use(q, T);
    for (int i = 1; i < T; i++) q->p[i] = (1.0 - uniform_part) * q->p[i] + uniform_part / (T - 1);
    use(q, T);
    memcpy(q->guess, q->p, (size_t)T * sizeof *q->guess);
}

/* The integral of the strata's root mean square over u = from..to of 0..1. */
static double integral(const BoundProposal *q, double from, double to)
{
    double sum = 0;
    for (int k = (int)(from * q->strata); k < q->strata && k < to * q->strata; k++) {
        double low = fmax(from, (double)k / q->strata), high = fmin(to, (k + 1.0) / q->strata);
        sum += fmax(high - low, 0) * sqrt(q->ratios[k]);
    }
    return sum;
}

/* After the pilot. Where that found no error at all, or no number, the guess stays. */
static void learn(BoundProposal *q, int T)
{
    const double guess_part = 0.1;
    double sum = 0;
    for (int i = 1; i < T; i++)
        sum += q->p[i] = integral(q, q->cumulative[i - 1], q->cumulative[i]);
    for (int i = 1; i < T; i++)
        q->p[i] = sum > 0 && isfinite(sum)
                      ? (1.0 - guess_part) * q->p[i] / sum + guess_part * q->guess[i]
                      : q->guess[i];
    use(q, T);
}

/* The first entry whose cumulative p is above u. */
static int entry_at(const BoundProposal *q, int T, double u)
{
    int low = 1, high = T - 1;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (q->cumulative[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The entry of row `k` of image `j`, and what its term, less C_t, counts. */
static int choose(double *weight, const Bound *b, int j, int k)
{
    const BoundProposal *q = &b->proposal;
    *weight = 1;
    if (q->strata == 0 || k == 0) return k;
    uint32_t bits[4];
    RngKey key = {.seed = b->config.seed, .image = (uint32_t)j, .stream = RNG_EVAL_TIMESTEP};
    rng_bits(bits, 1, (uint32_t)k, key);
    double u = ((double)(bits[0] >> 5) * 0x1p26 + (double)(bits[1] >> 6)) * 0x1p-53;
    int i = entry_at(q, b->config.schedule->T, (k - 1 + u) / q->strata);
    *weight = 1.0 / (q->strata * q->p[i]);
    return i;
}

/* ---- a term ---- */

/* Element by element: nats, all together. */
static double elements(const Bound *b, const LossImage *image, int i)
{
    const BoundConfig *c = &b->config;
    const Schedule *s = c->schedule;
    size_t channels = (size_t)c->channels, stride = b->out_size / c->pixels;
    double center = log_variance_at(c, i), slope = 0, sum = 0, weights[2];
    if (stride > channels) slope = schedule_learned_log_variance(s, i, 0) - center;
    predict_weights(weights, c->diffusion->prediction, s, i);
    for (size_t k = 0; k < b->size; k++) {
        const float *output = image->output + k / channels * stride + k % channels;
        double x_0 = (double)image->x_0[k], x_t = (double)image->x_t[k], log_variance = center;
        double guess = weights[0] * (double)output[0] + weights[1] * x_t;
        if (c->clip) guess = predict_clip(guess);
        if (stride > channels) log_variance += slope * ((double)output[channels] + 1.0);
        double mean = s->coef_x0[i] * guess + s->coef_xt[i] * x_t;
        sum += likelihood_element(NULL, s, i, x_0, x_t, mean, log_variance);
    }
    return sum;
}

/* L_{t-1}, or L_0 at the first entry, in bits per dimension. */
static double term(const Bound *b, const LossImage *image, int i)
{
    const BoundConfig *c = &b->config;
    if (i == 0 || c->diffusion->variance == VARIANCE_LEARNED_RANGE)
        return likelihood_bits(elements(b, image, i), b->size);
    double error = loss_x_0_error(image, c->diffusion, c->schedule, i, c->clip);
    return b->proposal.constant[i] + likelihood_bits(error_weight(c, i) * error, 1);
}

/* L_T: the divergence is a constant and the mean's square, so that of an image is that of its root
 * mean square. */
static double prior(const Bound *b, const float *x_0)
{
    const Schedule *s = b->config.schedule;
    double a = s->alpha_bar[s->T - 1], squares = 0;
    for (size_t k = 0; k < b->size; k++) squares += (double)x_0[k] * (double)x_0[k];
    double mean = sqrt(a * squares / (double)b->size);
    return likelihood_bits(likelihood_normal_kl(mean, log(1.0 - a), 0, 0), 1);
}

/* ---- a bound ---- */

/* C_t of the entries from the second on. */
static void find_constants(BoundProposal *q, const BoundConfig *c)
{
    const Schedule *s = c->schedule;
    bool fixed = c->diffusion->variance != VARIANCE_LEARNED_RANGE;
    q->constant[0] = q->constants = 0;
    for (int i = 1; i < s->T; i++) {
        double nats =
            likelihood_normal_kl(0, s->posterior_log_variance[i], 0, log_variance_at(c, i));
        q->constants += q->constant[i] = fixed ? likelihood_bits(nats, 1) : 0;
    }
}

void bound_init(Bound *b, Arena *arena, const BoundConfig *config)
{
    assert(config->rows >= 1 && (config->budget == 0 || config->budget >= 2));
    assert(config->budget < 1 << 24);
    size_t n = (size_t)config->rows;
    int T = config->schedule->T;
    *b = (Bound){.config = *config, .size = image_size(config), .out_size = output_size(config)};
    b->x_0 = arena_take(arena, n * b->size * sizeof *b->x_0);
    b->x_t = arena_take(arena, n * b->size * sizeof *b->x_t);
    b->out = arena_take(arena, n * b->out_size * sizeof *b->out);
    b->t = arena_take(arena, n * sizeof *b->t);
    b->image = arena_take(arena, n * sizeof *b->image);
    b->bits = take_doubles(arena, config->rows);
    b->weight = take_doubles(arena, config->rows);
    b->by_t = arena_take(arena, (size_t)T * sizeof *b->by_t);
    memset(b->by_t, 0, (size_t)T * sizeof *b->by_t);
    BoundProposal *q = &b->proposal;
    q->strata = config->budget > 0 ? config->budget - 1 : 0;
    q->guess = take_doubles(arena, T), q->p = take_doubles(arena, T);
    q->cumulative = take_doubles(arena, T), q->constant = take_doubles(arena, T);
    q->ratios = take_doubles(arena, config->budget);
    memset(q->ratios, 0, (size_t)config->budget * sizeof *q->ratios);
    find_constants(q, config);
    guess(q, config);
}

/* Some of the rows of a block of images, whose first is `first`: from row `row` of them on. */
typedef struct {
    int first, n;
    long row;
} Rows;

static const float *image_of(const Bound *b, Rows rows, int k)
{
    return b->x_0 + (size_t)(b->image[k] - rows.first) * b->size;
}

/* Their x_t. */
static void draw(Bound *b, Rows rows)
{
    int each = bound_rows(&b->config);
#pragma omp parallel for schedule(static)
    for (int k = 0; k < rows.n; k++) {
        long row = rows.row + k;
        int j = rows.first + (int)(row / each), number = (int)(row % each);
        int i = choose(&b->weight[k], b, j, number);
        float *x_t = b->x_t + (size_t)k * b->size;
        b->image[k] = j, b->t[k] = i + 1;
        RngKey key = {.seed = b->config.seed, .image = (uint32_t)j, .step = (uint32_t)(i + 1)};
        key.stream = RNG_EVAL_NOISE, key.part = b->proposal.strata > 0 ? (uint32_t)number : 0;
        rng_normal(x_t, b->size, key);
        diffuse(x_t, image_of(b, rows, k), x_t, b->config.schedule->alpha_bar[i], b->size);
    }
}

static void find_terms(Bound *b, Rows rows)
{
    const BoundConfig *c = &b->config;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < rows.n; k++) {
        LossImage image = {.pixels = c->pixels,
                           .channels = c->channels,
                           .x_0 = image_of(b, rows, k),
                           .x_t = b->x_t + (size_t)k * b->size,
                           .output = b->out + (size_t)k * b->out_size};
        b->bits[k] = term(b, &image, b->t[k] - 1);
    }
}

/* The draws of an image come in the order of t, and those at the same t, which are not independent
 * of each other as images are, count once: as their mean. */
static void end_draws(Bound *b)
{
    if (b->draws > 0) moments_add(&b->by_t[b->draws_entry], b->draws_sum / b->draws);
    b->draws_sum = 0, b->draws = 0;
}

static void add_draw(Bound *b, int i, double bits)
{
    if (i != b->draws_entry) end_draws(b);
    b->draws_entry = i;
    b->draws_sum += bits;
    b->draws++;
}

/* After the last row of an image. */
static void add_image(Bound *b, const float *x_0)
{
    double L_T = prior(b, x_0);
    end_draws(b);
    moments_add(&b->prior, L_T);
    moments_add(&b->decoder, b->first);
    moments_add(&b->total, L_T + b->sum);
}

/* One more row. */
static void add(Bound *b, Rows rows, int k)
{
    BoundProposal *q = &b->proposal;
    int each = bound_rows(&b->config), number = (int)((rows.row + k) % each), i = b->t[k] - 1;
    double beyond = b->bits[k] - q->constant[i];
    if (number == 0) b->sum = q->constants, b->first = b->bits[k];
    b->sum += b->weight[k] * beyond;
    if (q->strata > 0 && number > 0 && b->image[k] < BOUND_PILOT)
        q->ratios[number - 1] += beyond / q->guess[i] * (beyond / q->guess[i]);
    add_draw(b, i, b->bits[k]);
    if (number == each - 1) add_image(b, image_of(b, rows, k));
}

typedef struct {
    BoundDenoiser denoise;
    void *context;
    BoundProgress progress;
    void *progress_context;
} Caller;

/* The `n` images from `first` on, which lie in x_0. */
static bool run_block(Bound *b, int first, int n, const Caller *caller)
{
    long all = (long)n * bound_rows(&b->config);
    for (long row = 0; row < all; row += b->config.rows) {
        long left = all - row;
        Rows rows = {first, left < b->config.rows ? (int)left : b->config.rows, row};
        draw(b, rows);
        caller->denoise(caller->context, b->out, b->x_t, b->t, b->image, rows.n);
        find_terms(b, rows);
        for (int k = 0; k < rows.n; k++) add(b, rows, k);
        b->asked += rows.n;
        if (caller->progress && !caller->progress(caller->progress_context, b->asked)) return false;
    }
    return true;
}

bool bound_run(Bound *b, const ImageSource *images, BoundDenoiser denoise, void *context,
               BoundProgress progress, void *progress_context)
{
    Caller caller = {denoise, context, progress, progress_context};
    bool pilot = b->config.budget > 0;
    for (int first = 0, n; first < images->count; first += n) {
        n = whole_min(b->config.rows, images->count - first);
        if (pilot && first < BOUND_PILOT) n = whole_min(n, BOUND_PILOT - first);
        images->fetch(images->context, b->x_0, first, n);
        if (!run_block(b, first, n, &caller)) return b->total.count == images->count;
        if (pilot && first + n == BOUND_PILOT) learn(&b->proposal, b->config.schedule->T);
    }
    return true;
}
