#include "train/validation.h"

#include "base/clock.h"
#include "data/pixels.h"

#include <math.h>

int validation_image(int j, int n, int count)
{
    return (int)((int64_t)j * count / n);
}

int validation_entry(int j, int T)
{
    const double golden = 0.61803398874989484820;
    double u = (j + 0.5) * golden;
    int entry = (int)((u - floor(u)) * T);
    return entry < T ? entry : T - 1;
}

/* ---- means ---- */

/* Welford's sums: of all squares, the small differences are what counts. */
typedef struct {
    int count[LOSS_QUARTERS];
    double mean[LOSS_QUARTERS], squares[LOSS_QUARTERS];
} Sums;

static void add(Sums *s, int quarter, double value)
{
    double difference = value - s->mean[quarter];
    s->mean[quarter] += difference / ++s->count[quarter];
    s->squares[quarter] += difference * (value - s->mean[quarter]);
}

static void finish(ValidationMean *out, const Sums *s)
{
    double mean = 0, spread = 0;
    int n = 0;
    for (int q = 0; q < LOSS_QUARTERS; q++) {
        int count = s->count[q];
        double variance = count > 1 ? s->squares[q] / (count - 1) : (double)NAN;
        out->quarter_mean[q] = count > 0 ? s->mean[q] : (double)NAN;
        out->quarter_error[q] = sqrt(variance / count);
        if (count == 0) continue;
        mean += count * s->mean[q];
        spread += count * variance;
        n += count;
    }
    out->mean = mean / n;
    out->error = sqrt(spread) / n;
}

/* ---- images ---- */

/* Images j = first .. first + n - 1 of `of`. */
static void fill(const TrainerBatch *b, const Dataset *set, int T, int first, int n, int of)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        int j = first + i, index = validation_image(j, of, set->count);
        RngKey key = {.image = (uint32_t)j, .stream = RNG_VALIDATION};
        pixels_to_floats(b->x_0 + (size_t)i * b->size, dataset_image(set, index), b->size);
        rng_normal(b->epsilon + (size_t)i * b->size, b->size, key);
        b->entry[i] = validation_entry(j, T);
        if (set->labels) b->labels[i] = set->labels[index];
    }
}

bool validation_run(Validation *v, Trainer *trainer, const Config *config, const Dataset *set,
                    bool (*stop)(void *context), void *context)
{
    Sums loss = {0}, noise = {0};
    TrainerBatch batch = trainer_batch(trainer);
    const float *weights = trainer_state(trainer)->ema[0];
    int most = trainer_micro_batch(config), T = config->diffusion.timesteps;
    int n = set->count < config->train.validate_images ? set->count : config->train.validate_images;
    double start = clock_seconds();
    for (int first = 0; first < n; first += most) {
        int images = n - first < most ? n - first : most;
        if (stop && stop(context)) return false;
        fill(&batch, set, T, first, images, n);
        trainer_evaluate(trainer, weights, images);
        for (int i = 0; i < images; i++) {
            int quarter = trainer_quarter(batch.entry[i], T);
            add(&loss, quarter, batch.loss[i]);
            add(&noise, quarter, batch.noise_error[i]);
        }
    }
    *v = (Validation){.images = n, .seconds = clock_seconds() - start};
    finish(&v->loss, &loss);
    finish(&v->noise, &noise);
    return true;
}
