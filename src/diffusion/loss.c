/*
 * Every loss is a sum of two terms, the squared error of the prediction and the bound's term, each
 * with a factor that may be 0. The squared error is computed in float as the network is, and summed
 * in double; the bound's term is double throughout, since it divides by variances of 1e-5.
 */
#include "diffusion/loss.h"

#include "diffusion/likelihood.h"
#include "diffusion/predict.h"

#include <assert.h>
#include <math.h>

static bool is_weighted(Loss loss)
{
    return loss == LOSS_MIN_SNR || loss == LOSS_P2;
}

static bool check_variance(const DiffusionConfig *c, Err *err)
{
    bool learned = c->variance == VARIANCE_LEARNED_RANGE;
    const char *loss = loss_names[c->loss];
    if (learned && c->loss != LOSS_VLB && c->loss != LOSS_HYBRID)
        return err_set(err, ERR_USAGE,
                       "diffusion.loss = %s never trains the variance of diffusion.variance = "
                       "learned_range; use the loss hybrid or vlb, or a fixed variance",
                       loss);
    if (!learned && c->loss == LOSS_HYBRID)
        return err_set(err, ERR_USAGE,
                       "diffusion.loss = hybrid is simple and a term that trains the variance, and "
                       "diffusion.variance = %s is fixed; use learned_range, or the loss simple",
                       variance_names[c->variance]);
    return true;
}

bool loss_check(const DiffusionConfig *c, Err *err)
{
    const char *loss = loss_names[c->loss];
    if (!check_variance(c, err)) return false;
    if (!is_weighted(c->loss)) return true;
    if (c->prediction == PREDICT_MEAN)
        return err_set(err, ERR_USAGE,
                       "diffusion.loss = %s weighs epsilon, x0 or v, and is not defined for "
                       "diffusion.prediction = mean; use the loss vlb",
                       loss);
    if (schedule_ends_at_zero(c))
        return err_set(err, ERR_USAGE,
                       "diffusion.loss = %s weighs by the signal-to-noise ratio, which is 0 at t = "
                       "T where alpha-bar ends at 0: the step that sampling starts with would not "
                       "be trained; use the loss simple or vlb",
                       loss);
    return true;
}

int loss_output_channels(const DiffusionConfig *config, int channels)
{
    return config->variance == VARIANCE_LEARNED_RANGE ? 2 * channels : channels;
}

/* What turns a weight of epsilon's squared error into that of the same error of x_0 put otherwise:
 * SNR times that of x_0, which is 1 - alpha-bar = 1 / (SNR + 1) times that of v. */
static double from_epsilon(Prediction prediction, double snr)
{
    assert(prediction != PREDICT_MEAN);
    return prediction == PREDICT_X0 ? snr : prediction == PREDICT_V ? snr / (snr + 1.0) : 1.0;
}

double loss_weight(const DiffusionConfig *config, const Schedule *schedule, int i)
{
    double snr = schedule->snr[i], weight = 0;
    switch (config->loss) {
    case LOSS_SIMPLE:
    case LOSS_HYBRID:
        return 1;
    case LOSS_VLB:
        return 0;
    case LOSS_MIN_SNR:
        weight = fmin(snr, config->min_snr_gamma) / snr;
        break;
    case LOSS_P2:
        weight = pow(config->p2_k + snr, -config->p2_gamma);
        break;
    }
    return weight * from_epsilon(config->prediction, snr);
}

/* What the bound's term is multiplied by. */
static double bound_weight(const DiffusionConfig *config, const Schedule *schedule)
{
    if (config->loss == LOSS_VLB) return schedule->T;
    return config->loss == LOSS_HYBRID ? schedule->T / 1000.0 : 0.0;
}

/* The sum of error^2. `gradient` gets scale * error, its channels after those of the image stay. */
static double squared_error(float *gradient, const LossImage *image, int output_channels,
                            float scale)
{
    /* without channels in between, the image is one row */
    bool dense = output_channels == image->channels;
    size_t rows = dense ? 1 : image->pixels, channels = (size_t)image->channels;
    size_t row = dense ? image->pixels * channels : channels, stride = (size_t)output_channels;
    double sum = 0;
    for (size_t p = 0; p < rows; p++)
        for (size_t c = 0; c < row; c++) {
            float error = image->output[p * stride + c] - image->target[p * row + c];
            sum += (double)error * (double)error;
            if (gradient) gradient[p * stride + c] = scale * error;
        }
    return sum;
}

/* Everything about an entry that turns the network's output into p(x_{t-1} | x_t). */
typedef struct {
    double of_output, of_x_t; /* the mean: of_output output + of_x_t x_t */
    double center, slope;     /* the log-variance: center + slope v */
} Reverse;

static Reverse reverse_at(const DiffusionConfig *config, const Schedule *s, int i)
{
    double weights[2];
    predict_weights(weights, config->prediction, s, i);
    Reverse r = {s->coef_x0[i] * weights[0], s->coef_x0[i] * weights[1] + s->coef_xt[i], 0, 0};
    if (config->variance != VARIANCE_LEARNED_RANGE) {
        r.center = schedule_log_variance(s, config->variance, i);
    } else {
        r.center = schedule_learned_log_variance(s, i, 0);
        r.slope = schedule_learned_log_variance(s, i, 1) - r.center;
    }
    return r;
}

typedef struct {
    const Schedule *schedule;
    int i, output_channels;
    bool trains_mean;
    double scale; /* of the gradient */
} Bound;

/* The sum of likelihood_element in nats. `gradient` gets what `bound` says is trained. */
static double bound_term(float *gradient, const LossImage *image, Reverse r, Bound bound)
{
    size_t channels = (size_t)image->channels, stride = (size_t)bound.output_channels;
    double sum = 0;
    for (size_t k = 0; k < image->pixels * channels; k++) {
        size_t at = k / channels * stride + k % channels, v_at = at + channels;
        double x_0 = (double)image->x_0[k], x_t = (double)image->x_t[k], by[2];
        double mean = r.of_output * (double)image->output[at] + r.of_x_t * x_t;
        double log_variance = r.center;
        if (stride > channels) log_variance += r.slope * (double)image->output[v_at];
        sum += likelihood_element(by, bound.schedule, bound.i, x_0, x_t, mean, log_variance);
        if (!gradient) continue;
        if (bound.trains_mean) gradient[at] = (float)(bound.scale * by[0] * r.of_output);
        if (stride > channels) gradient[v_at] = (float)(bound.scale * by[1] * r.slope);
    }
    return sum;
}

double loss_image(float *gradient, const LossImage *image, const DiffusionConfig *config,
                  const Schedule *schedule, int i, double divisor)
{
    size_t elements = image->pixels * (size_t)image->channels;
    int output_channels = loss_output_channels(config, image->channels);
    double size = (double)elements, loss = 0;
    if (config->loss != LOSS_VLB) {
        double weight = loss_weight(config, schedule, i);
        float scale = (float)(2.0 * weight / (divisor * size));
        loss += weight * (squared_error(gradient, image, output_channels, scale) / size);
    }
    double bits = bound_weight(config, schedule);
    if (bits > 0) {
        Bound bound = {schedule, i, output_channels, config->loss == LOSS_VLB,
                       bits * likelihood_bits(1.0, elements) / divisor};
        Reverse reverse = reverse_at(config, schedule, i);
        loss += bits * likelihood_bits(bound_term(gradient, image, reverse, bound), elements);
    }
    return loss;
}

/* ---- x_0 ---- */

typedef struct {
    double of_output, of_x_t, low, high;
} Guess;

/* As in predict_clip, the comparisons are such that NaN stays NaN. */
static inline double squared_difference(Guess g, float x_0, float x_t, float output)
{
    double guess = g.of_output * (double)output + g.of_x_t * (double)x_t;
    guess = guess < g.low ? g.low : guess;
    guess = guess > g.high ? g.high : guess;
    double error = (double)x_0 - guess;
    return error * error;
}

/* The sum over a row, in lanes, which compilers turn into vectors. */
static double squared_differences(Guess g, const float *x_0, const float *x_t, const float *output,
                                  size_t n)
{
    enum { LANES = 32 };
    double sums[LANES] = {0}, sum = 0;
    size_t whole = n / LANES * LANES;
    for (size_t k = 0; k < whole; k += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += squared_difference(g, x_0[k + lane], x_t[k + lane], output[k + lane]);
    for (size_t k = whole; k < n; k++) sum += squared_difference(g, x_0[k], x_t[k], output[k]);
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

double loss_x_0_error(const LossImage *image, const DiffusionConfig *config,
                      const Schedule *schedule, int i, bool clip)
{
    size_t channels = (size_t)image->channels, size = image->pixels * channels;
    size_t stride = (size_t)loss_output_channels(config, image->channels);
    size_t row = stride == channels ? size : channels;
    double weights[2], sum = 0;
    predict_weights(weights, config->prediction, schedule, i);
    Guess g = {weights[0], weights[1], clip ? -1.0 : -HUGE_VAL, clip ? 1.0 : HUGE_VAL};
    for (size_t k = 0; k < size; k += row)
        sum += squared_differences(g, image->x_0 + k, image->x_t + k,
                                   image->output + k / channels * stride, row);
    return sum / (double)size;
}
