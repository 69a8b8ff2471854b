/*
 * Whole numbers: what cutting work into pieces needs again and again.
 */
#ifndef DDPM_BASE_WHOLE_H
#define DDPM_BASE_WHOLE_H

static inline int whole_min(int a, int b)
{
    return a < b ? a : b;
}

/* a / b, rounded up; a >= 0, b > 0. */
static inline int whole_divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

#endif
