#include "cmd/sample_edit.h"

#include "base/zip.h"
#include "cmd/sample_image.h"

#include <inttypes.h>
#include <stdlib.h>

enum { INPAINT_STEPS = 250, JUMP_LENGTH = 10, RESAMPLE = 10 }; /* RePaint's */

static EditKind kind_of(const SampleOptions *o)
{
    return o->init ? EDIT_INIT : o->inpaint ? EDIT_INPAINT : EDIT_NONE;
}

/* ---- what goes together ---- */

static bool check_init(const SampleOptions *o, Err *err)
{
    if (o->strength >= 0.0 && !o->init)
        return err_set(err, ERR_USAGE,
                       "--strength %g says how far from an image to begin; add --init IMAGE",
                       o->strength);
    if (o->strength == 0.0)
        return err_set(err, ERR_USAGE,
                       "--strength 0 would walk no step and give the image back; choose above 0, "
                       "at most 1");
    if (o->init && o->noise)
        return err_set(err, ERR_USAGE,
                       "--init %s and --noise %s both say where to begin; leave one out", o->init,
                       o->noise);
    return true;
}

static bool check_inpaint(const SampleOptions *o, Err *err)
{
    const char *alone = o->mask ? "mask" : o->jump_length > 0 ? "jump-length" : "resample";
    if (!o->inpaint && (o->mask || o->jump_length > 0 || o->resample > 0))
        return err_set(err, ERR_USAGE, "--%s is for --inpaint IMAGE, which is not there", alone);
    if (o->inpaint && !o->mask)
        return err_set(err, ERR_USAGE,
                       "--inpaint %s needs --mask IMAGE, white where it is to be filled in",
                       o->inpaint);
    if (o->inpaint && o->sampler >= 0 && o->sampler != SAMPLER_DDPM && o->sampler != SAMPLER_DDIM)
        return err_set(err, ERR_USAGE,
                       "--inpaint changes x_t between the steps, which %s is not made for; choose "
                       "ddpm or ddim",
                       sampler_names[o->sampler]);
    return true;
}

bool sample_edit_check(const SampleOptions *o, Err *err)
{
    if (o->init && o->inpaint)
        return err_set(err, ERR_USAGE, "--init %s and --inpaint %s do not go together", o->init,
                       o->inpaint);
    if (!check_init(o, err) || !check_inpaint(o, err)) return false;
    if (o->fit >= 0 && kind_of(o) == EDIT_NONE)
        return err_set(err, ERR_USAGE,
                       "--fit %s is for an image that is given, and there is none; add --init "
                       "IMAGE or --inpaint IMAGE",
                       fit_names[FIT_PAD + o->fit]);
    return true;
}

void sample_edit_sampler(SamplerConfig *sampler, const SampleOptions *o, const Config *config)
{
    if (!o->inpaint) return;
    if (sampler->kind != SAMPLER_DDIM) sampler->kind = SAMPLER_DDPM;
    if (o->steps > 0) return;
    sampler->steps = config_sample_steps(config, sampler->kind);
    if (sampler->steps > INPAINT_STEPS) sampler->steps = INPAINT_STEPS;
}

int sample_edit_count(const SampleOptions *options, int count)
{
    return kind_of(options) == EDIT_NONE ? count : 1;
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

bool sample_edit_open(SampleEdit *edit, const SampleOptions *o, const Config *config, Err *err)
{
    const ModelConfig *m = &config->model;
    *edit = (SampleEdit){.kind = kind_of(o), .options = o};
    if (edit->kind == EDIT_NONE) return true;
    size_t size = (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    edit->x_0 = memory_new(size, sizeof *edit->x_0, "the image", err);
    return edit->x_0 &&
           sample_image_read_floats(edit->x_0, o->init ? "init" : "inpaint",
                                    o->init ? o->init : o->inpaint, choose_fit(o, config), m,
                                    err) &&
           (edit->kind != EDIT_INPAINT || open_inpainting(edit, size, config, err));
}

/* ---- batches ---- */

static double strength_of(const SampleOptions *o)
{
    return o->strength < 0.0 ? 0.5 : o->strength;
}

static void add_crc32(Provenance *how, const char *key, const void *data, size_t bytes)
{
    provenance_add(how, key, "%08" PRIx32, zip_crc32(data, bytes));
}

void sample_edit_describe(Provenance *how, const SampleEdit *edit)
{
    if (edit->kind == EDIT_NONE) return;
    size_t size = edit->generator->size;
    const Inpainting *p = &edit->inpainting;
    if (edit->kind == EDIT_INIT) {
        add_crc32(how, "Init CRC-32", edit->x_0, size * sizeof *edit->x_0);
        provenance_add(how, "Strength", "%.15g", strength_of(edit->options));
    } else {
        add_crc32(how, "Inpaint CRC-32", edit->x_0, size * sizeof *edit->x_0);
        add_crc32(how, "Mask CRC-32", edit->fill, size);
        provenance_add(how, "Jump length", "%d", p->jump_length);
        provenance_add(how, "Resample", "%d", p->resample);
    }
}

bool sample_edit_prepare(SampleEdit *edit, Generator *generator, int batch, Err *err)
{
    edit->generator = generator;
    if (edit->kind != EDIT_INIT) return true;
    edit_start(generator, strength_of(edit->options));
    edit->x_t =
        memory_new((size_t)batch * generator->size, sizeof *edit->x_t, "images with noise", err);
    return edit->x_t != NULL;
}

int64_t sample_edit_calls(SampleEdit *edit)
{
    if (edit->kind == EDIT_INPAINT) return edit_inpaint_calls(edit->generator, &edit->inpainting);
    return generator_calls(edit->generator);
}

bool sample_edit_batch(SampleEdit *edit, float *out, const float *x_T, uint32_t first_image, int n,
                       GeneratorProgress progress, void *context)
{
    Generator *g = edit->generator;
    if (edit->kind == EDIT_INPAINT)
        return edit_inpaint(g, out, &edit->inpainting, x_T, first_image, n, progress, context);
    if (edit->kind == EDIT_INIT) {
        edit_diffuse(edit->x_t, g, edit->x_0, first_image, n);
        x_T = edit->x_t;
    }
    return generator_batch(g, out, x_T, first_image, n, progress, context);
}

void sample_edit_release(SampleEdit *edit)
{
    free(edit->x_0);
    free(edit->x_t);
    free(edit->fill);
    edit->x_0 = edit->x_t = NULL;
    edit->fill = NULL;
}
