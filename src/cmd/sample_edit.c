#include "cmd/sample_edit.h"

#include "base/zip.h"
#include "cmd/sample_image.h"

#include <inttypes.h>
#include <stdlib.h>

static EditKind kind_of(const SampleOptions *o)
{
    return o->init ? EDIT_INIT : EDIT_NONE;
}

/* ---- what is asked for ---- */

static bool check_strength(const SampleOptions *o, Err *err)
{
    if (o->strength < 0.0) return true;
    if (!o->init)
        return err_set(err, ERR_USAGE,
                       "--strength %g says how far from an image to begin; add --init IMAGE",
                       o->strength);
    if (o->strength == 0.0)
        return err_set(err, ERR_USAGE,
                       "--strength 0 would walk no step and give the image back; choose above 0, "
                       "at most 1");
    return true;
}

bool sample_edit_check(const SampleOptions *o, Err *err)
{
    if (!check_strength(o, err)) return false;
    if (o->fit >= 0 && kind_of(o) == EDIT_NONE)
        return err_set(err, ERR_USAGE,
                       "--fit %s is for an image that is given, and there is none; "
                       "add --init IMAGE",
                       fit_names[FIT_PAD + o->fit]);
    if (o->init && o->noise)
        return err_set(err, ERR_USAGE,
                       "--init %s and --noise %s both say where to begin; leave one out", o->init,
                       o->noise);
    return true;
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

bool sample_edit_open(SampleEdit *edit, const SampleOptions *options, const Config *config,
                      Err *err)
{
    const ModelConfig *m = &config->model;
    *edit = (SampleEdit){.kind = kind_of(options), .options = options};
    if (edit->kind == EDIT_NONE) return true;
    size_t size = (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    edit->x_0 = memory_new(size, sizeof *edit->x_0, "the image", err);
    return edit->x_0 && sample_image_read_floats(edit->x_0, "init", options->init,
                                                 choose_fit(options, config), m, err);
}

/* ---- batches ---- */

static double strength_of(const SampleOptions *o)
{
    return o->strength < 0.0 ? 0.5 : o->strength;
}

void sample_edit_describe(Provenance *how, const SampleEdit *edit)
{
    if (edit->kind == EDIT_NONE) return;
    provenance_add(how, "Init CRC-32", "%08" PRIx32,
                   zip_crc32(edit->x_0, edit->generator->size * sizeof *edit->x_0));
    provenance_add(how, "Strength", "%.15g", strength_of(edit->options));
}

bool sample_edit_prepare(SampleEdit *edit, Generator *generator, int batch, Err *err)
{
    edit->generator = generator;
    if (edit->kind == EDIT_NONE) return true;
    edit_start(generator, strength_of(edit->options));
    edit->x_t =
        memory_new((size_t)batch * generator->size, sizeof *edit->x_t, "images with noise", err);
    return edit->x_t != NULL;
}

bool sample_edit_batch(SampleEdit *edit, float *out, const float *x_T, uint32_t first_image, int n,
                       GeneratorProgress progress, void *context)
{
    if (edit->kind == EDIT_INIT) {
        edit_diffuse(edit->x_t, edit->generator, edit->x_0, first_image, n);
        x_T = edit->x_t;
    }
    return generator_batch(edit->generator, out, x_T, first_image, n, progress, context);
}

void sample_edit_release(SampleEdit *edit)
{
    free(edit->x_0);
    free(edit->x_t);
    edit->x_0 = edit->x_t = NULL;
}
