/*
 * The forward chain and all that follows from its betas, in double.
 *
 * q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I), t = 1..T (Ho et al. 2020, eq. 2). With
 * alpha_t = 1 - beta_t, alpha-bar_t is the product of alpha_1 .. alpha_t. Arrays hold entry i =
 * t - 1 of the chain. A respaced chain visits only some of the t (Nichol & Dhariwal 2021, section
 * 4); its entries remember the original t, which is what the network was trained to see.
 */
#ifndef DDPM_DIFFUSION_SCHEDULE_H
#define DDPM_DIFFUSION_SCHEDULE_H

#include "base/err.h"
#include "base/memory.h"
#include "diffusion/config.h"

#include <stdbool.h>
#include <stddef.h>

/* More would overflow the exact arithmetic that chooses timesteps. */
#define SCHEDULE_MAX_T 1000000

typedef struct {
    int T;                        /* entries; each array below is [T] */
    const double *beta;           /* in (0, 1] */
    const double *alpha_bar;      /* falls from below 1; 0 at the last entry at most */
    const double *alpha_bar_prev; /* of the entry before; 1 at the first */
    /* q(x_{t-1} | x_t, x_0) = N(coef_x0 x_0 + coef_xt x_t, posterior_variance I), Ho et al. eq. 6
     * and 7. The variance is 0 at the first entry, where its log is that of the second. */
    const double *posterior_variance, *posterior_log_variance;
    const double *coef_x0, *coef_xt;
    const double *snr;   /* alpha_bar / (1 - alpha_bar) */
    const int *timestep; /* the original t, 1-based, ascending */
} Schedule;

/* Whether a chain can be made of `config`: T in 2 .. SCHEDULE_MAX_T, betas in (0, 1] that start no
 * higher than they end (`constant` uses beta_end alone, `jsd` and `cosine` neither) or T that are
 * given outright, alpha-bars that fall at every step, to 0 only at T and only if epsilon is not
 * what is predicted: at alpha-bar 0, x_t is the noise, and x_0 does not follow from it. ERR_USAGE
 * otherwise. */
bool schedule_check(const DiffusionConfig *config, Err *err);

/* Whether alpha-bar_T is 0, as `jsd` and zero_terminal_snr have it. `config` has passed the check.
 */
bool schedule_ends_at_zero(const DiffusionConfig *config);

/* Whether two configs say the same chain in the same words. */
bool schedule_equal(const DiffusionConfig *a, const DiffusionConfig *b);

/* The keys that make the chain what it is, for messages: "diffusion.schedule = linear",
 * "diffusion.betas with diffusion.zero_terminal_snr". */
enum { SCHEDULE_ORIGIN = 96 };
void schedule_origin(char out[SCHEDULE_ORIGIN], const DiffusionConfig *config);

/* What schedule_init or schedule_respace take from an arena for T entries. */
size_t schedule_bytes(int T);

/* The chain of `config`, which has passed schedule_check; the arrays live in `arena`.
 *   linear     from beta_start to beta_end       (Ho et al. 2020, section 4)
 *   quadratic  the same between the square roots, squared   (their code, as the next two)
 *   constant   beta_end
 *   jsd        1/T, 1/(T-1), .., 1
 *   cosine     1 - f(t)/f(t-1), at most 0.999, f(t) = cos^2((t/T + s) / (1 + s) pi/2), s = 0.008
 *              (Nichol & Dhariwal 2021, eq. 17)
 *   sigmoid    beta_start + (beta_end - beta_start) sigmoid(-6 .. 6)   (Xu et al. 2022)
 * or config->betas. With zero_terminal_snr the square roots of the alpha-bars are then shifted so
 * that the last is 0 and scaled so that the first stays (Lin et al. 2024, algorithm 1). */
void schedule_init(Schedule *schedule, Arena *arena, const DiffusionConfig *config);

/* The chain over `count` of the timesteps of `full`: 1-based, strictly ascending. Each beta is 1 -
 * alpha-bar / alpha-bar of the entry before, so that the alpha-bars stay (Nichol & Dhariwal 2021,
 * section 4, eq. 19). A chain of one entry has no second: its log-variance is log beta. */
void schedule_respace(Schedule *out, Arena *arena, const Schedule *full, const int *timesteps,
                      int count);

/* log sigma^2 of p(x_{t-1} | x_t) at entry `i`: log posterior_variance or log beta; at the first
 * entry that of the second's posterior variance for both (Nichol & Dhariwal 2021, section 3.1). */
double schedule_log_variance(const Schedule *schedule, Variance variance, int i);

/* The same of one element with learned_range, whose network says `v` besides its prediction:
 *     f log beta + (1 - f) log posterior_variance, f = (v + 1) / 2
 * (Nichol & Dhariwal 2021, eq. 15, where f itself is what the network says; (v + 1) / 2 is their
 * code's). v is not held to [-1, 1]. At the first entry posterior_variance is again the second's,
 * but beta is its own. */
double schedule_learned_log_variance(const Schedule *schedule, int i, double v);

/* Choose K of the timesteps of a chain of T, 1 <= K <= T <= SCHEDULE_MAX_T. With i = 0 .. K-1,
 * 0-based, halves rounded up:
 *   linspace   i (T-1) / (K-1)
 *   leading    i floor(T/K)
 *   trailing   T - i T/K - 1                     (Lin et al. 2024, table 2)
 *   quadratic  (i sqrt(0.8 T) / (K-1))^2         (Song et al. 2021, appendix D.2), at most T - 1
 * and K = 1 is T - 1 alone. `out` [K] gets them 1-based, ascending, without repeats; returns how
 * many there are. */
int schedule_timesteps(int *out, int T, int K, Spacing spacing);

#endif
