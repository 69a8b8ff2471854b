#include "cmd/sample_options.h"

#include "diffusion/config.h"

#define AT(field) .offset = offsetof(SampleOptions, field)

static const Option options[] = {
    {.name = "model",
     .letter = 'm',
     .argument = "PATH",
     .type = OPTION_TEXT,
     AT(model),
     .help = "a run, a checkpoint or a diffusers folder (default: the newest run under runs/)"},
    {.name = "count",
     .letter = 'n',
     .argument = "N",
     .type = OPTION_INT,
     AT(count),
     .min = 1,
     .max = 1 << 24,
     .help = "images (default: sample.count of the model's config)"},
    {.name = "output",
     .letter = 'o',
     .argument = "OUT",
     .type = OPTION_TEXT,
     AT(output),
     .help =
         "X.png: a grid; X.npy, X.npz: an array N x H x W x C of uint8; anything else: a folder "
         "with a PNG for each image, which holds none yet"},
    {.name = "float",
     .type = OPTION_FLAG,
     AT(as_float),
     .help = "with .npy: float32 in [-1, 1], N x C x H x W"},
    {.name = "columns",
     .argument = "N",
     .type = OPTION_INT,
     AT(columns),
     .min = 1,
     .max = 1 << 16,
     .help = "images in a row of the grid (default: as many as rows)"},
    {.name = "seed",
     .letter = 's',
     .argument = "S",
     .type = OPTION_WHOLE,
     AT(seed),
     .max = 0x1p53,
     .help = "image i depends on the seed and i alone (default: 0)"},
    {.name = "noise",
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(noise),
     .help = "x_T instead of drawing it: .npy, float32, N x C x H x W"},
    {.name = "sampler",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     AT(sampler),
     .names = sampler_names,
     .help = "ddpm, ddim or dpm++ (default: sample.sampler)"},
    {.name = "steps",
     .letter = 'k',
     .argument = "K",
     .type = OPTION_INT,
     AT(steps),
     .min = 1,
     .max = 1 << 24,
     .help = "denoising steps, at most the T of the model (default: sample.steps; "
             "where that is null T for ddpm, 50 for the others)"},
    {.name = "spacing",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     AT(spacing),
     .names = spacing_names,
     .help = "which K of the T steps: linspace (default), leading, trailing "
             "or quadratic"},
    {.name = "eta",
     .argument = "E",
     .type = OPTION_NUMBER,
     AT(eta),
     .max = 1,
     .help = "noise of ddim, from 0 (default: none) to 1 (as much as ddpm)"},
    {.name = "variance",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     AT(variance),
     .names = variance_names,
     .help = "of ddpm: fixed_small or fixed_large (default: the model's)"},
    {.name = "clip",
     .type = OPTION_STORE,
     AT(clip),
     .value = 1,
     .help = "clip the predicted x_0 to [-1, 1] at each step"},
    {.name = "no-clip", .type = OPTION_STORE, AT(clip), .value = 0, .help = "do not"},
    {.name = "raw", .type = OPTION_FLAG, AT(raw), .help = "the raw weights instead of their EMA"},
    {.name = "batch",
     .letter = 'b',
     .argument = "N",
     .type = OPTION_INT,
     AT(batch),
     .min = 1,
     .max = 1 << 16,
     .help = "images denoised at once"},
    {.name = "threads",
     .letter = 't',
     .argument = "N",
     .type = OPTION_INT,
     AT(threads),
     .min = 1,
     .max = 1024,
     .help = "threads (default: OMP_NUM_THREADS, or all cores)"},
    {.name = "quiet", .letter = 'q', .type = OPTION_FLAG, AT(quiet), .help = "no progress"},
};

const OptionTable sample_options_table = {
    .name = "sample",
    .summary = "draw images from a model",
    .options = options,
    .count = sizeof options / sizeof *options,
    .notes = "A model with classes draws image i, counted from 0, of class i modulo their\n"
             "number; a .npz has these labels too, as arr_1 (int64, N), beside the images as\n"
             "arr_0. It can be trained on: data.format=npy, data.labels=true.",
};

bool sample_options_parse(SampleOptions *o, bool *help, int argc, char **argv, Err *err)
{
    *o = (SampleOptions){.sampler = -1, .variance = -1, .clip = -1};
    if (!options_parse(o, help, &sample_options_table, argc, argv, err) || *help) return *help;
    if (!o->output) return err_set(err, ERR_USAGE, "--output OUT is needed, such as -o grid.png");
    return true;
}
