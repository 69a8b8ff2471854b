#include "cmd/schedule_strip.h"

#include "base/memory.h"
#include "base/zip.h"
#include "cmd/sample_image.h"
#include "data/grid.h"
#include "diffusion/predict.h"
#include "diffusion/sampler.h"
#include "train/provenance.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MOMENTS = 10 };

typedef struct {
    const Config *config;
    const Schedule *chain;
    int moments;
    uint64_t seed;
    size_t size;
    float *images; /* [moments + 1, size]: x_0, and x_t at each */
    float *noise;  /* [size] */
} Strip;

static bool choose_moments(Strip *s, int wanted, Err *err)
{
    int steps = s->chain->T;
    s->moments = wanted > 0 ? wanted : steps < MOMENTS ? steps : MOMENTS;
    if (s->moments <= steps) return true;
    return err_set(err, ERR_USAGE, "--show-steps %d is more moments than the chain's %d steps",
                   wanted, steps);
}

/* The entry of moment k = 1 .. moments: the last is the chain's. */
static int entry_of(const Strip *s, int k)
{
    int n = s->moments;
    return (int)((2 * (int64_t)k * s->chain->T + n) / (2 * n)) - 1;
}

static bool read_image(Strip *s, const ScheduleOptions *o, Err *err)
{
    Fit fit = s->config->data.fit == FIT_NONE ? FIT_RESIZE : s->config->data.fit;
    if (o->fit >= 0) fit = (Fit)(FIT_PAD + o->fit);
    s->images = memory_new((size_t)(s->moments + 1) * s->size, sizeof *s->images, "the strip", err);
    s->noise = memory_new(s->size, sizeof *s->noise, "the noise of the strip", err);
    return s->images && s->noise &&
           sample_image_read_floats(s->images, "image", o->image, fit, &s->config->model, err);
}

static void drown(Strip *s)
{
    sampler_draw_x_T(s->noise, 1, s->size, s->seed, 0);
    for (int k = 1; k <= s->moments; k++)
        diffuse(s->images + (size_t)k * s->size, s->images, s->noise,
                s->chain->alpha_bar[entry_of(s, k)], s->size);
}

/* Up to as many as there is room for. */
static void say(char said[STRIP_SAID], const Strip *s)
{
    int used = snprintf(said, STRIP_SAID, "t = ");
    for (int k = 1; k <= s->moments; k++) {
        if (used > STRIP_SAID - 32 && k < s->moments) {
            used += snprintf(said + used, STRIP_SAID - (size_t)used, "..., ");
            k = s->moments;
        }
        used += snprintf(said + used, STRIP_SAID - (size_t)used, "%d%s",
                         s->chain->timestep[entry_of(s, k)], k < s->moments ? ", " : "");
    }
}

static bool write_strip(const Strip *s, const ScheduleOptions *o, const ScheduleTable *table,
                        const char *said, Err *err)
{
    const ModelConfig *m = &s->config->model;
    GridDims dims = {s->moments + 1, m->height, m->width, m->channels, s->moments + 1};
    char title[SCHEDULE_TITLE];
    Provenance how = {0};
    PngText texts[PROVENANCE_MAX];
    schedule_table_title(title, table);
    provenance_add(&how, "Software", "ddpm %s", DDPM_VERSION);
    provenance_add(&how, "Schedule", "%s", title);
    provenance_add(&how, "Moments", "x_0, %s", said);
    provenance_add(&how, "Seed", "%" PRIu64, s->seed);
    provenance_add(&how, "Image CRC-32", "%08" PRIx32,
                   zip_crc32(s->images, s->size * sizeof *s->images));
    return grid_write(o->output, s->images, dims, texts, provenance_texts(texts, &how), err);
}

bool schedule_strip_write(char said[STRIP_SAID], const ScheduleOptions *o, const Config *config,
                          const ScheduleTable *table, Err *err)
{
    const ModelConfig *m = &config->model;
    Strip s = {.config = config,
               .chain = table->chain,
               .seed = o->seed >= 0 ? (uint64_t)o->seed : 0,
               .size = (size_t)m->height * (size_t)m->width * (size_t)m->channels};
    bool ok = choose_moments(&s, o->moments, err) && read_image(&s, o, err);
    if (ok) {
        drown(&s);
        say(said, &s);
        ok = write_strip(&s, o, table, said, err);
    }
    free(s.images);
    free(s.noise);
    return ok;
}
