/*
 * Gradients of a kernel checked against finite differences, not of the kernel itself, whose floats
 * would drown them, but of a plain reference in double: y = f(inputs), and for the loss <dy, y> the
 * derivative along random directions and along single coordinates.
 */
#ifndef DDPM_TESTS_GRADIENT_H
#define DDPM_TESTS_GRADIENT_H

#include <stdbool.h>
#include <stddef.h>

enum { GRADIENT_INPUTS = 4 };

typedef struct {
    void (*forward)(double *y, double *const *input, const void *dims);
    const void *dims;
    double *input[GRADIENT_INPUTS];
    size_t size[GRADIENT_INPUTS];
    const float *dy;
    size_t outputs;
} GradientCase;

/* Copies of the float arrays, as inputs and cotangent of the case; gradient_release frees them. */
void gradient_input(GradientCase *c, int input, const float *x, size_t n);
void gradient_release(GradientCase *c);

/* The reference's y, rounded; to be freed. */
float *gradient_reference(const GradientCase *c);

/* Whether `gradient` is that of the case's loss by `input`: along every direction tried, off by at
 * most 1e-4 of the gradient's norm. */
bool gradient_is_right(const GradientCase *c, int input, const float *gradient);

/* Asserts the above, and also that slightly wrong ones are caught: one of another scale, one with
 * an element off, one with elements moved by a place, one with a NaN. The right one must not be
 * zero. */
#define assert_gradient(c, input, gradient)                                                        \
    gradient_assert((c), (input), (gradient), #gradient, __FILE__, __LINE__)
void gradient_assert(const GradientCase *c, int input, const float *gradient, const char *what,
                     const char *file, int line);

#endif
