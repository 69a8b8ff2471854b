#include "gradient.h"

#include "support.h"

#include <math.h>
#include <stdio.h>

enum { DIRECTIONS = 6, COORDINATES = 10 };

static double *new_doubles(size_t n)
{
    double *x = calloc(n + 1, sizeof *x);
    if (!x) fail_msg("no memory for %zu doubles", n);
    return x;
}

void gradient_input(GradientCase *c, int input, const float *x, size_t n)
{
    c->input[input] = new_doubles(n);
    c->size[input] = n;
    for (size_t i = 0; i < n; i++) c->input[input][i] = (double)x[i];
}

void gradient_release(GradientCase *c)
{
    for (int i = 0; i < GRADIENT_INPUTS; i++) free(c->input[i]);
}

float *gradient_reference(const GradientCase *c)
{
    double *y = new_doubles(c->outputs);
    float *rounded = test_floats(c->outputs);
    c->forward(y, c->input, c->dims);
    for (size_t i = 0; i < c->outputs; i++) rounded[i] = (float)y[i];
    free(y);
    return rounded;
}

/* <dy, f(input + step direction)>. */
static double loss_at(const GradientCase *c, int input, const float *direction, double step)
{
    double *moved[GRADIENT_INPUTS], *y = new_doubles(c->outputs), loss = 0;
    memcpy(moved, c->input, sizeof moved);
    moved[input] = new_doubles(c->size[input]);
    for (size_t i = 0; i < c->size[input]; i++)
        moved[input][i] = c->input[input][i] + step * (double)direction[i];
    c->forward(y, moved, c->dims);
    for (size_t i = 0; i < c->outputs; i++) loss += (double)c->dy[i] * y[i];
    free(moved[input]), free(y);
    return loss;
}

/* How far <gradient, direction> is from the central difference; NaN if the gradient holds one. */
static double error_along(const GradientCase *c, int input, const float *gradient,
                          const float *direction)
{
    const double step = 1e-5;
    double ahead = loss_at(c, input, direction, step), back = loss_at(c, input, direction, -step);
    return fabs(test_dot(gradient, direction, c->size[input]) - (ahead - back) / (2 * step));
}

bool gradient_is_right(const GradientCase *c, int input, const float *gradient)
{
    size_t n = c->size[input];
    double norm = sqrt(test_dot(gradient, gradient, n));
    bool right = true;
    for (uint32_t i = 0; i < DIRECTIONS + COORDINATES && right; i++) {
        float *direction = test_normals(n, 100 + i);
        if (i >= DIRECTIONS) {
            memset(direction, 0, n * sizeof *direction);
            direction[(size_t)i * 7919 % n] = 1.0f;
        }
        right = error_along(c, input, gradient, direction) <= 1e-4 * norm;
        free(direction);
    }
    return right;
}

static size_t largest(const float *x, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(x[at])) at = i;
    return at;
}

enum { SCALED, ONE_OFF, MOVED, ONE_NAN, WAYS };

/* Makes the gradient wrong; false if this way would not change it. */
static bool spoil(float *gradient, size_t n, int way)
{
    size_t at = largest(gradient, n);
    float first = gradient[0];
    if (way == SCALED)
        for (size_t i = 0; i < n; i++) gradient[i] *= 1.01f;
    if (way == ONE_OFF) gradient[n / 2] += 0.05f * gradient[at];
    if (way == ONE_NAN) gradient[n / 2] = NAN;
    if (way == MOVED) {
        if (n < 2) return false;
        memmove(gradient, gradient + 1, (n - 1) * sizeof *gradient);
        gradient[n - 1] = first;
    }
    return true;
}

void gradient_assert(const GradientCase *c, int input, const float *gradient, const char *what,
                     const char *file, int line)
{
    static const char *const names[] = {"scaled", "off in one element", "moved by a place", "NaN"};
    size_t n = c->size[input];
    if (!gradient_is_right(c, input, gradient)) {
        print_error("%s is not the gradient\n", what);
        _fail(file, line);
    }
    float *wrong = test_floats(n);
    for (int way = 0; way < WAYS; way++) {
        memcpy(wrong, gradient, n * sizeof *wrong);
        if (!spoil(wrong, n, way) || !gradient_is_right(c, input, wrong)) continue;
        print_error("%s, when %s, is not caught\n", what, names[way]);
        _fail(file, line);
    }
    free(wrong);
}
