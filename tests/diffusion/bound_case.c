#include "bound_case.h"

#include "diffusion/likelihood.h"
#include "diffusion/loss.h"

DiffusionConfig bound_case_config(Prediction prediction, Variance variance)
{
    DiffusionConfig c = chain_config(SCHEDULE_LINEAR, T);
    c.beta_start = 1e-3, c.beta_end = 0.25;
    c.prediction = prediction, c.variance = variance;
    return c;
}

static void read_images(void *context, float *out, int first, int n)
{
    const Network *network = context;
    memcpy(out, network->x_0 + (size_t)first * SIZE, (size_t)n * SIZE * sizeof *out);
}

static double as_predicted(Prediction p, const Schedule *s, int i, double x_0, double x_t)
{
    double a = s->alpha_bar[i], epsilon = (x_t - sqrt(a) * x_0) / sqrt(1 - a);
    double as[] = {epsilon, x_0, s->coef_x0[i] * x_0 + s->coef_xt[i] * x_t,
                   sqrt(a) * epsilon - sqrt(1 - a) * x_0};
    return as[p];
}

void bound_case_denoise(void *context, float *out, const float *x_t, const int *t, const int *image,
                        int n)
{
    const Network *w = context;
    int stride = loss_output_channels(w->diffusion, CHANNELS);
    for (int row = 0; row < n; row++) {
        const Schedule *s = w->schedule;
        int i = t[row] - 1;
        double v = stride > CHANNELS ? w->v_of(s, i) : 0;
        for (int k = 0; k < SIZE; k++, x_t++) {
            double known = (double)w->x_0[image[row] * SIZE + k], x = (double)*x_t;
            double x_0 = w->x_0_of(known, x, s->alpha_bar[i]);
            float *o = out + (row * PIXELS + k / CHANNELS) * stride + k % CHANNELS;
            o[0] = (float)as_predicted(w->diffusion->prediction, s, i, x_0, x);
            if (stride > CHANNELS) o[CHANNELS] = (float)v;
        }
    }
}

Bound bound_case_run(Arena *arena, Network *network, Options o)
{
    Bound b;
    BoundConfig config = {network->diffusion,   network->schedule, PIXELS,     CHANNELS,
                          o.rows ? o.rows : 32, o.budget,          !o.no_clip, o.seed};
    ImageSource images = {read_images, network, o.images, NULL};
    *arena = chain_arena(bound_bytes(&config));
    memset(arena->base, 0xff, arena->size);
    bound_init(&b, arena, &config);
    bool whole = bound_run(&b, &images, bound_case_denoise, network, o.progress, o.context);
    assert_true(whole == (b.total.count == o.images));
    if (whole) assert_int_equal(b.asked, o.images * bound_rows(&config));
    return b;
}

Network bound_case_network(const DiffusionConfig *diffusion, const Schedule *schedule, int images)
{
    return (Network){
        .x_0 = test_floats((size_t)images * SIZE), .diffusion = diffusion, .schedule = schedule};
}

void bound_case_for_each(void (*test)(const DiffusionConfig *, const Schedule *))
{
    for (Prediction p = PREDICT_EPSILON; p <= PREDICT_V; p++)
        for (Variance v = VARIANCE_FIXED_SMALL; v <= VARIANCE_LEARNED_RANGE; v++) {
            DiffusionConfig config = bound_case_config(p, v);
            Chain chain = chain_new(config);
            test(&config, &chain.schedule);
            chain_release(&chain);
        }
}

double bound_case_log_variance(const DiffusionConfig *c, const Schedule *s, int i, double v)
{
    if (c->variance == VARIANCE_LEARNED_RANGE) return schedule_learned_log_variance(s, i, v);
    return schedule_log_variance(s, c->variance, i);
}

double bound_case_prior(const Schedule *s, double square)
{
    double a = s->alpha_bar[T - 1];
    return 0.5 * (-log(1 - a) - 1 + (1 - a) + a * square) / log(2);
}
