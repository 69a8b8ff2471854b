/*
 * Images that are read must have the model's size as they are: what resizing does to them would be
 * in every figure.
 */
#include "cmd/eval_images.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/whole.h"
#include "cmd/interrupt.h"
#include "cmd/sample_classes.h"
#include "data/image.h"
#include "data/npy_images.h"
#include "data/pixels.h"
#include "train/generate.h"

#include <stdlib.h>
#include <string.h>

/* ---- read ---- */

static bool check_size(const char *path, int height, int width, int channels, const ModelConfig *m,
                       Err *err)
{
    if (height == m->height && width == m->width && channels == m->channels) return true;
    return err_set(err, ERR_DATA,
                   "%s: %d x %d pixels of %d channels; the model's images are %d x %d of %d", path,
                   height, width, channels, m->height, m->width, m->channels);
}

static int count_images(const FileList *list)
{
    int count = 0;
    for (size_t i = 0; i < list->count; i++) count += image_has_ending(list->names[i]);
    return count;
}

/* Image files that are read in one call. */
enum { TOGETHER = 64 };
typedef struct {
    char names[TOGETHER][FILE_PATH];
    const char *paths[TOGETHER];
    int count;
} Some;

/* The images of the folder from its file *next on, which moves behind them. */
static bool next_some(Some *some, size_t *next, const FileList *list, const char *folder, Err *err)
{
    for (some->count = 0; *next < list->count && some->count < TOGETHER; (*next)++) {
        char *path = some->names[some->count];
        if (!image_has_ending(list->names[*next])) continue;
        if (!file_path(path, err, "%s/%s", folder, list->names[*next])) return false;
        some->paths[some->count++] = path;
    }
    return true;
}

/* Into set's images from `first` on. */
static bool read_some(Dataset *set, int first, const Some *some, const ModelConfig *m, Err *err)
{
    Image images[TOGETHER];
    bool fit = true;
    for (int done = 0, count; fit && done < some->count; done += count) {
        count = some->count - done;
        if (!image_read_some(images, &count, some->paths + done, m->channels, err)) return false;
        for (int i = 0; i < count; i++) {
            Image *image = &images[i];
            fit = fit && check_size(some->paths[done + i], image->height, image->width,
                                    image->channels, m, err);
            if (fit)
                memcpy(dataset_image(set, first + done + i), image->pixels, image_bytes(image));
            image_release(image);
        }
    }
    return fit;
}

static bool read_all(Dataset *set, const FileList *list, const char *folder, const ModelConfig *m,
                     Err *err)
{
    size_t next = 0;
    Some *some = memory_new(1, sizeof *some, "the names of images", err);
    bool good = some;
    for (int first = 0; good && first < set->count; first += some->count)
        good = next_some(some, &next, list, folder, err) && read_some(set, first, some, m, err);
    free(some);
    return good;
}

static bool read_folder(Dataset *set, const char *folder, const ModelConfig *m, Err *err)
{
    FileList list;
    if (m->channels != 1 && m->channels != 3)
        return err_set(err, ERR_USAGE,
                       "--samples %s: the model's images have %d channels, and image files 1 or 3",
                       folder, m->channels);
    if (!file_list(&list, folder, err)) return false;
    *set = (Dataset){.count = count_images(&list),
                     .height = m->height,
                     .width = m->width,
                     .channels = m->channels};
    bool done =
        set->count > 0
            ? dataset_allocate(set, false, folder, err) && read_all(set, &list, folder, m, err)
            : err_set(err, ERR_DATA, "--samples %s: no images are in it", folder);
    file_list_release(&list);
    return done;
}

static bool read_samples(EvalRun *run, Err *err)
{
    const char *path = run->options.samples;
    const ModelConfig *m = &run->source.config.model;
    Dataset *set = &run->samples;
    if (file_is_folder(path)) return read_folder(set, path, m, err);
    if (image_has_ending(path))
        return err_set(err, ERR_USAGE,
                       "--samples %s is one picture, and does not say where one image in it ends; "
                       "draw them again into a folder or a .npy file (ddpm sample -o samples.npy)",
                       path);
    return npy_images_read(set, path, false, err) &&
           check_size(path, set->height, set->width, set->channels, m, err);
}

/* ---- drawn ---- */

static bool choose_sampler(SamplerConfig *s, const EvalRun *run, Err *err)
{
    const EvalOptions *o = &run->options;
    const Config *c = &run->source.config;
    SamplerKind kind = o->sampler >= 0 ? (SamplerKind)o->sampler : c->sample.sampler;
    *s = config_sampler(c);
    s->kind = kind;
    s->steps = o->steps > 0 ? o->steps : config_sample_steps(c, kind);
    s->seed = (uint64_t)o->seed;
    return sampler_check(s, &c->diffusion, err);
}

/* The network has room for run->rows, and guidance asks it twice for an image. */
static bool choose_batch(int *batch, const EvalRun *run, const Conditioning *classes, Err *err)
{
    *batch = run->rows;
    if (conditioning_rows(classes, *batch) > run->rows) *batch = run->rows / 2;
    if (*batch > 0) return true;
    return err_set(
        err, ERR_USAGE,
        "--batch 1 with --guidance %g, which asks the network twice for each image: 2 is "
        "the least",
        classes->guidance);
}

typedef struct {
    EvalRun *run;
    Generator generator;
    float *images; /* [batch,h,w,c] */
    long calls;    /* of the network, those of finished batches */
} Draw;

static bool on_step(void *context, int calls_done)
{
    Draw *d = context;
    return eval_run_goes_on(d->run, d->calls + calls_done);
}

static void draw_batches(Draw *d, int count)
{
    Dataset *set = &d->run->samples;
    Generator *g = &d->generator;
    while (set->count < count) {
        int n = whole_min(count - set->count, g->batch);
        if (!generator_batch(g, d->images, NULL, (uint32_t)set->count, n, on_step, d)) return;
        pixels_to_bytes(dataset_image(set, set->count), d->images, (size_t)n * g->size);
        set->count += n;
        d->calls += generator_calls(g);
    }
}

static void describe_sampler(EvalRun *run, const SamplerConfig *s, Generator *g)
{
    Json *samples = json_edit(run->report, "samples");
    json_set_string(samples, "from", "drawn");
    json_set_string(samples, "sampler", sampler_names[s->kind]);
    json_set_number(samples, "steps", generator_steps(g));
    if (run->options.guidance != 1) json_set_number(samples, "guidance", run->options.guidance);
}

static bool draw_all(EvalRun *run, Draw *d, Err *err)
{
    const ModelConfig *m = &run->source.config.model;
    int count = run->options.count;
    run->samples =
        (Dataset){.count = count, .height = m->height, .width = m->width, .channels = m->channels};
    if (!dataset_allocate(&run->samples, false, "the samples", err)) return false;
    run->samples.count = 0;
    long batches = whole_divide_up(count, d->generator.batch);
    eval_run_begin(run, "sample", "calls", batches * generator_calls(&d->generator));
    draw_batches(d, count);
    eval_run_end(run);
    if (run->samples.count < count) eval_run_partial(run, json_edit(run->report, "samples"));
    return generator_check(&d->generator, err);
}

static bool draw_samples(EvalRun *run, Err *err)
{
    const Config *c = &run->source.config;
    const SampleOptions guided = {.guidance = run->options.guidance};
    Draw d = {.run = run};
    Conditioning classes;
    SamplerConfig sampler;
    int batch;
    if (!choose_sampler(&sampler, run, err) ||
        !source_check_outputs(&run->source, sampler.learned_variance, err) ||
        !sample_classes_choose(&classes, &guided, c, err) ||
        !choose_batch(&batch, run, &classes, err) || !eval_run_network(run, err) ||
        !generator_init(&d.generator, run->unet, run->weights, &c->diffusion, &sampler, &classes,
                        batch, err))
        return false;
    d.images = memory_new((size_t)batch, d.generator.size * sizeof *d.images, "the samples", err);
    describe_sampler(run, &sampler, &d.generator);
    bool done = d.images && draw_all(run, &d, err);
    free(d.images);
    generator_release(&d.generator);
    return done;
}

bool eval_images_read(EvalRun *run, Err *err)
{
    const EvalOptions *o = &run->options;
    if (!o->samples) return true;
    if (!read_samples(run, err)) return false;
    return run->samples.count >= EVAL_FEWEST ||
           err_set(err, ERR_DATA, "%s: %d images; figures of samples need %d at least", o->samples,
                   run->samples.count, EVAL_FEWEST);
}

bool eval_images_open(EvalRun *run, Err *err)
{
    const EvalOptions *o = &run->options;
    if (json_get(run->report, "samples")) return true;
    Json *section = eval_run_section(run, "samples");
    if (o->samples) json_set_string(section, "from", o->samples);
    if (!o->samples && !draw_samples(run, err)) return false;
    json_set_number(section, "images", run->samples.count);
    return true;
}

/* ---- halves ---- */

enum { PART_REFERENCE = 2, PART_SAMPLES = 3 }; /* 0 and 1: eval/kernel_distance.c */

bool eval_halves_choose(EvalHalves *halves, int samples, int reference, uint64_t seed, Err *err)
{
    *halves = (EvalHalves){.count = whole_min(samples, reference / 2)};
    if (halves->count < EVAL_FEWEST)
        return err_set(err, ERR_DATA,
                       "%d samples and %d others to compare them with are too few: it takes %d and "
                       "%d",
                       samples, reference, EVAL_FEWEST, 2 * EVAL_FEWEST);
    size_t all = (size_t)samples + (size_t)reference;
    halves->memory = memory_new(all, sizeof *halves->memory, "the choice of images", err);
    if (!halves->memory) return false;
    halves->samples = halves->memory;
    halves->reference = halves->memory + samples;
    halves->other = halves->reference + halves->count;
    RngKey key = {.seed = seed, .stream = RNG_SUBSET, .part = PART_SAMPLES};
    rng_order(halves->memory, (uint32_t)samples, key);
    key.part = PART_REFERENCE;
    rng_order(halves->memory + samples, (uint32_t)reference, key);
    return true;
}

void eval_halves_release(EvalHalves *halves)
{
    free(halves->memory);
    *halves = (EvalHalves){0};
}
