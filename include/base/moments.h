/*
 * Mean, variance and standard error of numbers that come one at a time, by Welford 1962: of all
 * squares, the small differences are what counts. {0} is none yet. NaN stays NaN.
 */
#ifndef DDPM_BASE_MOMENTS_H
#define DDPM_BASE_MOMENTS_H

#include <stdint.h>

typedef struct {
    int64_t count;
    double mean;    /* 0 of none */
    double squares; /* the sum of the squared differences to the mean */
} Moments;

void moments_add(Moments *moments, double value);

/* squares / (count - 1), whose expectation is that of what the numbers were drawn from; NaN of
 * fewer than two. */
double moments_variance(const Moments *moments);

/* The standard error of the mean, sqrt(variance / count), of independent numbers; NaN of fewer than
 * two. */
double moments_error(const Moments *moments);

/*
 * The standard error of a share of n, n >= 1 (NaN of none): the standard deviation of what it may
 * be the share of, given it, under Jeffreys' prior (Brown, Cai & DasGupta 2001, Interval estimation
 * for a binomial proportion, section 4.1.2),
 *
 *     sqrt(p (1 - p) / (n + 2)), p = (share n + 1/2) / (n + 1).
 *
 * So it is not 0 where none of n, or all, are counted; of many it is sqrt(share (1 - share) / n).
 */
double moments_share_error(double share, int64_t n);

#endif
