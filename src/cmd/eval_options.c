#include "cmd/eval_options.h"

#include "cmd/eval_images.h"
#include "diffusion/config.h"

const char *const eval_part_names[] = {"held-out", "test", "train", NULL};

#define AT(field) .offset = offsetof(EvalOptions, field)

static const Option options[] = {
    {.name = "nll",
     .type = OPTION_FLAG,
     AT(nll),
     .help = "bits per dimension: the variational bound, from --budget calls of the network for "
             "each image"},
    {.name = "budget",
     .argument = "K",
     .type = OPTION_INT,
     AT(budget),
     .min = 2,
     .max = 1 << 20,
     .help = "with --nll: network calls an image, at t drawn by importance (default: 20)"},
    {.name = "full",
     .type = OPTION_FLAG,
     AT(full),
     .help = "with --nll: a call for each t, as the figures in papers are made"},
    {.name = "csv",
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(csv),
     .help = "with --nll: the bound's terms by t"},
    {.name = "loss",
     .type = OPTION_FLAG,
     AT(loss),
     .help = "the squared errors of epsilon and of x_0, by t"},
    {.name = "oracle",
     .type = OPTION_FLAG,
     AT(oracle),
     .help = "with --loss: beside them those of the best denoiser that the training images allow; "
             "a network below it on them has memorised"},
    {.name = "samples",
     .argument = "PATH",
     .type = OPTION_TEXT,
     AT(samples),
     .help =
         "how far these images are from the training images: .npy or .npz of uint8 N x H x W x C, "
         "or a folder of images"},
    {.name = "count",
     .letter = 'n',
     .argument = "N",
     .type = OPTION_INT,
     AT(count),
     .min = EVAL_FEWEST,
     .max = 1 << 24,
     .help = "the same of N images that are drawn on the spot"},
    {.name = "sampler",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     AT(sampler),
     .names = sampler_names,
     .help = "with --count: ddpm, ddim, dpm++ or heun (default: sample.sampler)"},
    {.name = "steps",
     .letter = 'k',
     .argument = "K",
     .type = OPTION_INT,
     AT(steps),
     .min = 1,
     .max = 1 << 24,
     .help = "with --count: denoising steps (default: sample.steps)"},
    {.name = "guidance",
     .argument = "W",
     .type = OPTION_NUMBER,
     AT(guidance),
     .max = 1000,
     .help = "with --count, of a model with classes: how strongly (default: 1)"},
    {.name = "memorised",
     .type = OPTION_FLAG,
     AT(memorised),
     .help = "of each sample the nearest training image: how many are copies"},
    {.name = "pairs",
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(pairs),
     .help = "with --memorised: a PNG of the samples that are nearest, each beside its nearest "
             "training image"},
    {.name = "features",
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(features),
     .help = "distances between features that some other network made of samples, .npy of float32 "
             "N x D, and --reference-features; needs no model"},
    {.name = "reference-features",
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(reference_features),
     .help = "with --features: those of the data, twice as many or more"},
    {.name = "train-features",
     .type = OPTION_FLAG,
     AT(train_features),
     .help = "train the network that features of images come from, a classifier of the labelled "
             "data, and keep it"},
    {.name = "classifier",
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(classifier),
     .help = "where that is kept, and read for the figures of samples (default: "
             "classifier.safetensors in the run's folder)"},
    {.name = "data",
     .argument = "PATH",
     .type = OPTION_TEXT,
     AT(data),
     .help = "the data (default: data.path of the model's config)"},
    {.name = "part",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     AT(part),
     .names = eval_part_names,
     .help = "which images are looked at: held-out (data.validation, or the test part; default), "
             "test or train"},
    {.name = "images",
     .argument = "N",
     .type = OPTION_INT,
     AT(images),
     .min = 2,
     .max = 1 << 24,
     .help = "with --nll, --loss: at most so many of them (default: 1000)"},
    {.name = "seed",
     .letter = 's',
     .argument = "S",
     .type = OPTION_WHOLE,
     AT(seed),
     .max = 0x1p53,
     .help = "of all that is drawn (default: 0)"},
    {.name = "batch",
     .letter = 'b',
     .argument = "N",
     .type = OPTION_INT,
     AT(batch),
     .min = 1,
     .max = 1 << 16,
     .help = "images that the network is given at once (default: 32)"},
    {.name = "json", .type = OPTION_FLAG, AT(json), .help = "print one JSON object instead"},
};

const OptionTable eval_options_table = {
    .name = "eval",
    .summary = "measure how good a model and its samples are",
    .groups = {{model_options, MODEL_OPTIONS, offsetof(EvalOptions, model)},
               {options, sizeof options / sizeof *options, 0},
               {work_options, WORK_OPTIONS, offsetof(EvalOptions, work)}},
    .notes = "Without an option that asks for a figure: --nll --loss. Figures are means over\n"
             "images and stand with their standard errors. SIGINT prints what there is so far,\n"
             "marked as partial.",
};

/* An option that says more of another, which is not there. */
static bool lacks(const char *option, const char *other, Err *err)
{
    return !err_set(err, ERR_USAGE, "--%s says more of --%s, which is not given; add it", option,
                    other);
}

static bool is_alone(const EvalOptions *o, Err *err)
{
    if (o->budget > 0 && !o->nll) return lacks("budget", "nll", err);
    if (o->full && !o->nll) return lacks("full", "nll", err);
    if (o->csv && !o->nll) return lacks("csv", "nll", err);
    if (o->oracle && !o->loss) return lacks("oracle", "loss", err);
    if (o->sampler >= 0 && o->count == 0) return lacks("sampler", "count N", err);
    if (o->steps > 0 && o->count == 0) return lacks("steps", "count N", err);
    if (o->guidance != 1 && o->count == 0) return lacks("guidance", "count N", err);
    if (o->pairs && !o->memorised) return lacks("pairs", "memorised", err);
    if (o->features && !o->reference_features)
        return lacks("features", "reference-features FILE", err);
    if (o->reference_features && !o->features)
        return lacks("reference-features", "features FILE", err);
    if (o->memorised && !eval_options_samples(o))
        return lacks("memorised", "samples PATH or --count N", err);
    if (o->classifier && !o->train_features && !eval_options_samples(o))
        return lacks("classifier", "train-features, --samples PATH or --count N", err);
    return false;
}

/* Options without an effect. */
static bool is_idle(const EvalOptions *o, Err *err)
{
    const struct {
        bool given;
        const char *name;
    } of_model[] = {{o->model.path, "model"}, {o->model.ema >= 0, "ema"}, {o->model.raw, "raw"},
                    {o->data, "data"},        {o->part >= 0, "part"},     {o->batch > 0, "batch"}};
    for (size_t i = 0; i < sizeof of_model / sizeof *of_model; i++)
        if (of_model[i].given && !eval_options_model(o))
            return !err_set(err, ERR_USAGE,
                            "--%s is of a model, and figures of --features need none; leave it out",
                            of_model[i].name);
    if (o->images > 0 && !o->nll && !o->loss)
        return !err_set(err, ERR_USAGE,
                        "--images %d says how many images --nll and --loss look at; figures of "
                        "samples take as many as there are samples: leave it out",
                        o->images);
    if (o->batch > 0 && eval_options_model(o) && !o->nll && !o->loss && o->count == 0)
        return !err_set(err, ERR_USAGE,
                        "--batch %d is of the network, which --nll, --loss and --count ask; leave "
                        "it out",
                        o->batch);
    return false;
}

static bool check(const EvalOptions *o, Err *err)
{
    if (is_alone(o, err) || is_idle(o, err)) return false;
    if (o->full && o->budget > 0)
        return err_set(err, ERR_USAGE,
                       "--full calls the network for each t, --budget %d so many times; give one "
                       "of them",
                       o->budget);
    if (o->samples && o->count > 0)
        return err_set(err, ERR_USAGE,
                       "--samples %s are images that there are, --count %d draws new ones; give "
                       "one of them",
                       o->samples, o->count);
    return model_options_check(&o->model, err);
}

bool eval_options_parse(EvalOptions *o, bool *help, int argc, char **argv, Err *err)
{
    *o = (EvalOptions){.model.ema = MODEL_FIRST_EMA, .part = -1, .sampler = -1, .guidance = 1};
    if (!options_parse(o, help, &eval_options_table, argc, argv, err) || *help) return *help;
    bool of_model = o->nll || o->full || o->budget > 0 || o->csv || o->loss || o->oracle;
    bool of_samples = eval_options_samples(o) || o->memorised || o->sampler >= 0 || o->steps > 0 ||
                      o->pairs || o->features || o->reference_features;
    if (!of_model && !of_samples && !o->train_features) o->nll = o->loss = true;
    if (!check(o, err)) return false;
    if (o->part < 0) o->part = PART_HELD_OUT;
    return true;
}

bool eval_options_samples(const EvalOptions *o)
{
    return o->samples || o->count > 0;
}

bool eval_options_model(const EvalOptions *o)
{
    return o->nll || o->loss || o->train_features || eval_options_samples(o);
}
