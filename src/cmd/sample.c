/*
 * ddpm sample: which model and sampler are meant, and the images from them. All images are in
 * memory until they are written, so that an output is whole or not there.
 */
#include "base/npy.h"
#include "base/parallel.h"
#include "base/zip.h"
#include "cmd/command.h"
#include "cmd/interrupt.h"
#include "cmd/progress.h"
#include "cmd/sample_edit.h"
#include "cmd/sample_options.h"
#include "cmd/sample_output.h"
#include "train/generate.h"
#include "train/run.h"
#include "train/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH = 32 };

typedef struct {
    SampleOptions options;
    Source source;
    SamplerConfig sampler;
    SampleOutput output;
    Provenance how;
    Unet *unet;
    float *weights;
    float *x_T; /* [count,h,w,c] of --noise, or NULL */
    uint32_t noise_crc32;
    float *images;
    Generator generator;
    SampleEdit edit;
    Progress progress;
    int batch;
    long calls; /* of the network, those of finished batches */
} Sample;

/* ---- what is asked for ---- */

static void choose_sampler(Sample *s)
{
    const SampleOptions *o = &s->options;
    const Config *c = &s->source.config;
    SamplerKind kind = o->sampler >= 0 ? (SamplerKind)o->sampler : c->sample.sampler;
    s->sampler = (SamplerConfig){
        .kind = kind,
        .spacing = (Spacing)o->spacing,
        .steps = o->steps > 0 ? o->steps : config_sample_steps(c, kind),
        .eta = o->eta,
        .variance = o->variance >= 0 ? (Variance)o->variance : c->diffusion.variance,
        .prediction = c->diffusion.prediction,
        .clip = o->clip >= 0 ? o->clip != 0 : c->sample.clip,
        .learned_variance = c->diffusion.variance == VARIANCE_LEARNED_RANGE,
        .channels = c->model.channels,
        .seed = (uint64_t)o->seed,
    };
}

/* A diffusers folder says both, each in a file of its own. */
static bool check_outputs(const Sample *s, Err *err)
{
    const ModelConfig *m = &s->source.config.model;
    int wanted = s->sampler.learned_variance ? 2 * m->channels : m->channels;
    if (m->out_channels == wanted) return true;
    return err_set(
        err, ERR_DATA,
        "%s: the network puts out %d channels; for images of %d channels and %s variance "
        "it must put out %d",
        s->source.folder, m->out_channels, m->channels,
        s->sampler.learned_variance ? "a learned" : "a fixed", wanted);
}

static bool check_variance(const Sample *s, Err *err)
{
    if (s->options.variance < 0 || s->sampler.kind == SAMPLER_DDPM) return true;
    return err_set(err, ERR_USAGE,
                   "--variance is for the sampler ddpm, and this is %s; leave it out, or add "
                   "--sampler ddpm",
                   sampler_names[s->sampler.kind]);
}

static bool check_finite(const float *images, size_t count, size_t size, const char *path, Err *err)
{
    for (size_t i = 0; i < count * size; i++)
        if (!isfinite(images[i]))
            return err_set(err, ERR_DATA,
                           "--noise %s: image %zu (the first is 0) holds %g, which is not finite",
                           path, i / size, (double)images[i]);
    return true;
}

/* x_T from float32 [N,C,H,W] to [N,H,W,C]. */
static bool take_noise(Sample *s, const Array *array, Err *err)
{
    const ModelConfig *m = &s->source.config.model;
    const char *path = s->options.noise;
    size_t channels = (size_t)m->channels, pixels = (size_t)m->height * (size_t)m->width;
    if (array->type != ARRAY_F32 || array->ndim != 4 || array->shape[0] == 0 ||
        array->shape[1] != channels || array->shape[2] != (size_t)m->height ||
        array->shape[3] != (size_t)m->width)
        return err_set(err, ERR_DATA, "--noise %s: expected float32 of shape [N, %d, %d, %d]", path,
                       m->channels, m->height, m->width);
    size_t count = array->shape[0];
    if (s->options.count > 0 && (size_t)s->options.count > count)
        return err_set(err, ERR_USAGE, "--count %d, but --noise %s holds %zu images",
                       s->options.count, path, count);
    if (!check_finite(array->data, count, channels * pixels, path, err)) return false;
    s->x_T = memory_new(array->count, sizeof *s->x_T, "x_T", err);
    if (!s->x_T) return false;
    s->noise_crc32 = zip_crc32(array->data, array->count * sizeof(float));
    const float *in = array->data;
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                s->x_T[(i * pixels + p) * channels + c] = in[(i * channels + c) * pixels + p];
    s->output.count = s->options.count > 0 ? s->options.count : (int)count;
    return true;
}

static bool read_noise(Sample *s, Err *err)
{
    Array array;
    if (!s->options.noise) return true;
    if (!npy_read(&array, s->options.noise, err)) return false;
    bool ok = take_noise(s, &array, err);
    array_release(&array);
    return ok;
}

static bool choose_output(Sample *s, Err *err)
{
    const SampleOptions *o = &s->options;
    const ModelConfig *m = &s->source.config.model;
    s->output.path = o->output;
    s->output.height = m->height;
    s->output.width = m->width;
    s->output.channels = m->channels;
    s->output.classes = config_classes(&s->source.config);
    s->output.columns = o->columns;
    s->output.count = o->count > 0 ? o->count : sample_edit_count(o, s->source.config.sample.count);
    return sample_output_kind(&s->output.kind, o->output, o->as_float, err) && read_noise(s, err) &&
           sample_output_check(&s->output, err);
}

static bool choose(Sample *s, Err *err)
{
    if (!sample_edit_check(&s->options, err) || !source_open(&s->source, s->options.model, err))
        return false;
    choose_sampler(s);
    return check_outputs(s, err) && check_variance(s, err) &&
           sampler_check(&s->sampler, &s->source.config.diffusion, err) && choose_output(s, err) &&
           sample_edit_open(&s->edit, &s->options, &s->source.config, err);
}

/* ---- the model ---- */

static bool load(Sample *s, Err *err)
{
    const ModelConfig *m = &s->source.config.model;
    int wanted = s->options.batch > 0 ? s->options.batch : DEFAULT_BATCH;
    s->batch = wanted < s->output.count ? wanted : s->output.count;
    if (!model_config_check(m, true, err))
        fprintf(stderr, "ddpm sample: %s: %s\n", s->source.folder, err->text);
    s->unet = unet_new(m, false, err);
    if (!s->unet) return false;
    s->weights = memory_new(unet_params(s->unet)->floats, sizeof *s->weights, "weights", err);
    size_t floats =
        (size_t)s->output.count * (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    s->images = memory_new(floats, sizeof *s->images, "the samples", err);
    return s->weights && s->images &&
           source_weights(s->weights, &s->source, s->unet, s->options.raw, err) &&
           unet_reserve(s->unet, s->batch, UNET_SAMPLE, err) &&
           unet_prepare(s->unet, s->weights, err) &&
           generator_init(&s->generator, s->unet, s->weights, &s->source.config.diffusion,
                          &s->sampler, s->output.classes, s->batch, err) &&
           sample_edit_prepare(&s->edit, &s->generator, s->batch, err);
}

static bool describe(Sample *s, Err *err)
{
    ProvenanceOf of = {.config = &s->source.config,
                       .step = s->source.kind == SOURCE_CHECKPOINT ? &s->source.step : NULL,
                       .weights = s->weights,
                       .floats = unet_params(s->unet)->floats,
                       .sampler = &s->sampler,
                       .steps = generator_steps(&s->generator)};
    if (!provenance_init(&s->how, &of, err)) return false;
    if (s->x_T) provenance_add(&s->how, "Noise CRC-32", "%08" PRIx32, s->noise_crc32);
    sample_edit_describe(&s->how, &s->edit);
    s->output.how = &s->how;
    return true;
}

/* ---- sampling ---- */

static void announce(Sample *s)
{
    char eta[48] = "";
    if (s->options.quiet) return;
    if (s->sampler.kind == SAMPLER_DDIM) snprintf(eta, sizeof eta, ", eta %g", s->sampler.eta);
    fprintf(stderr, "%s: %d images by %s, %d steps%s, seed %" PRIu64 "\n", s->source.folder,
            s->output.count, sampler_names[s->sampler.kind], generator_steps(&s->generator), eta,
            s->sampler.seed);
}

static bool on_step(void *context, int steps_done)
{
    Sample *s = context;
    progress_update(&s->progress, s->calls + steps_done, "");
    return interrupt_signal() == 0;
}

/* Whether all images were drawn. */
static bool draw(Sample *s)
{
    int steps = generator_steps(&s->generator), count = s->output.count;
    for (int first = 0; first < count; first += s->batch) {
        int n = count - first < s->batch ? count - first : s->batch;
        size_t at = (size_t)first * s->generator.size;
        const float *x_T = s->x_T ? s->x_T + at : NULL;
        if (!sample_edit_batch(&s->edit, s->images + at, x_T, (uint32_t)first, n, on_step, s))
            return false;
        s->calls += steps;
    }
    return true;
}

static int run(Sample *s, Err *err)
{
    if (s->options.threads > 0) parallel_setup(s->options.threads);
    if (!choose(s, err) || !load(s, err) || !describe(s, err)) return command_fail("sample", err);
    announce(s);
    interrupt_install();
    long batches = (s->output.count + s->batch - 1) / s->batch;
    progress_init(&s->progress, "sample", "steps", 0, batches * generator_steps(&s->generator),
                  s->options.quiet);
    bool whole = draw(s);
    progress_release(&s->progress);
    if (!whole) return interrupt_exit_code(interrupt_signal());
    if (!sample_output_write(&s->output, s->images, err)) return command_fail("sample", err);
    printf("%s\n", s->output.path);
    return command_finish("sample");
}

static void release(Sample *s)
{
    sample_edit_release(&s->edit);
    generator_release(&s->generator);
    unet_free(s->unet);
    free(s->weights);
    free(s->images);
    free(s->x_T);
}

int cmd_sample(int argc, char **argv)
{
    Sample s = {0};
    Err err;
    bool help;
    if (!sample_options_parse(&s.options, &help, argc, argv, &err))
        return command_fail("sample", &err);
    if (help) {
        options_help(stdout, &sample_options_table);
        return command_finish("sample");
    }
    int code = run(&s, &err);
    release(&s);
    return code;
}
