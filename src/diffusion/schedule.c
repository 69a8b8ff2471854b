/*
 * Everything is computed in double from the betas, in the order of the formulas, and rounded to
 * float only by whoever uses it: 1 - alpha-bar_1 is 1e-4, and its error would be 1e-3 in float.
 * A respaced chain takes over the alpha-bars of the full one instead of multiplying its betas up
 * again. Timesteps are chosen in whole numbers, so that a half is a half.
 */
#include "diffusion/schedule.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ARRAYS = 8 };

static const double pi = 3.14159265358979323846;

/* From `start` to `end`, both met exactly, at entry i of T. */
static double between(double start, double end, int i, int T)
{
    double f = (double)i / (T - 1);
    return start * (1.0 - f) + end * f;
}

static double cosine_alpha_bar(int t, int T)
{
    double c = cos(((double)t / T + 0.008) / 1.008 * pi / 2);
    return c * c;
}

static double beta_at(const DiffusionConfig *c, int i)
{
    int T = c->timesteps;
    if (c->betas_count > 0) return c->betas[i];
    switch (c->schedule) {
    case SCHEDULE_LINEAR:
        return between(c->beta_start, c->beta_end, i, T);
    case SCHEDULE_QUADRATIC: {
        double root = between(sqrt(c->beta_start), sqrt(c->beta_end), i, T);
        return root * root;
    }
    case SCHEDULE_CONSTANT:
        return c->beta_end;
    case SCHEDULE_JSD:
        return 1.0 / (T - i);
    case SCHEDULE_COSINE:
        return fmin(1.0 - cosine_alpha_bar(i + 1, T) / cosine_alpha_bar(i, T), 0.999);
    case SCHEDULE_SIGMOID:
        return c->beta_start + (c->beta_end - c->beta_start) / (1.0 + exp(-between(-6, 6, i, T)));
    }
    assert(!"a schedule");
    return NAN;
}

/* Before zero_terminal_snr changes it. */
static double last_alpha_bar(const DiffusionConfig *c)
{
    double alpha_bar = 1.0;
    for (int i = 0; i < c->timesteps; i++) alpha_bar *= 1.0 - beta_at(c, i);
    return alpha_bar;
}

/* What zero_terminal_snr makes of an alpha-bar of a chain that begins and ends with these. Done
 * twice, it changes nothing more. */
static double rescaled(double alpha_bar, double first, double last)
{
    double scale = sqrt(first) / (sqrt(first) - sqrt(last));
    double root = (sqrt(alpha_bar) - sqrt(last)) * scale;
    return root * root;
}

void schedule_origin(char out[SCHEDULE_ORIGIN], const DiffusionConfig *c)
{
    bool given = c->betas_count > 0;
    snprintf(out, SCHEDULE_ORIGIN, "diffusion.%s%s%s",
             given ? "betas" : "schedule = ", given ? "" : schedule_names[c->schedule],
             c->zero_terminal_snr ? " with diffusion.zero_terminal_snr" : "");
}

bool schedule_equal(const DiffusionConfig *a, const DiffusionConfig *b)
{
    return a->timesteps == b->timesteps && a->schedule == b->schedule &&
           a->beta_start == b->beta_start && a->beta_end == b->beta_end &&
           a->zero_terminal_snr == b->zero_terminal_snr && a->betas_count == b->betas_count &&
           memcmp(a->betas, b->betas, (size_t)a->betas_count * sizeof *a->betas) == 0;
}

static bool check_given(const DiffusionConfig *c, Err *err)
{
    if (c->betas_count != c->timesteps)
        return err_set(err, ERR_USAGE,
                       "diffusion.betas has %d numbers, and diffusion.timesteps is %d; give one "
                       "for each timestep",
                       c->betas_count, c->timesteps);
    for (int i = 0; i < c->betas_count; i++)
        if (!(c->betas[i] > 0.0 && c->betas[i] <= 1.0))
            return err_set(err, ERR_USAGE, "diffusion.betas[%d] = %g is not in (0, 1]", i,
                           c->betas[i]);
    return true;
}

static bool check_betas(const DiffusionConfig *c, Err *err)
{
    if (c->betas_count > 0) return check_given(c, err);
    if (c->schedule == SCHEDULE_JSD || c->schedule == SCHEDULE_COSINE) return true;
    if (!(c->beta_end > 0.0 && c->beta_end <= 1.0))
        return err_set(err, ERR_USAGE, "diffusion.beta_end = %g is not in (0, 1]", c->beta_end);
    if (c->schedule == SCHEDULE_CONSTANT) return true;
    if (!(c->beta_start > 0.0 && c->beta_start <= c->beta_end))
        return err_set(err, ERR_USAGE,
                       "diffusion.beta_start = %g is not in (0, beta_end]; beta_end is %g",
                       c->beta_start, c->beta_end);
    return true;
}

bool schedule_ends_at_zero(const DiffusionConfig *config)
{
    return config->zero_terminal_snr || last_alpha_bar(config) == 0.0;
}

static bool check_end(double alpha_bar, const DiffusionConfig *c, Err *err)
{
    char origin[SCHEDULE_ORIGIN];
    schedule_origin(origin, c);
    if (alpha_bar > 0.0 || c->prediction != PREDICT_EPSILON) return true;
    return err_set(err, ERR_USAGE,
                   "%s ends at alpha-bar 0, where x_0 does not follow from diffusion.prediction = "
                   "epsilon; predict x0, mean or v, or choose a schedule that does not",
                   origin);
}

/* Given betas are to blame one by one: that of t where it is what takes all. */
static bool vanishes(const DiffusionConfig *c, int i, double alpha_bar, Err *err)
{
    char origin[SCHEDULE_ORIGIN];
    const char *what = c->betas_count > 0 ? "the betas" : "diffusion.beta_end";
    schedule_origin(origin, c);
    if (c->betas_count > 0 && c->betas[i] == 1.0)
        return err_set(err, ERR_USAGE,
                       "%s reaches alpha-bar %g at t = %d of %d, by diffusion.betas[%d] = 1; lower "
                       "that one: only the last may be 1",
                       origin, alpha_bar, i + 1, c->timesteps, i);
    return err_set(err, ERR_USAGE,
                   "%s reaches alpha-bar %g at t = %d of %d; lower %s or diffusion.timesteps",
                   origin, alpha_bar, i + 1, c->timesteps, what);
}

/* Alpha-bar must fall at every step, not vanish before T, nor at T where epsilon is predicted. */
static bool check_alpha_bars(const DiffusionConfig *c, Err *err)
{
    char origin[SCHEDULE_ORIGIN];
    double product = 1.0, alpha_bar = 1.0, first = 1.0 - beta_at(c, 0), last = last_alpha_bar(c);
    schedule_origin(origin, c);
    for (int i = 0; i < c->timesteps; i++) {
        double before = alpha_bar, beta = beta_at(c, i);
        alpha_bar = product *= 1.0 - beta;
        if (c->zero_terminal_snr) alpha_bar = rescaled(product, first, last);
        if (!(alpha_bar < before))
            return err_set(err, ERR_USAGE,
                           "%s has beta = %g at t = %d, too small to lower alpha-bar; raise %s",
                           origin, beta, i + 1, c->betas_count > 0 ? "it" : "diffusion.beta_start");
        if (alpha_bar < DBL_MIN && !(alpha_bar == 0.0 && i == c->timesteps - 1))
            return vanishes(c, i, alpha_bar, err);
    }
    return check_end(alpha_bar, c, err);
}

bool schedule_check(const DiffusionConfig *config, Err *err)
{
    if (config->timesteps < 2 || config->timesteps > SCHEDULE_MAX_T)
        return err_set(err, ERR_USAGE, "diffusion.timesteps = %d is not in 2 .. %d",
                       config->timesteps, SCHEDULE_MAX_T);
    return check_betas(config, err) && check_alpha_bars(config, err);
}

size_t schedule_bytes(int T)
{
    return ARRAYS * memory_round((size_t)T * sizeof(double)) +
           memory_round((size_t)T * sizeof(int));
}

static double *take_doubles(Arena *arena, int T)
{
    return arena_take(arena, (size_t)T * sizeof(double));
}

/* All that follows from T, beta and alpha_bar. */
static void derive(Schedule *s, Arena *arena)
{
    double *prev = take_doubles(arena, s->T), *variance = take_doubles(arena, s->T);
    double *log_variance = take_doubles(arena, s->T), *snr = take_doubles(arena, s->T);
    double *coef_x0 = take_doubles(arena, s->T), *coef_xt = take_doubles(arena, s->T);
    for (int i = 0; i < s->T; i++) {
        double beta = s->beta[i], noise = 1.0 - s->alpha_bar[i];
        prev[i] = i > 0 ? s->alpha_bar[i - 1] : 1.0;
        variance[i] = beta * (1.0 - prev[i]) / noise;
        log_variance[i] = log(variance[i]);
        coef_x0[i] = beta * sqrt(prev[i]) / noise;
        coef_xt[i] = (1.0 - prev[i]) * sqrt(1.0 - beta) / noise;
        snr[i] = s->alpha_bar[i] / noise;
    }
    log_variance[0] = s->T > 1 ? log_variance[1] : log(s->beta[0]);
    s->alpha_bar_prev = prev, s->snr = snr;
    s->posterior_variance = variance, s->posterior_log_variance = log_variance;
    s->coef_x0 = coef_x0, s->coef_xt = coef_xt;
}

/* The betas that lead from each alpha-bar to the next. */
static void betas_between(double *beta, const double *alpha_bar, int count)
{
    for (int i = 0; i < count; i++) beta[i] = 1.0 - alpha_bar[i] / (i > 0 ? alpha_bar[i - 1] : 1.0);
}

static void end_at_zero(double *beta, double *alpha_bar, int T)
{
    double first = alpha_bar[0], last = alpha_bar[T - 1];
    for (int i = 0; i < T; i++) alpha_bar[i] = rescaled(alpha_bar[i], first, last);
    betas_between(beta, alpha_bar, T);
}

void schedule_init(Schedule *schedule, Arena *arena, const DiffusionConfig *config)
{
    int T = config->timesteps;
    double *beta = take_doubles(arena, T), *alpha_bar = take_doubles(arena, T);
    int *timestep = arena_take(arena, (size_t)T * sizeof *timestep);
    double product = 1.0;
    for (int i = 0; i < T; i++) {
        beta[i] = beta_at(config, i);
        alpha_bar[i] = product *= 1.0 - beta[i];
        timestep[i] = i + 1;
    }
    if (config->zero_terminal_snr) end_at_zero(beta, alpha_bar, T);
    *schedule = (Schedule){.T = T, .beta = beta, .alpha_bar = alpha_bar, .timestep = timestep};
    derive(schedule, arena);
}

void schedule_respace(Schedule *out, Arena *arena, const Schedule *full, const int *timesteps,
                      int count)
{
    double *beta = take_doubles(arena, count), *alpha_bar = take_doubles(arena, count);
    int *timestep = arena_take(arena, (size_t)count * sizeof *timestep);
    assert(count >= 1 && timesteps[0] >= 1 && timesteps[count - 1] <= full->T);
    for (int i = 0; i < count; i++) {
        assert(i == 0 || timesteps[i] > timesteps[i - 1]);
        alpha_bar[i] = full->alpha_bar[timesteps[i] - 1];
        timestep[i] = timesteps[i];
    }
    betas_between(beta, alpha_bar, count);
    *out = (Schedule){.T = count, .beta = beta, .alpha_bar = alpha_bar, .timestep = timestep};
    derive(out, arena);
}

double schedule_log_variance(const Schedule *schedule, Variance variance, int i)
{
    assert(i >= 0 && i < schedule->T && variance != VARIANCE_LEARNED_RANGE);
    if (variance == VARIANCE_FIXED_LARGE && i > 0) return log(schedule->beta[i]);
    return schedule->posterior_log_variance[i];
}

double schedule_learned_log_variance(const Schedule *schedule, int i, double v)
{
    assert(i >= 0 && i < schedule->T);
    double f = 0.5 * (v + 1.0);
    return f * log(schedule->beta[i]) + (1.0 - f) * schedule->posterior_log_variance[i];
}

/* a / b for a >= 0, b > 0, halves rounded up. */
static int64_t divide_rounded(int64_t a, int64_t b)
{
    return (2 * a + b) / (2 * b);
}

/* The i-th smallest of K > 1 timesteps of T, 0-based. */
static int64_t choose(int64_t i, int64_t T, int64_t K, Spacing spacing)
{
    switch (spacing) {
    case SPACING_LINSPACE:
        return divide_rounded(i * (T - 1), K - 1);
    case SPACING_LEADING:
        return i * (T / K);
    case SPACING_TRAILING:
        return divide_rounded((i + 1) * T - K, K);
    case SPACING_QUADRATIC: {
        int64_t t = divide_rounded(4 * T * i * i, 5 * (K - 1) * (K - 1));
        return t < T ? t : T - 1;
    }
    }
    assert(!"a spacing");
    return 0;
}

int schedule_timesteps(int *out, int T, int K, Spacing spacing)
{
    assert(K >= 1 && K <= T && T <= SCHEDULE_MAX_T);
    if (K == 1) return out[0] = T, 1;
    int count = 0;
    for (int i = 0; i < K; i++) {
        int t = (int)choose(i, T, K, spacing) + 1;
        if (count == 0 || t > out[count - 1]) out[count++] = t;
    }
    return count;
}
