/*
 * ddpm sample: which model and sampler are meant, and the images from them. Those of one file are
 * in memory until it is written, so that it is whole or not there; those of a folder are written as
 * their batch is done.
 */
#include "base/parallel.h"
#include "cmd/command.h"
#include "cmd/describe.h"
#include "cmd/interrupt.h"
#include "cmd/progress.h"
#include "cmd/sample_classes.h"
#include "cmd/sample_edit.h"
#include "cmd/sample_edit_check.h"
#include "cmd/sample_film.h"
#include "cmd/sample_folder.h"
#include "cmd/sample_noise.h"
#include "cmd/sample_options.h"
#include "cmd/sample_oracle.h"
#include "cmd/sample_output.h"
#include "cmd/text.h"
#include "train/ema.h"
#include "train/generate.h"
#include "train/run.h"
#include "train/source.h"

#include <inttypes.h>
#include <stdlib.h>

enum { DEFAULT_BATCH = 32 };

typedef struct {
    SampleOptions options;
    Source source;
    SamplerConfig sampler;
    Conditioning classes;
    SampleOutput output;
    Provenance how;
    Unet *unet;
    float *weights; /* NULL, as the network, with --oracle */
    SampleOracle oracle;
    SampleNoise noise;
    SampleFolder folder;
    float *images; /* [count,h,w,c], or of a folder, [batch,h,w,c] */
    Generator generator;
    SampleEdit edit;
    SampleFilm film;
    Progress progress;
    int which; /* of the model's weights: a place in train.ema_decay, or SOURCE_RAW */
    int batch;
    long calls; /* of the network, those of finished batches */
    bool stopped;
} Sample;

/* ---- what is asked for ---- */

static void choose_sampler(Sample *s)
{
    const SampleOptions *o = &s->options;
    const Config *c = &s->source.config;
    SamplerKind kind = o->sampler >= 0 ? (SamplerKind)o->sampler : c->sample.sampler;
    s->sampler = config_sampler(c);
    s->sampler.kind = kind;
    s->sampler.spacing = (Spacing)o->spacing;
    s->sampler.steps = o->steps > 0 ? o->steps : config_sample_steps(c, kind);
    s->sampler.eta = o->eta > 0.0 ? o->eta : 0.0;
    if (o->variance >= 0) s->sampler.variance = (Variance)o->variance;
    if (o->clip >= 0) s->sampler.clip = o->clip != 0;
    s->sampler.seed = o->seed > 0 ? (uint64_t)o->seed : 0;
}

static bool check_variance(const Sample *s, Err *err)
{
    if (s->options.variance < 0 || s->sampler.kind == SAMPLER_DDPM) return true;
    return err_set(err, ERR_USAGE,
                   "--variance is for the sampler ddpm, and this is %s; leave it out, or add "
                   "--sampler ddpm",
                   sampler_names[s->sampler.kind]);
}

/* sampler_check, which knows no option, takes 0 for none. */
static bool check_eta(const Sample *s, Err *err)
{
    if (s->options.eta < 0.0 || sampler_takes_eta(s->sampler.kind)) return true;
    return err_set(
        err, ERR_USAGE,
        "eta = %g is for the samplers ddim and dpm++, and this is %s; leave --eta out or "
        "choose one of them",
        s->options.eta, sampler_names[s->sampler.kind]);
}

/* The frames of --trajectory are grids, whatever the output is. */
static bool check_columns(const Sample *s, Err *err)
{
    const SampleOptions *o = &s->options;
    if (o->columns == 0 || s->output.kind == OUTPUT_GRID || o->trajectory) return true;
    return err_set(err, ERR_USAGE,
                   "--columns %d is of a grid, and --output %s is none; leave it out, or name a "
                   ".png",
                   o->columns, o->output);
}

/* Images are counted by 32 bits, as the random numbers are (base/rng.h). */
static bool choose_images(Sample *s, Err *err)
{
    const SampleOptions *o = &s->options;
    s->output.first = (uint32_t)o->first;
    s->output.count = o->count > 0 ? o->count : sample_edit_count(o, s->source.config.sample.count);
    if (o->noise) {
        if (!sample_noise_read(&s->noise, o->noise, &s->source.config.model, s->output.first,
                               o->count, err))
            return false;
        s->output.count = s->noise.count;
    }
    if (o->first + s->output.count <= (int64_t)UINT32_MAX + 1) return true;
    return err_set(err, ERR_USAGE,
                   "--first %" PRId64 " with %d images: the last image of a seed is %" PRIu32,
                   o->first, s->output.count, UINT32_MAX);
}

static bool choose_output(Sample *s, Err *err)
{
    const SampleOptions *o = &s->options;
    const ModelConfig *m = &s->source.config.model;
    s->output.path = o->output;
    s->output.height = m->height;
    s->output.width = m->width;
    s->output.channels = m->channels;
    s->output.classes = &s->classes;
    s->output.columns = o->columns;
    return sample_output_kind(&s->output.kind, o->output, o->as_float || o->encode, err) &&
           check_columns(s, err) && choose_images(s, err) && sample_output_check(&s->output, err);
}

static bool open_source(Sample *s, Err *err)
{
    return s->options.oracle ? sample_oracle_open(&s->oracle, &s->source, &s->options, err)
                             : source_open(&s->source, s->options.model.path, err);
}

static bool choose(Sample *s, Err *err)
{
    if (!sample_oracle_check(&s->options, err) || !sample_edit_check(&s->options, err) ||
        !open_source(s, err))
        return false;
    choose_sampler(s);
    sample_edit_sampler(&s->sampler, &s->options, &s->source.config);
    return source_check_outputs(&s->source, s->sampler.learned_variance, err) &&
           check_variance(s, err) && check_eta(s, err) &&
           sampler_check(&s->sampler, &s->source.config.diffusion, err) &&
           sample_classes_choose(&s->classes, &s->options, &s->source.config, err) &&
           choose_output(s, err) &&
           sample_edit_open(&s->edit, &s->options, &s->source.config, err) &&
           sample_film_check(&s->options, &s->output, s->edit.kind, err);
}

/* ---- the model ---- */

static bool load_weights(Sample *s, Err *err)
{
    const TrainConfig *c = &s->source.config.train;
    char text[160];
    if (!model_options_which(&s->which, &s->options.model, &s->source, err)) return false;
    if (s->source.kind == SOURCE_CHECKPOINT && s->which != SOURCE_RAW &&
        ema_is_early(text, sizeof text, c->ema_decay[s->which], c->ema_warmup, s->source.updates))
        fprintf(stderr, "ddpm sample: %s; --raw draws from the weights themselves\n", text);
    return source_weights(s->weights, &s->source, s->unet, s->which, err);
}

static void describe_weights(Sample *s)
{
    char rate[EMA_RATE_TEXT];
    if (s->source.kind != SOURCE_CHECKPOINT) return;
    if (s->which == SOURCE_RAW)
        provenance_add(&s->how, "Weights", "raw");
    else
        provenance_add(&s->how, "Weights", "EMA %s",
                       ema_rate_text(rate, s->source.config.train.ema_decay[s->which]));
}

static bool load_network(Sample *s, Err *err)
{
    const ModelConfig *m = &s->source.config.model;
    if (!model_config_check(m, true, err))
        text_say(stderr, "ddpm sample: %s: %s", s->source.folder, err->text);
    describe_assumed("sample", &s->source);
    s->unet = unet_new(m, false, err);
    if (!s->unet || !source_check_size(&s->source, s->unet, err)) return false;
    s->weights = memory_new(unet_params(s->unet)->floats, sizeof *s->weights, "weights", err);
    return s->weights && load_weights(s, err) &&
           unet_reserve(s->unet, conditioning_rows(&s->classes, s->batch), UNET_SAMPLE, err) &&
           unet_prepare(s->unet, s->weights, err) &&
           generator_init(&s->generator, s->unet, s->weights, &s->source.config.diffusion,
                          &s->sampler, &s->classes, s->batch, err);
}

static bool load(Sample *s, Err *err)
{
    int usual = s->options.oracle ? SAMPLE_ORACLE_BATCH : DEFAULT_BATCH;
    int wanted = s->options.batch > 0 ? s->options.batch : usual;
    bool at_once = s->options.trajectory || wanted > s->output.count;
    s->batch = at_once ? s->output.count : wanted;
    size_t kept = (size_t)(s->output.kind == OUTPUT_FOLDER ? s->batch : s->output.count);
    s->images =
        memory_new(kept * sample_output_floats(&s->output), sizeof *s->images, "the samples", err);
    return s->images &&
           (s->options.oracle ? sample_oracle_load(&s->oracle, &s->generator, &s->source.config,
                                                   &s->sampler, s->batch, err)
                              : load_network(s, err)) &&
           sample_edit_prepare(&s->edit, &s->generator, &s->source.config.diffusion,
                               s->output.count, s->batch, err) &&
           sample_film_open(&s->film, &s->options, &s->output, &s->generator, err);
}

static bool describe(Sample *s, Err *err)
{
    bool oracle = s->options.oracle;
    ProvenanceOf of = {.config = oracle ? &s->oracle.config : &s->source.config,
                       .step = s->source.kind == SOURCE_CHECKPOINT ? &s->source.step : NULL,
                       .weights = s->weights,
                       .floats = oracle ? 0 : unet_params(s->unet)->floats,
                       .sampler = &s->sampler,
                       .classes = &s->classes,
                       .steps = generator_steps(&s->generator)};
    if (!provenance_init(&s->how, &of, err)) return false;
    describe_weights(s);
    if (oracle) sample_oracle_describe(&s->how, &s->oracle);
    if (s->noise.x_T) provenance_add(&s->how, "Noise CRC-32", "%08" PRIx32, s->noise.crc32);
    sample_edit_describe(&s->how, &s->edit);
    s->output.how = &s->how;
    return true;
}

/* ---- sampling ---- */

static void announce(Sample *s)
{
    char eta[48] = "", guidance[48] = "";
    if (s->options.work.quiet) return;
    if (sampler_takes_eta(s->sampler.kind)) snprintf(eta, sizeof eta, ", eta %g", s->sampler.eta);
    if (s->classes.guidance != 1.0)
        snprintf(guidance, sizeof guidance, ", guidance %g", s->classes.guidance);
    text_say(stderr, "%s: %d images by %s, %d steps%s%s, seed %" PRIu64, s->source.folder,
             s->output.count, sampler_names[s->sampler.kind], generator_steps(&s->generator), eta,
             guidance, s->sampler.seed);
    if (s->options.oracle) sample_oracle_announce(stderr, &s->oracle);
    int there = s->output.count - s->folder.left;
    if (s->output.kind == OUTPUT_FOLDER && there > 0)
        text_say(stderr, "%s holds %d of them already", s->output.path, there);
}

static bool on_step(void *context, int calls_done)
{
    Sample *s = context;
    progress_update(&s->progress, s->calls + calls_done, "");
    return interrupt_signal() == 0 && !s->film.failed;
}

/* The images of the batch that starts `at` images after the first. */
static int batch_size(const Sample *s, int at)
{
    int left = s->output.count - at;
    return left < s->batch ? left : s->batch;
}

/* A batch of which images are missing is drawn whole: they then have the very bits that a run that
 * was never interrupted gives them. */
static bool is_needed(const Sample *s, int at)
{
    return s->output.kind != OUTPUT_FOLDER ||
           sample_folder_needs(&s->folder, at, batch_size(s, at));
}

static long needed_batches(const Sample *s)
{
    long batches = 0;
    for (int at = 0; at < s->output.count; at += s->batch) batches += is_needed(s, at);
    return batches;
}

static bool draw_batch(Sample *s, int at, Err *err)
{
    bool folder = s->output.kind == OUTPUT_FOLDER;
    size_t offset = (size_t)at * s->generator.size;
    float *images = s->images + (folder ? 0 : offset);
    const float *x_T = s->noise.x_T ? s->noise.x_T + offset : NULL;
    int n = batch_size(s, at);
    sample_film_batch(&s->film, at);
    s->stopped =
        !sample_edit_batch(&s->edit, images, x_T, s->output.first + (uint32_t)at, n, on_step, s);
    s->calls += (long)sample_edit_calls(&s->edit);
    return s->stopped || !folder || sample_folder_write(&s->folder, images, at, n, err);
}

static bool draw(Sample *s, Err *err)
{
    bool ok = true;
    s->stopped = !sample_edit_begin(&s->edit, on_step, s);
    s->calls = (long)sample_edit_calls_before(&s->edit);
    for (int at = 0; ok && !s->stopped && at < s->output.count; at += s->batch)
        if (is_needed(s, at)) ok = draw_batch(s, at, err);
    return ok && (!s->stopped || generator_check(&s->generator, err));
}

/* What a file holds, once all images are there. */
static bool write_file(Sample *s, Err *err)
{
    if (!sample_film_end(&s->film, s->images, err)) return false;
    return s->film.moments > 0 ? sample_film_write_strips(&s->film, err)
                               : sample_output_write(&s->output, s->images, err);
}

static int stopped(const Sample *s)
{
    int count = s->output.count, drawn = count - s->folder.left;
    if (s->output.kind == OUTPUT_FOLDER)
        text_say(stderr, "%s holds %d of the %d images; the same command draws the others",
                 s->output.path, drawn, count);
    return interrupt_exit_code(interrupt_signal());
}

static int run(Sample *s, Err *err)
{
    interrupt_outlive_writes();
    if (s->options.work.threads > 0) parallel_setup(s->options.work.threads);
    if (!choose(s, err) || !load(s, err) || !describe(s, err)) return command_fail("sample", err);
    bool folder = s->output.kind == OUTPUT_FOLDER;
    if (folder && !sample_folder_open(&s->folder, &s->output, err))
        return command_fail("sample", err);
    announce(s);
    interrupt_install();
    progress_init(&s->progress, "sample", "calls", 0,
                  (long)(sample_edit_calls_before(&s->edit) +
                         needed_batches(s) * sample_edit_calls(&s->edit)),
                  s->options.work.quiet);
    bool ok = draw(s, err);
    progress_release(&s->progress);
    if (ok && s->stopped && !s->film.failed) return stopped(s);
    if (!ok || (!folder && !write_file(s, err))) return command_fail("sample", err);
    text_print_path(s->output.path);
    return command_finish("sample");
}

static void release(Sample *s)
{
    sample_film_release(&s->film);
    sample_edit_release(&s->edit);
    generator_release(&s->generator);
    sample_oracle_release(&s->oracle);
    unet_free(s->unet);
    free(s->weights);
    free(s->images);
    sample_classes_release(&s->classes);
    sample_noise_release(&s->noise);
    sample_folder_release(&s->folder);
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
