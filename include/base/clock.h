/*
 * Time that only goes forward.
 */
#ifndef DDPM_BASE_CLOCK_H
#define DDPM_BASE_CLOCK_H

/* Seconds since some moment that stays the same while the program runs. */
double clock_seconds(void);

#endif
