/*
 * How far the U-Net's output is from what its weights define: the same forward pass once more in
 * double precision, each block written down as its equations, one image at a time.
 */
#include "base/parallel.h"
#include "model/network.h"

#include <math.h>
#include <stdio.h>

static const double BOUND = 1e-4; /* of the largest output */

typedef struct {
    const Unet *unet;
    const ModelConfig *config;
    const float *weights;
    const float *image;
    float t;
    double **outputs; /* of each block, [pixels,channels] */
} Reference;

static double *doubles(size_t n)
{
    double *x = calloc(n, sizeof *x);
    if (!x) fail_msg("no memory");
    return x;
}

static const float *weight(const Reference *r, const char *block, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", block, name);
    const Param *param = params_find(unet_params(r->unet), full);
    if (!param) fail_msg("no parameter %s", full);
    return r->weights + param->offset;
}

/* ---- kernels ---- */

static void add_row(double *y, double x, const float *w, int n)
{
    for (int i = 0; i < n; i++) y[i] += x * (double)w[i];
}

static double *linear(const double *x, const float *w, const float *bias, int rows, int in, int out)
{
    double *y = doubles((size_t)rows * (size_t)out);
    for (int r = 0; r < rows; r++) {
        add_row(y + r * out, 1, bias, out);
        for (int i = 0; i < in; i++) add_row(y + r * out, x[r * in + i], w + i * out, out);
    }
    return y;
}

static double *conv(const double *x, const float *w, const float *bias, const ConvDims *d)
{
    int height = conv_out_height(d), width = conv_out_width(d);
    double *y = doubles((size_t)(height * width * d->c_out));
    for (int i = 0; i < height * width * 9; i++) {
        int at = i / 9, u = i % 9 / 3, v = i % 3;
        int row = at / width * d->stride + u - d->pad, column = at % width * d->stride + v - d->pad;
        if (u == 0 && v == 0) add_row(y + at * d->c_out, 1, bias, d->c_out);
        if (row < 0 || row >= d->h || column < 0 || column >= d->w) continue;
        const double *pixel = x + (row * d->w + column) * d->c_in;
        const float *tap = w + (size_t)(u * 3 + v) * (size_t)(d->c_in * d->c_out);
        for (int c = 0; c < d->c_in; c++)
            add_row(y + at * d->c_out, pixel[c], tap + c * d->c_out, d->c_out);
    }
    return y;
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double *norm(const Reference *r, const double *x, const char *block, const char *name,
                    int pixels, int c, bool activate)
{
    char gamma_name[64], beta_name[64];
    snprintf(gamma_name, sizeof gamma_name, "%s%sweight", name, *name ? "." : "");
    snprintf(beta_name, sizeof beta_name, "%s%sbias", name, *name ? "." : "");
    const float *gamma = weight(r, block, gamma_name), *beta = weight(r, block, beta_name);
    int size = c / r->config->norm_groups;
    double *y = doubles((size_t)pixels * (size_t)c);
    for (int first = 0; first < c; first += size) {
        double mean = 0, variance = 0, n = (double)pixels * size;
        for (int i = 0; i < pixels * size; i++) mean += x[i / size * c + first + i % size] / n;
        for (int i = 0; i < pixels * size; i++)
            variance += pow(x[i / size * c + first + i % size] - mean, 2) / n;
        for (int i = 0; i < pixels * size; i++) {
            int channel = first + i % size, at = i / size * c + channel;
            double z = (x[at] - mean) / sqrt(variance + r->config->norm_eps);
            z = (double)gamma[channel] * z + (double)beta[channel];
            y[at] = activate ? silu(z) : z;
        }
    }
    return y;
}

/* ---- blocks ---- */

static double *time_block(const Reference *r, const Block *b)
{
    int half = b->c_in / 2;
    double *sinusoids = doubles((size_t)b->c_in);
    for (int k = 0; k < half; k++) {
        double angle = (double)r->t * pow(10000, -k / (half - r->config->freq_shift));
        bool flip = r->config->flip_sin_to_cos;
        sinusoids[k] = flip ? cos(angle) : sin(angle);
        sinusoids[half + k] = flip ? sin(angle) : cos(angle);
    }
    double *hidden = linear(sinusoids, weight(r, b->name, "linear_1.weight"),
                            weight(r, b->name, "linear_1.bias"), 1, b->c_in, b->c_out);
    for (int i = 0; i < b->c_out; i++) hidden[i] = silu(hidden[i]);
    double *y = linear(hidden, weight(r, b->name, "linear_2.weight"),
                       weight(r, b->name, "linear_2.bias"), 1, b->c_out, b->c_out);
    for (int i = 0; i < b->c_out; i++) y[i] = silu(y[i]);
    free(sinusoids), free(hidden);
    return y;
}

static ConvDims same_size(const Block *b, int c_in)
{
    return (ConvDims){1, b->out_h, b->out_w, c_in, b->c_out, 1, 1};
}

static double *resnet_block(const Reference *r, const Block *b, const double *x)
{
    int pixels = b->h * b->w, in = b->c_in + b->c_skip, out = b->c_out;
    ConvDims conv_1 = same_size(b, in), conv_2 = same_size(b, out);
    double *a_1 = norm(r, x, b->name, "norm1", pixels, in, true);
    double *h =
        conv(a_1, weight(r, b->name, "conv1.weight"), weight(r, b->name, "conv1.bias"), &conv_1);
    double *time =
        linear(r->outputs[0], weight(r, b->name, "time_emb_proj.weight"),
               weight(r, b->name, "time_emb_proj.bias"), 1, 4 * r->config->base_channels, out);
    for (int i = 0; i < pixels * out; i++) h[i] += time[i % out];
    double *a_2 = norm(r, h, b->name, "norm2", pixels, out, true);
    double *y =
        conv(a_2, weight(r, b->name, "conv2.weight"), weight(r, b->name, "conv2.bias"), &conv_2);
    double *shortcut = NULL;
    if (in != out)
        shortcut = linear(x, weight(r, b->name, "conv_shortcut.weight"),
                          weight(r, b->name, "conv_shortcut.bias"), pixels, in, out);
    for (int i = 0; i < pixels * out; i++) y[i] += shortcut ? shortcut[i] : x[i];
    free(a_1), free(h), free(time), free(a_2), free(shortcut);
    return y;
}

/* o[i] of one head, channels [first, first + size). */
static void attend(double *o, const double *q, const double *k, const double *v, int tokens, int c,
                   int first, int size, int i)
{
    double *p = doubles((size_t)tokens), most = -HUGE_VAL, sum = 0;
    for (int j = 0; j < tokens; j++) {
        for (int e = first; e < first + size; e++) p[j] += q[i * c + e] * k[j * c + e];
        p[j] /= sqrt(size);
        most = fmax(most, p[j]);
    }
    for (int j = 0; j < tokens; j++) sum += p[j] = exp(p[j] - most);
    for (int j = 0; j < tokens; j++)
        for (int e = first; e < first + size; e++) o[i * c + e] += p[j] / sum * v[j * c + e];
    free(p);
}

static double *attention_block(const Reference *r, const Block *b, const double *x)
{
    static const char *const names[] = {"to_q", "to_k", "to_v"};
    int tokens = b->h * b->w, c = b->c_in;
    int size = r->config->attention_head_dim > 0 ? r->config->attention_head_dim : c;
    double *a = norm(r, x, b->name, "group_norm", tokens, c, false), *qkv[3];
    for (int i = 0; i < 3; i++) {
        char w[32], bias[32];
        snprintf(w, sizeof w, "%s.weight", names[i]);
        snprintf(bias, sizeof bias, "%s.bias", names[i]);
        qkv[i] = linear(a, weight(r, b->name, w), weight(r, b->name, bias), tokens, c, c);
    }
    double *o = doubles((size_t)tokens * (size_t)c);
    for (int first = 0; first < c; first += size)
        for (int i = 0; i < tokens; i++)
            attend(o, qkv[0], qkv[1], qkv[2], tokens, c, first, size, i);
    double *y = linear(o, weight(r, b->name, "to_out.0.weight"),
                       weight(r, b->name, "to_out.0.bias"), tokens, c, c);
    for (int i = 0; i < tokens * c; i++) y[i] += x[i];
    free(a), free(o), free(qkv[0]), free(qkv[1]), free(qkv[2]);
    return y;
}

static double *resampler_block(const Reference *r, const Block *b, const double *x)
{
    const float *w = weight(r, b->name, "conv.weight"), *bias = weight(r, b->name, "conv.bias");
    if (b->kind == BLOCK_DOWNSAMPLE) {
        ConvDims dims = {1, b->h, b->w, b->c_in, b->c_out, 2, r->config->downsample_padding};
        return conv(x, w, bias, &dims);
    }
    ConvDims dims = same_size(b, b->c_in);
    double *u = doubles((size_t)(b->out_h * b->out_w * b->c_in));
    for (int i = 0; i < b->out_h * b->out_w; i++)
        memcpy(u + i * b->c_in, x + (i / b->out_w / 2 * b->w + i % b->out_w / 2) * b->c_in,
               (size_t)b->c_in * sizeof *u);
    double *y = conv(u, w, bias, &dims);
    free(u);
    return y;
}

static double *out_block(const Reference *r, const Block *b, const double *x)
{
    ConvDims dims = same_size(b, b->c_in);
    double *a = norm(r, x, "conv_norm_out", "", b->h * b->w, b->c_in, true);
    double *y = conv(a, weight(r, b->name, "weight"), weight(r, b->name, "bias"), &dims);
    free(a);
    return y;
}

/* What a block reads, [pixels, c_in + c_skip]. */
static double *input_of(const Reference *r, const Block *b)
{
    int pixels = b->h * b->w, c = b->c_in + b->c_skip;
    double *x = doubles((size_t)(pixels * c));
    for (int i = 0; i < pixels * c && b->kind != BLOCK_TIME; i++) {
        int pixel = i / c, channel = i % c;
        if (b->input == BLOCK_NONE)
            x[i] = (double)r->image[i];
        else if (channel < b->c_in)
            x[i] = r->outputs[b->input][pixel * b->c_in + channel];
        else
            x[i] = r->outputs[b->skip][pixel * b->c_skip + channel - b->c_in];
    }
    return x;
}

static double *run_block(const Reference *r, const Block *b, const double *x)
{
    ConvDims in = same_size(b, b->c_in);
    switch (b->kind) {
    case BLOCK_TIME:
        return time_block(r, b);
    case BLOCK_CONV_IN:
        return conv(x, weight(r, b->name, "weight"), weight(r, b->name, "bias"), &in);
    case BLOCK_RESNET:
        return resnet_block(r, b, x);
    case BLOCK_ATTENTION:
        return attention_block(r, b, x);
    case BLOCK_DOWNSAMPLE:
    case BLOCK_UPSAMPLE:
        return resampler_block(r, b, x);
    case BLOCK_OUT:
        return out_block(r, b, x);
    }
    return NULL;
}

static void run_network(double *y, Reference *r)
{
    const Topology *t = unet_topology(r->unet);
    r->outputs = calloc((size_t)t->count, sizeof *r->outputs);
    if (!r->outputs) fail_msg("no memory");
    for (int i = 0; i < t->count; i++) {
        double *x = input_of(r, &t->list[i]);
        r->outputs[i] = run_block(r, &t->list[i], x);
        free(x);
    }
    memcpy(y, r->outputs[t->count - 1], block_output_floats(&t->list[t->count - 1], 1) * sizeof *y);
    for (int i = 0; i < t->count; i++) free(r->outputs[i]);
    free(r->outputs);
}

/* ---- the comparison ---- */

/* The largest error over the largest output; NaN is infinitely wrong. */
static double error_of(const float *y, const double *expected, size_t n)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)y[i] - expected[i]);
        worst = fmax(worst, isnan(error) ? HUGE_VAL : error);
        largest = fmax(largest, fabs(expected[i]));
    }
    return worst / largest;
}

static void compare(ModelConfig config, int n, UnetUse use)
{
    Err err;
    Unet *unet = network_new(config, n, use);
    size_t pixels = (size_t)config.height * (size_t)config.width;
    size_t in = pixels * (size_t)config.channels, out = pixels * (size_t)config.out_channels;
    float *weights = network_random_weights(unet, 7), *x = test_normals((size_t)n * in, 8);
    float *y = test_floats((size_t)n * out), *t = test_floats((size_t)n);
    double *expected = doubles((size_t)n * out);
    for (int i = 0; i < n; i++) {
        t[i] = (float)(37 + 411 * i);
        Reference r = {unet, unet_config(unet), weights, x + (size_t)i * in, t[i], NULL};
        run_network(expected + (size_t)i * out, &r);
    }
    if (use == UNET_SAMPLE && !unet_prepare(unet, weights, &err)) fail_msg("%s", err.text);
    unet_forward(unet, y, (UnetInput){x, t, NULL, n}, weights, NULL);
    double error = error_of(y, expected, (size_t)n * out);
    print_message("off by %.2g of the largest output\n", error);
    assert_close(error, 0, BOUND);
    free(weights), free(x), free(y), free(t), free(expected);
    unet_free(unet);
}

/* Four levels, as cifar.json has. */
static ModelConfig middling(void)
{
    ModelConfig c = network_rgb16();
    c.height = c.width = 32;
    c.base_channels = 32;
    c.norm_groups = 8;
    c.levels = 4;
    c.channel_mult[2] = c.channel_mult[3] = 2;
    c.attention_resolutions[0] = 16;
    return c;
}

static void sampling_is_precise(void **state)
{
    (void)state;
    compare(middling(), 2, UNET_SAMPLE);
}

static void training_is_precise(void **state)
{
    (void)state;
    compare(middling(), 2, UNET_TRAIN);
}

/* Odd sizes, heads, and the options that only other people's models have. */
static void other_networks_are_precise(void **state)
{
    (void)state;
    ModelConfig config = network_gray28();
    config.attention_head_dim = 8;
    config.flip_sin_to_cos = true;
    config.freq_shift = 0;
    config.downsample_padding = 1;
    compare(config, 3, UNET_TRAIN);
}

/* cifar.json's network at its full size. */
static void the_network_for_cifar10_is_precise(void **state)
{
    (void)state;
    compare(model_config_default(), 1, UNET_SAMPLE);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampling_is_precise),
        cmocka_unit_test(training_is_precise),
        cmocka_unit_test(other_networks_are_precise),
        cmocka_unit_test(the_network_for_cifar10_is_precise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
