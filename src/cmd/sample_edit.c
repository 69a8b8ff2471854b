#include "cmd/sample_edit.h"

#include "base/zip.h"
#include "cmd/sample_image.h"
#include "diffusion/slerp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    INPAINT_STEPS = 250, /* RePaint's, as the next two */
    JUMP_LENGTH = 10,
    RESAMPLE = 10,
    REFINE = 4,
    INTERPOLATE_COUNT = 8,
};

static EditKind kind_of(const SampleOptions *o)
{
    if (o->init) return EDIT_INIT;
    if (o->inpaint) return EDIT_INPAINT;
    if (o->encode) return EDIT_ENCODE;
    return o->interpolate[0] ? EDIT_INTERPOLATE : EDIT_NONE;
}

static bool inverts(const SampleOptions *o)
{
    return o->encode || o->by == BY_INVERSION;
}

static double strength_of(const SampleOptions *o)
{
    if (o->strength >= 0.0) return o->strength;
    return inverts(o) ? 1.0 : 0.5;
}

static int refine_of(const SampleOptions *o)
{
    return o->refine > 0 ? o->refine : REFINE;
}

/* ---- what is asked for ---- */

static void change_sampler(SamplerConfig *sampler, SamplerKind kind, const SampleOptions *o,
                           const Config *config)
{
    if (sampler->kind == kind) return;
    sampler->kind = kind;
    if (o->steps == 0) sampler->steps = config_sample_steps(config, kind);
}

void sample_edit_sampler(SamplerConfig *sampler, const SampleOptions *o, const Config *config)
{
    if (inverts(o)) change_sampler(sampler, SAMPLER_DDIM, o, config);
    if (o->inpaint && sampler->kind != SAMPLER_DDIM) {
        change_sampler(sampler, SAMPLER_DDPM, o, config);
        if (o->steps == 0 && sampler->steps > INPAINT_STEPS) sampler->steps = INPAINT_STEPS;
    }
    sampler->shared_noise = o->interpolate[0] != NULL;
}

int sample_edit_count(const SampleOptions *options, int count)
{
    EditKind kind = kind_of(options);
    return kind == EDIT_NONE ? count : kind == EDIT_INTERPOLATE ? INTERPOLATE_COUNT : 1;
}

/* ---- images ---- */

/* Without --fit: what the model's own images went through. */
static Fit choose_fit(const SampleOptions *o, const Config *config)
{
    if (o->fit >= 0) return (Fit)(FIT_PAD + o->fit);
    return config->data.format == DATA_FOLDER ? FIT_RESIZE : config->data.fit;
}

/* What is at least half white is to be filled in, in all channels. */
static bool read_mask(SampleEdit *edit, const Config *config, Err *err)
{
    const SampleOptions *o = edit->options;
    const ModelConfig *m = &config->model;
    Image mask;
    if (!sample_image_read(&mask, "mask", o->mask, 1, choose_fit(o, config), m, err)) return false;
    size_t pixels = (size_t)m->height * (size_t)m->width, channels = (size_t)m->channels;
    size_t white = 0;
    for (size_t k = 0; k < pixels * channels; k++)
        white += edit->fill[k] = mask.pixels[k / channels] >= 128;
    image_release(&mask);
    if (white > 0) return true;
    return err_set(err, ERR_DATA,
                   "--mask %s: no pixel is white, so that there is nothing to fill in", o->mask);
}

static bool open_inpainting(SampleEdit *edit, size_t size, const Config *config, Err *err)
{
    const SampleOptions *o = edit->options;
    edit->fill = memory_new(size, sizeof *edit->fill, "the mask", err);
    edit->inpainting =
        (Inpainting){edit->x_0, edit->fill, o->jump_length > 0 ? o->jump_length : JUMP_LENGTH,
                     o->resample > 0 ? o->resample : RESAMPLE};
    return edit->fill && read_mask(edit, config, err);
}

/* Image i is drawn of class i where nothing is said: right for many images, but not for ways
 * between two, nor for a way up that another command is to come down. */
static bool check_class(const SampleOptions *o, const Config *config, Err *err)
{
    bool one_way = o->encode || o->interpolate[0];
    int classes = config_classes(config);
    if (!one_way || classes == 0 || o->guidance == 0.0) return true;
    if (o->classes && strcmp(o->classes, "all") != 0 && !strchr(o->classes, ',')) return true;
    return err_set(
        err, ERR_USAGE,
        "--%s goes one way, and the model draws %d classes; say with --class K which one "
        "it is to be, or with --guidance 0 none",
        o->encode ? "encode" : "interpolate", classes);
}

bool sample_edit_open(SampleEdit *edit, const SampleOptions *o, const Config *config, Err *err)
{
    static const char *const names[] = {"", "init", "inpaint", "encode", "interpolate"};
    const ModelConfig *m = &config->model;
    const char *const images[] = {NULL, o->init, o->inpaint, o->encode, o->interpolate[0]};
    *edit = (SampleEdit){.kind = kind_of(o), .options = o};
    if (edit->kind == EDIT_NONE) return true;
    if (!check_class(o, config, err)) return false;
    size_t size = (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    const char *name = names[edit->kind];
    Fit fit = choose_fit(o, config);
    edit->x_0 = memory_new(2 * size, sizeof *edit->x_0, "the images", err);
    return edit->x_0 &&
           sample_image_read_floats(edit->x_0, name, images[edit->kind], fit, m, err) &&
           (edit->kind != EDIT_INTERPOLATE ||
            sample_image_read_floats(edit->x_0 + size, name, o->interpolate[1], fit, m, err)) &&
           (edit->kind != EDIT_INPAINT || open_inpainting(edit, size, config, err));
}

/* Asked of the entry where the walk begins: a strength below 1 may round to all of them, and a
 * spacing may leave the last one out. */
static bool check_inversion(const SampleEdit *edit, const DiffusionConfig *diffusion, Err *err)
{
    const SampleOptions *o = edit->options;
    char origin[SCHEDULE_ORIGIN];
    if (!inverts(o) || edit_alpha_bar(edit->generator) > 0.0) return true;
    schedule_origin(origin, diffusion);
    return err_set(err, ERR_USAGE,
                   "%s would begin at t = %d, where the model's %s ends at alpha-bar 0 and x_T "
                   "holds nothing of an image; %s",
                   o->encode ? "--encode" : "--by inversion", diffusion->timesteps, origin,
                   o->encode ? "--spacing leading with fewer --steps begins below it"
                             : "lower --strength, or interpolate by noise");
}

bool sample_edit_prepare(SampleEdit *edit, Generator *generator, const DiffusionConfig *diffusion,
                         int count, int batch, Err *err)
{
    size_t size = generator->size;
    edit->generator = generator;
    edit->count = count;
    if (edit->kind == EDIT_NONE || edit->kind == EDIT_INPAINT) return true;
    edit_start(generator, strength_of(edit->options));
    if (!check_inversion(edit, diffusion, err)) return false;
    edit->ends = memory_new(2 * size, sizeof *edit->ends, "images with noise", err);
    edit->x_t = memory_new((size_t)batch * size, sizeof *edit->x_t, "images with noise", err);
    return edit->ends && edit->x_t;
}

/* ---- what is to be said of it ---- */

int64_t sample_edit_calls_before(SampleEdit *edit)
{
    if (edit->kind != EDIT_INTERPOLATE || !inverts(edit->options)) return 0;
    int64_t calls = edit_invert_calls(edit->generator, refine_of(edit->options));
    return edit->generator->batch > 1 ? calls : 2 * calls;
}

int64_t sample_edit_calls(SampleEdit *edit)
{
    if (edit->kind == EDIT_INPAINT) return edit_inpaint_calls(edit->generator, &edit->inpainting);
    if (edit->kind == EDIT_ENCODE)
        return edit_invert_calls(edit->generator, refine_of(edit->options));
    return generator_calls(edit->generator);
}

static void add_crc32(Provenance *how, const char *key, const void *data, size_t bytes)
{
    provenance_add(how, key, "%08" PRIx32, zip_crc32(data, bytes));
}

static void describe_interpolation(Provenance *how, const SampleEdit *edit, size_t bytes)
{
    const SampleOptions *o = edit->options;
    add_crc32(how, "From CRC-32", edit->x_0, bytes);
    add_crc32(how, "To CRC-32", edit->x_0 + edit->generator->size, bytes);
    provenance_add(how, "Interpolated by", "%s", edit_by_names[inverts(o)]);
    if (inverts(o)) provenance_add(how, "Refine", "%d", refine_of(o));
    provenance_add(how, "Interpolated in", "%d", edit->count);
}

void sample_edit_describe(Provenance *how, const SampleEdit *edit)
{
    if (edit->kind == EDIT_NONE) return;
    size_t size = edit->generator->size, bytes = size * sizeof(float);
    if (edit->kind == EDIT_INIT) add_crc32(how, "Init CRC-32", edit->x_0, bytes);
    if (edit->kind == EDIT_INTERPOLATE) describe_interpolation(how, edit, bytes);
    if (edit->kind != EDIT_INPAINT) {
        provenance_add(how, "Strength", "%.15g", strength_of(edit->options));
        return;
    }
    add_crc32(how, "Inpaint CRC-32", edit->x_0, bytes);
    add_crc32(how, "Mask CRC-32", edit->fill, size);
    provenance_add(how, "Jump length", "%d",
                   inpaint_jump(generator_steps(edit->generator), edit->inpainting.jump_length));
    provenance_add(how, "Resample", "%d", edit->inpainting.resample);
}

/* ---- batches ---- */

typedef struct {
    GeneratorProgress progress;
    void *context;
    int before;
} Later;

static bool later_progress(void *context, int calls_done)
{
    const Later *later = context;
    return later->progress(later->context, later->before + calls_done);
}

/* Both ends at once, or one after the other where a batch has room for one. */
static bool invert_ends(SampleEdit *edit, GeneratorProgress progress, void *context)
{
    Generator *g = edit->generator;
    int refine = refine_of(edit->options), n = g->batch > 1 ? 2 : 1;
    Later later = {progress, context, 0};
    if (!edit_invert(g, edit->ends, edit->x_0, n, refine, progress, context)) return false;
    if (n == 2) return true;
    later.before = (int)edit_invert_calls(g, refine);
    return edit_invert(g, edit->ends + g->size, edit->x_0 + g->size, n, refine, later_progress,
                       &later);
}

bool sample_edit_begin(SampleEdit *edit, GeneratorProgress progress, void *context)
{
    Generator *g = edit->generator;
    if (edit->kind != EDIT_INTERPOLATE) return true;
    if (inverts(edit->options)) return invert_ends(edit, progress, context);
    for (size_t end = 0; end < 2; end++)
        edit_diffuse(edit->ends + end * g->size, g, edit->x_0 + end * g->size, 0, 1);
    return true;
}

static void mix_ends(SampleEdit *edit, uint32_t first_image, int n)
{
    size_t size = edit->generator->size;
    for (int i = 0; i < n; i++)
        slerp(edit->x_t + (size_t)i * size, edit->ends, edit->ends + size,
              (first_image + (double)i) / (edit->count - 1), size);
}

bool sample_edit_batch(SampleEdit *edit, float *out, const float *x_T, uint32_t first_image, int n,
                       GeneratorProgress progress, void *context)
{
    Generator *g = edit->generator;
    switch (edit->kind) {
    case EDIT_INPAINT:
        return edit_inpaint(g, out, &edit->inpainting, x_T, first_image, n, progress, context);
    case EDIT_ENCODE:
        return edit_invert(g, out, edit->x_0, n, refine_of(edit->options), progress, context);
    case EDIT_INIT:
        edit_diffuse(edit->x_t, g, edit->x_0, first_image, n);
        return generator_batch(g, out, edit->x_t, first_image, n, progress, context);
    case EDIT_INTERPOLATE:
        mix_ends(edit, first_image, n);
        return generator_batch(g, out, edit->x_t, first_image, n, progress, context);
    default:
        return generator_batch(g, out, x_T, first_image, n, progress, context);
    }
}

void sample_edit_release(SampleEdit *edit)
{
    float *all[] = {edit->x_0, edit->ends, edit->x_t};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(edit->fill);
    *edit = (SampleEdit){0};
}
