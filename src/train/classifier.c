/*
 * Images always go through the network `rows` at a time, the last time with zeros behind them:
 * which algorithm a convolution takes depends on the number of images, and so would the last bits
 * of their features.
 */
#include "train/classifier.h"

#include "base/moments.h"
#include "base/whole.h"
#include "data/loader.h"
#include "data/pixels.h"
#include "nn/cross_entropy.h"
#include "train/optimiser.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, EPOCHS = 5, LEAST_STEPS = 200 };
enum { PIXELS_AT_ONCE = 65536 }; /* 8 MiB of activations a layer at most, but for large images */

static const double PEAK_RATE = 2e-3, WEIGHT_DECAY = 0.02, CLIP = 1;

/* ---- memory ---- */

static size_t image_floats(const ConvnetShape *s)
{
    return (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}

static int rows_of(const ConvnetShape *s)
{
    int rows = PIXELS_AT_ONCE / (s->height * s->width);
    return rows < 1 ? 1 : whole_min(rows, BATCH);
}

static bool take_memory(Classifier *c, Err *err)
{
    size_t rows = (size_t)c->rows, x = rows * image_floats(&c->info.shape) * sizeof *c->x;
    size_t y = rows * (size_t)c->info.shape.classes * sizeof *c->y;
    size_t weights = convnet_params(c->net)->floats * sizeof *c->weights;
    size_t labels = rows * sizeof *c->labels;
    size_t bytes = memory_round(x) + memory_round(y) + memory_round(weights) + memory_round(labels);
    if (!arena_init(&c->memory, bytes, "the classifier", err)) return false;
    c->x = arena_take(&c->memory, x);
    c->y = arena_take(&c->memory, y);
    c->weights = arena_take(&c->memory, weights);
    c->labels = arena_take(&c->memory, labels);
    return convnet_reserve(c->net, c->rows, err);
}

bool classifier_init(Classifier *c, const ConvnetShape *shape, Err *err)
{
    *c = (Classifier){.info.shape = *shape};
    if (!convnet_check(shape, err)) return false;
    c->rows = rows_of(shape);
    c->net = convnet_new(shape, err);
    if (c->net && take_memory(c, err)) return true;
    classifier_release(c);
    return false;
}

void classifier_release(Classifier *c)
{
    convnet_free(c->net);
    arena_release(&c->memory);
    *c = (Classifier){0};
}

/* ---- training ---- */

typedef struct {
    Classifier *c;
    Loader loader;
    const ClassifierTraining *how;
    int steps;
    float *m, *v, *gradients, *dy;
    double *loss;
    Arena memory;
} Job;

static bool job_memory(Job *job, Err *err)
{
    const Classifier *c = job->c;
    size_t floats = convnet_params(c->net)->floats * sizeof(float), rows = (size_t)c->rows;
    size_t dy = rows * (size_t)c->info.shape.classes * sizeof(float), loss = rows * sizeof(double);
    size_t bytes = 3 * memory_round(floats) + memory_round(dy) + memory_round(loss);
    if (!arena_init(&job->memory, bytes, "the classifier's gradients", err)) return false;
    job->m = arena_take(&job->memory, floats);
    job->v = arena_take(&job->memory, floats);
    job->gradients = arena_take(&job->memory, floats);
    job->dy = arena_take(&job->memory, dy);
    job->loss = arena_take(&job->memory, loss);
    return true;
}

/* Gradients of the mean loss over the batch of step `step`, added up; returns that mean. */
static double batch_gradients(Job *job, int step)
{
    Classifier *c = job->c;
    double sum = 0;
    for (int first = 0; first < BATCH; first += c->rows) {
        int n = whole_min(c->rows, BATCH - first);
        loader_batch(&job->loader, c->x, c->labels, (uint64_t)step * BATCH + (uint64_t)first,
                     (uint32_t)step, first, n);
        convnet_forward(c->net, c->y, c->x, n, c->weights);
        cross_entropy(job->loss, job->dy, c->y, c->labels, 1.0 / BATCH, n, c->info.shape.classes);
        convnet_backward(c->net, job->gradients, NULL, job->dy);
        for (int i = 0; i < n; i++) sum += job->loss[i];
    }
    return sum / BATCH;
}

static bool step_once(Job *job, double *loss, Err *err)
{
    Classifier *c = job->c;
    int step = c->info.steps;
    size_t floats = convnet_params(c->net)->floats;
    LearningRate rate = {PEAK_RATE, job->steps / 20, RATE_COSINE, job->steps};
    *loss = batch_gradients(job, step);
    double norm = gradient_norm(job->gradients, floats);
    if (!isfinite(*loss) || !isfinite(norm))
        return err_set(err, ERR_DIVERGED,
                       "step %d of the classifier: the loss is %g, and the gradient's norm %g; "
                       "try another seed",
                       step + 1, *loss, norm);
    Optimised arrays = {
        .w = c->weights, .adam_m = job->m, .adam_v = job->v, .gradients = job->gradients};
    AdamStep adam = {clip_factor(norm, CLIP), learning_rate_at(&rate, (uint64_t)step), WEIGHT_DECAY,
                     (uint64_t)step};
    optimiser_update(arrays, floats, adam, NULL);
    c->info.steps++;
    return true;
}

static bool all_steps(Job *job, Err *err)
{
    const ClassifierTraining *how = job->how;
    double loss;
    while (job->c->info.steps < job->steps) {
        if (!step_once(job, &loss, err)) return false;
        if (how->progress && !how->progress(how->context, job->c->info.steps, loss)) break;
    }
    return true;
}

static bool run_job(Classifier *c, const Dataset *set, const ClassifierTraining *how, Err *err)
{
    Job job = {.c = c, .how = how, .steps = how->steps ? how->steps : classifier_steps(set->count)};
    bool done = loader_init(&job.loader, set, how->seed, how->flip, err) && job_memory(&job, err) &&
                all_steps(&job, err);
    loader_release(&job.loader);
    arena_release(&job.memory);
    return done;
}

int classifier_steps(int images)
{
    int64_t steps = ((int64_t)EPOCHS * images + BATCH - 1) / BATCH;
    return steps > LEAST_STEPS ? (int)steps : LEAST_STEPS;
}

bool classifier_train(Classifier *c, const Dataset *set, const ClassifierTraining *how, Err *err)
{
    *c = (Classifier){0};
    if (!set->labels)
        return err_set(err, ERR_DATA,
                       "the data has no classes, which a classifier is trained to tell apart");
    ConvnetShape shape = {set->height, set->width, set->channels, set->classes};
    if (!classifier_init(c, &shape, err)) return false;
    c->info.seed = how->seed;
    c->info.train_images = set->count;
    params_draw(c->weights, convnet_params(c->net), how->seed);
    if (run_job(c, set, how, err)) return true;
    classifier_release(c);
    return false;
}

/* ---- use ---- */

/* Images first .. first + n - 1 through the network; n <= rows. */
static void forward_block(Classifier *c, const Dataset *set, int first, int n)
{
    size_t size = image_floats(&c->info.shape);
    pixels_to_floats(c->x, dataset_image(set, first), (size_t)n * size);
    memset(c->x + (size_t)n * size, 0, (size_t)(c->rows - n) * size * sizeof *c->x);
    convnet_forward(c->net, c->y, c->x, c->rows, c->weights);
}

static int largest(const float *y, int classes)
{
    int at = 0;
    for (int k = 1; k < classes; k++)
        if (y[k] > y[at]) at = k;
    return at;
}

bool classifier_test(Classifier *c, const Dataset *set, Err *err)
{
    int classes = c->info.shape.classes, right = 0;
    if (!classifier_check_fits(c, set, "the classifier", err)) return false;
    if (!set->labels || set->classes > classes)
        return err_set(err, ERR_DATA,
                       "the test images are of %d classes, and the classifier of %d: it cannot be "
                       "tested on them",
                       set->labels ? set->classes : 0, classes);
    for (int first = 0; first < set->count; first += c->rows) {
        int n = whole_min(c->rows, set->count - first);
        forward_block(c, set, first, n);
        for (int i = 0; i < n; i++)
            right += largest(c->y + (size_t)i * (size_t)classes, classes) == set->labels[first + i];
    }
    c->info.test_images = set->count;
    c->info.test_accuracy = (double)right / set->count;
    return true;
}

double classifier_accuracy_error(const ClassifierInfo *info)
{
    return moments_share_error(info->test_accuracy, info->test_images);
}

int classifier_features(float *out, Classifier *c, const Dataset *set,
                        bool (*progress)(void *context, long done), void *context)
{
    const ConvnetShape *s = &c->info.shape;
    assert(set->height == s->height && set->width == s->width && set->channels == s->channels);
    int done = 0;
    while (done < set->count) {
        int n = whole_min(c->rows, set->count - done);
        forward_block(c, set, done, n);
        memcpy(out + (size_t)done * CONVNET_FEATURES, convnet_features(c->net),
               (size_t)n * CONVNET_FEATURES * sizeof *out);
        done += n;
        if (progress && !progress(context, done)) break;
    }
    return done;
}
