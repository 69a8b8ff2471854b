/*
 * Rows of all images follow one another, EVAL_TENTHS of each, and are asked in batches that end
 * where they will; a row's errors wait for those of its image's others.
 */
#include "eval/loss.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/whole.h"
#include "diffusion/loss.h"
#include "diffusion/oracle.h"
#include "diffusion/predict.h"

#include <assert.h>

enum { EPSILON, X_0, KINDS };

typedef struct {
    const EvalModel *model;
    const LossOptions *options;
    EvalImages images, known;
    ImageSource source, oracle_source;
    DiffusionConfig says_x_0; /* what the oracle does */
    Schedule schedule;
    Oracle oracle;
    size_t size, out_size;
    float *x_0, *x_t, *out, *best; /* [rows, ..]; images, rows, outputs, the oracle's x_0 */
    int *t, *image;                /* [rows] */
    int32_t *classes; /* [rows]: over whose images the oracle's means are; NULL: over all */
    double (*network)[KINDS], (*ideal)[KINDS]; /* [rows] errors */
    double sums[2][KINDS]; /* of the image under way: the network's and the oracle's */
    Arena arena;
} Work;

/* ---- memory ---- */

static OracleConfig oracle_config(const Work *w)
{
    const ModelConfig *m = unet_config(w->model->unet);
    return (OracleConfig){.diffusion = &w->says_x_0,
                          .schedule = &w->schedule,
                          .images = &w->oracle_source,
                          .pixels = (size_t)m->height * (size_t)m->width,
                          .channels = m->channels,
                          .rows = w->model->rows};
}

static size_t work_bytes(const Work *w)
{
    OracleConfig oracle = oracle_config(w);
    size_t n = (size_t)w->model->rows, image = memory_round(n * w->size * sizeof(float));
    size_t rows = 2 * image + memory_round(n * w->out_size * sizeof(float)) +
                  2 * memory_round(n * sizeof(int)) + memory_round(n * sizeof *w->classes) +
                  2 * memory_round(n * sizeof *w->network);
    return schedule_bytes(w->model->diffusion->timesteps) + rows +
           (w->options->known ? image + oracle_bytes(&oracle) : 0);
}

static void take(Work *w)
{
    size_t n = (size_t)w->model->rows;
    schedule_init(&w->schedule, &w->arena, w->model->diffusion);
    w->x_0 = arena_take(&w->arena, n * w->size * sizeof *w->x_0);
    w->x_t = arena_take(&w->arena, n * w->size * sizeof *w->x_t);
    w->out = arena_take(&w->arena, n * w->out_size * sizeof *w->out);
    w->t = arena_take(&w->arena, n * sizeof *w->t);
    w->image = arena_take(&w->arena, n * sizeof *w->image);
    w->network = arena_take(&w->arena, n * sizeof *w->network);
    w->ideal = arena_take(&w->arena, n * sizeof *w->ideal);
    if (!w->options->known) return;
    OracleConfig oracle = oracle_config(w);
    w->best = arena_take(&w->arena, n * w->size * sizeof *w->best);
    oracle_init(&w->oracle, &w->arena, &oracle);
    if (w->model->classes > 0 && w->source.label && w->oracle_source.label)
        w->classes = arena_take(&w->arena, n * sizeof *w->classes);
}

static bool work_init(Work *w, const EvalModel *model, const Dataset *set,
                      const LossOptions *options, Err *err)
{
    const ModelConfig *m = unet_config(model->unet);
    assert(set->height == m->height && set->width == m->width && set->channels == m->channels);
    *w = (Work){.model = model, .options = options, .says_x_0 = *model->diffusion};
    w->says_x_0.prediction = PREDICT_X0;
    w->says_x_0.variance = VARIANCE_FIXED_SMALL;
    w->size = eval_size(model), w->out_size = eval_out_size(model);
    w->images = (EvalImages){set, options->images, false};
    w->source = eval_images(&w->images);
    if (options->known) {
        const Dataset *known = options->known;
        assert(known->height == set->height && known->width == set->width &&
               known->channels == set->channels);
        w->known = (EvalImages){known, known->count, options->mirrored};
        w->oracle_source = eval_images(&w->known);
    }
    if (!arena_init(&w->arena, work_bytes(w), "the rows of a loss", err)) return false;
    take(w);
    return true;
}

/* ---- rows ---- */

/* Of a block of images, whose first is `first`: `n` rows from row `row` on. */
typedef struct {
    int first, n;
    long row;
} Rows;

static const float *image_of(const Work *w, Rows rows, int k)
{
    return w->x_0 + (size_t)(w->image[k] - rows.first) * w->size;
}

/* The entry of an image in tenth `k`, in whole numbers, so that every machine draws the same. */
static int draw_entry(const Work *w, uint32_t image, int k)
{
    RngKey key = {.seed = w->options->seed, .image = image, .stream = RNG_EVAL_TIMESTEP};
    key.part = EVAL_LOSS_PART;
    uint64_t one = (uint64_t)1 << 24, u = rng_below((uint32_t)one, (uint32_t)k, key);
    return (int)((uint64_t)w->schedule.T * ((uint64_t)k * one + u) / (EVAL_TENTHS * one));
}

static void draw(Work *w, Rows rows)
{
#pragma omp parallel for schedule(static)
    for (int k = 0; k < rows.n; k++) {
        int j = rows.first + (int)((rows.row + k) / EVAL_TENTHS);
        int tenth = (int)((rows.row + k) % EVAL_TENTHS), i = draw_entry(w, (uint32_t)j, tenth);
        float *x_t = w->x_t + (size_t)k * w->size;
        w->image[k] = j, w->t[k] = i + 1;
        if (w->classes) w->classes[k] = eval_images_label(&w->images, j);
        RngKey key = {.seed = w->options->seed, .image = (uint32_t)j, .step = (uint32_t)(i + 1)};
        key.stream = RNG_EVAL_NOISE, key.part = EVAL_LOSS_PART + (uint32_t)tenth;
        rng_normal(x_t, w->size, key);
        diffuse(x_t, image_of(w, rows, k), x_t, w->schedule.alpha_bar[i], w->size);
    }
}

/* With x_t given, an error of x_0 is sqrt(SNR) times as large an error of epsilon (Ho et al. 2020,
 * eq. 4). */
static void find_error(double error[KINDS], const Work *w, const LossImage *image,
                       const DiffusionConfig *diffusion, int i)
{
    const Schedule *s = &w->schedule;
    error[EPSILON] = s->snr[i] * loss_x_0_error(image, diffusion, s, i, false);
    error[X_0] = loss_x_0_error(image, diffusion, s, i, w->options->clip);
}

static void find_errors(Work *w, Rows rows)
{
    const ModelConfig *m = unet_config(w->model->unet);
#pragma omp parallel for schedule(static)
    for (int k = 0; k < rows.n; k++) {
        LossImage image = {.pixels = (size_t)m->height * (size_t)m->width,
                           .channels = m->channels,
                           .x_0 = image_of(w, rows, k),
                           .x_t = w->x_t + (size_t)k * w->size,
                           .output = w->out + (size_t)k * w->out_size};
        find_error(w->network[k], w, &image, w->model->diffusion, w->t[k] - 1);
        if (!w->options->known) continue;
        image.output = w->best + (size_t)k * w->size;
        find_error(w->ideal[k], w, &image, &w->says_x_0, w->t[k] - 1);
    }
}

/* ---- sums ---- */

static LossByT *by_t_of(LossErrors *errors, int kind)
{
    return kind == EPSILON ? &errors->epsilon : &errors->x_0;
}

static void add_row(LossMeasured *out, Work *w, int k, int tenth)
{
    for (int kind = 0; kind < KINDS; kind++) {
        double network = w->network[k][kind], ideal = w->ideal[k][kind];
        if (tenth == 0) w->sums[0][kind] = w->sums[1][kind] = 0;
        w->sums[0][kind] += network;
        w->sums[1][kind] += ideal;
        moments_add(&by_t_of(&out->network, kind)->tenths[tenth], network);
        if (!w->options->known) continue;
        moments_add(&by_t_of(&out->oracle, kind)->tenths[tenth], ideal);
        moments_add(&by_t_of(&out->beyond, kind)->tenths[tenth], network - ideal);
    }
}

/* After its last row. */
static void add_image(LossMeasured *out, const Work *w)
{
    for (int kind = 0; kind < KINDS; kind++) {
        double network = w->sums[0][kind] / EVAL_TENTHS, ideal = w->sums[1][kind] / EVAL_TENTHS;
        moments_add(&by_t_of(&out->network, kind)->all, network);
        if (!w->options->known) continue;
        moments_add(&by_t_of(&out->oracle, kind)->all, ideal);
        moments_add(&by_t_of(&out->beyond, kind)->all, network - ideal);
    }
}

static void run_rows(LossMeasured *out, Work *w, Rows rows)
{
    draw(w, rows);
    double start = clock_seconds();
    eval_network_on(w->model, &w->images, w->out, w->x_t, w->t, w->image, rows.n);
    double middle = clock_seconds();
    if (w->options->known) oracle_x_0(&w->oracle, w->best, w->x_t, w->t, w->classes, rows.n);
    out->network_seconds += middle - start;
    out->oracle_seconds += clock_seconds() - middle;
    find_errors(w, rows);
    for (int k = 0; k < rows.n; k++) {
        int tenth = (int)((rows.row + k) % EVAL_TENTHS);
        add_row(out, w, k, tenth);
        if (tenth == EVAL_TENTHS - 1) add_image(out, w);
    }
    out->rows += rows.n;
}

bool loss_measure(LossMeasured *out, const EvalModel *model, const Dataset *set,
                  const LossOptions *options, bool (*progress)(void *context, long done),
                  void *context, Err *err)
{
    Work w;
    double start = clock_seconds();
    bool going = true;
    *out = (LossMeasured){0};
    if (!work_init(&w, model, set, options, err)) return false;
    for (int first = 0, n; going && first < options->images; first += n) {
        n = whole_min(model->rows, options->images - first);
        w.source.fetch(w.source.context, w.x_0, first, n);
        for (long row = 0, all = (long)n * EVAL_TENTHS; going && row < all; row += model->rows) {
            long left = all - row;
            run_rows(out, &w, (Rows){first, left < model->rows ? (int)left : model->rows, row});
            going = !progress || progress(context, out->rows);
        }
    }
    out->partial = out->network.epsilon.all.count < options->images;
    out->seconds = clock_seconds() - start;
    arena_release(&w.arena);
    return true;
}
