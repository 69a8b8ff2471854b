#include "train/validation.h"

#include "base/clock.h"
#include "base/moments.h"
#include "data/pixels.h"

#include <math.h>

int validation_entry(int j, int T)
{
    const double golden = 0.61803398874989484820;
    double u = (j + 0.5) * golden;
    int entry = (int)((u - floor(u)) * T);
    return entry < T ? entry : T - 1;
}

/* ---- means ---- */

/* `of` has LOSS_QUARTERS. */
static void finish(ValidationMean *out, const Moments *of)
{
    double mean = 0, spread = 0, n = 0;
    for (int q = 0; q < LOSS_QUARTERS; q++) {
        double count = (double)of[q].count;
        out->quarter_mean[q] = count > 0 ? of[q].mean : (double)NAN;
        out->quarter_error[q] = moments_error(&of[q]);
        if (of[q].count == 0) continue;
        mean += count * of[q].mean;
        spread += count * moments_variance(&of[q]);
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
        int j = first + i, index = dataset_spread(j, of, set->count);
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
    Moments loss[LOSS_QUARTERS] = {{0}}, noise[LOSS_QUARTERS] = {{0}};
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
            moments_add(&loss[quarter], batch.loss[i]);
            moments_add(&noise[quarter], batch.noise_error[i]);
        }
    }
    *v = (Validation){.images = n, .seconds = clock_seconds() - start};
    finish(&v->loss, loss);
    finish(&v->noise, noise);
    return true;
}
