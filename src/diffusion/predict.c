/*
 * Every prediction is linear in what goes in: each function finds the two weights of its prediction
 * once, then runs one loop over the elements, in double.
 */
#include "diffusion/predict.h"

#include <assert.h>
#include <math.h>

/* out = a x + b y, rounded once. */
static void combine_floats(float *out, double a, const float *x, double b, const float *y,
                           size_t size)
{
    for (size_t i = 0; i < size; i++) out[i] = (float)(a * (double)x[i] + b * (double)y[i]);
}

static void combine(double *out, double a, const double *x, double b, const double *y, size_t size)
{
    for (size_t i = 0; i < size; i++) out[i] = a * x[i] + b * y[i];
}

void diffuse(float *x_t, const float *x_0, const float *epsilon, double alpha_bar, size_t size)
{
    combine_floats(x_t, sqrt(alpha_bar), x_0, sqrt(1.0 - alpha_bar), epsilon, size);
}

void predict_target(float *target, const float *x_0, const float *epsilon, const float *x_t,
                    Prediction prediction, const Schedule *schedule, int i, size_t size)
{
    double signal = sqrt(schedule->alpha_bar[i]), noise = sqrt(1.0 - schedule->alpha_bar[i]);
    switch (prediction) {
    case PREDICT_EPSILON:
        combine_floats(target, 1, epsilon, 0, x_0, size);
        return;
    case PREDICT_X0:
        combine_floats(target, 1, x_0, 0, epsilon, size);
        return;
    case PREDICT_MEAN:
        combine_floats(target, schedule->coef_x0[i], x_0, schedule->coef_xt[i], x_t, size);
        return;
    case PREDICT_V:
        combine_floats(target, signal, epsilon, -noise, x_0, size);
        return;
    }
    assert(!"a prediction");
}

void predict_weights(double weights[2], Prediction prediction, const Schedule *schedule, int i)
{
    double signal = sqrt(schedule->alpha_bar[i]), noise = sqrt(1.0 - schedule->alpha_bar[i]);
    double coef_x0 = schedule->coef_x0[i], coef_xt = schedule->coef_xt[i];
    switch (prediction) {
    case PREDICT_EPSILON:
        weights[0] = -noise / signal, weights[1] = 1.0 / signal;
        return;
    case PREDICT_X0:
        weights[0] = 1, weights[1] = 0;
        return;
    case PREDICT_MEAN:
        weights[0] = 1.0 / coef_x0, weights[1] = -coef_xt / coef_x0;
        return;
    case PREDICT_V:
        weights[0] = -noise, weights[1] = signal;
        return;
    }
    assert(!"a prediction");
}

void predict_x0(double *x_0, const double *output, const double *x_t, Prediction prediction,
                const Schedule *schedule, int i, size_t size)
{
    double weights[2];
    predict_weights(weights, prediction, schedule, i);
    combine(x_0, weights[1], x_t, weights[0], output, size);
}

void predict_epsilon(double *epsilon, const double *x_0, const double *x_t, double alpha_bar,
                     size_t size)
{
    double signal = sqrt(alpha_bar), noise = sqrt(1.0 - alpha_bar);
    combine(epsilon, 1.0 / noise, x_t, -signal / noise, x_0, size);
}

double predict_clip(double x_0)
{
    return x_0 < -1.0 ? -1.0 : x_0 > 1.0 ? 1.0 : x_0;
}
