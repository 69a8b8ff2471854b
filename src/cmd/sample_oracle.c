#include "cmd/sample_oracle.h"

#include "base/zip.h"
#include "cmd/describe.h"

#include <inttypes.h>

/* ---- what goes together ---- */

static bool refuse(const char *option, const char *reason, Err *err)
{
    return err_set(err, ERR_USAGE, "--%s does not go with --oracle: %s", option, reason);
}

static bool check_model(const SampleOptions *o, Err *err)
{
    static const char no_weights[] = "there is no network, and so no weights";
    if (o->model.path) return refuse("model", "the exact denoiser takes the model's place", err);
    if (o->model.raw) return refuse("raw", no_weights, err);
    return o->model.ema < 0 || refuse("ema", no_weights, err);
}

static bool check_classes(const SampleOptions *o, Err *err)
{
    static const char all[] = "it is the denoiser of all images, whatever their class";
    if (o->classes) return refuse("class", all, err);
    if (o->guidance != 1.0) return refuse("guidance", all, err);
    return !o->interval || refuse("guidance-interval", all, err);
}

bool sample_oracle_check(const SampleOptions *o, Err *err)
{
    if (!o->oracle && o->config.name)
        return err_set(err, ERR_USAGE,
                       "--config %s is for --oracle; a model (--model) knows its own",
                       o->config.name);
    if (!o->oracle && o->config.set.count > 0)
        return err_set(err, ERR_USAGE, "--set %s is for the config of --oracle",
                       o->config.set.items[0]);
    if (!o->oracle) return true;
    if (!o->config.name)
        return err_set(err, ERR_USAGE,
                       "--oracle needs --config FILE, such as --config fashion.json: its data and "
                       "its chain");
    if (o->variance == VARIANCE_LEARNED_RANGE)
        return refuse("variance learned_range", "no variance is learned", err);
    return check_model(o, err) && check_classes(o, err);
}

/* ---- the images ---- */

bool sample_oracle_open(SampleOracle *o, Source *source, const SampleOptions *options, Err *err)
{
    Config *c = &source->config;
    if (!config_options_read(&o->config, source->folder, &options->config, err) ||
        !config_check(&o->config, err))
        return false;
    *c = o->config;
    c->model.num_classes = 0;
    c->model.out_channels = c->model.channels;
    c->diffusion.prediction = PREDICT_X0;
    if (c->diffusion.variance == VARIANCE_LEARNED_RANGE)
        c->diffusion.variance = VARIANCE_FIXED_SMALL;
    source->kind = SOURCE_CONFIG;
    return true;
}

static bool read_data(SampleOracle *o, Err *err)
{
    Config c = o->config;
    c.train.validate_every = c.train.evaluate_every = 0; /* what is held out is not looked at */
    return datasets_open(&o->sets, &c, err);
}

bool sample_oracle_load(SampleOracle *o, Generator *generator, const Config *config,
                        const SamplerConfig *sampler, int batch, Err *err)
{
    const ModelConfig *m = &config->model;
    int T = config->diffusion.timesteps;
    size_t pixels = (size_t)m->height * (size_t)m->width;
    if (!read_data(o, err)) return false;
    o->train = (EvalImages){&o->sets.train, o->sets.train.count, o->config.data.flip};
    o->images = eval_images(&o->train);
    OracleConfig of = {.diffusion = &config->diffusion,
                       .schedule = &o->schedule,
                       .images = &o->images,
                       .pixels = pixels,
                       .channels = m->channels,
                       .rows = batch};
    GeneratorDenoiser denoiser = {oracle_denoise, &o->oracle, pixels * (size_t)m->channels};
    if (!arena_init(&o->arena, schedule_bytes(T) + oracle_bytes(&of), "the denoiser", err))
        return false;
    schedule_init(&o->schedule, &o->arena, &config->diffusion);
    oracle_init(&o->oracle, &o->arena, &of);
    return generator_init_denoiser(generator, &denoiser, &config->diffusion, sampler, batch, err);
}

/* ---- what is said of it ---- */

static void describe(char text[PROVENANCE_VALUE], const SampleOracle *o)
{
    char count[DESCRIBE_NUMBER];
    snprintf(text, PROVENANCE_VALUE, "exact, of %s images%s",
             describe_count(count, (uint64_t)o->sets.train.count),
             o->config.data.flip ? " and their mirror images" : "");
}

void sample_oracle_announce(FILE *to, const SampleOracle *o)
{
    char text[PROVENANCE_VALUE];
    describe(text, o);
    fprintf(to, "denoiser: %s\n", text);
}

void sample_oracle_describe(Provenance *how, const SampleOracle *o)
{
    char text[PROVENANCE_VALUE];
    const Dataset *set = &o->sets.train;
    size_t bytes =
        (size_t)set->count * (size_t)set->height * (size_t)set->width * (size_t)set->channels;
    describe(text, o);
    provenance_add(how, "Denoiser", "%s", text);
    provenance_add(how, "Data CRC-32", "%08" PRIx32, zip_crc32(set->pixels, bytes));
}

void sample_oracle_release(SampleOracle *o)
{
    datasets_release(&o->sets);
    arena_release(&o->arena);
}
