#include "cmd/schedule_options.h"

#include "data/config.h"
#include "diffusion/config.h"

#include <string.h>
#include <strings.h>

#define AT(field) .offset = offsetof(ScheduleOptions, field)

static const Option options[] = {
    {.name = "steps",
     .letter = 'k',
     .argument = "K",
     .type = OPTION_INT,
     AT(steps),
     .min = 1,
     .max = 1 << 24,
     .help = "the respaced chain that `ddpm sample --steps K` walks (default: all T steps)"},
    {.name = "spacing",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     AT(spacing),
     .names = spacing_names,
     .help = "which K of the T steps: linspace (default), leading, trailing or quadratic"},
    {.name = "all",
     .letter = 'a',
     .type = OPTION_FLAG,
     AT(all),
     .help = "every row; without it, of more than 25 the first and 20 spread evenly up to the "
             "last"},
    {.name = "csv",
     .type = OPTION_FLAG,
     AT(csv),
     .help = "every row as comma-separated values, with all digits of a double"},
    {.name = "json",
     .type = OPTION_FLAG,
     AT(json),
     .help = "one JSON object instead, with a list of every column"},
    {.name = "output",
     .letter = 'o',
     .argument = "X.png",
     .type = OPTION_TEXT,
     AT(output),
     .help = "draw the curves too (by gnuplot), or, with --image, the strip"},
    {.name = "image",
     .argument = "IMAGE",
     .type = OPTION_TEXT,
     AT(image),
     .help = "the forward process on this image: it, and x_t at moments up to T"},
    {.name = "show-steps",
     .argument = "K",
     .type = OPTION_INT,
     AT(moments),
     .min = 1,
     .max = 4096,
     .help = "with --image: moments of the strip, spread evenly over the chain, the last at its "
             "end (default: 10, or as many as there are)"},
    {.name = "seed",
     .argument = "S",
     .type = OPTION_WHOLE,
     AT(seed),
     .max = 0x1p53,
     .help = "with --image: of the noise, the same at all moments, which is where `ddpm sample` "
             "starts its image 0 (default: 0)"},
    {.name = "fit",
     .argument = "HOW",
     .type = OPTION_CHOICE,
     AT(fit),
     .names = &fit_names[FIT_PAD],
     .help = "with --image: how one of another size than the config's becomes that: resize (and "
             "crop to the middle) or pad (with black); default: data.fit, or resize"},
};

const OptionTable schedule_options_table = {
    .name = "schedule",
    .summary = "the forward chain of a config: a table, curves, or a strip",
    .groups = {{config_options, CONFIG_OPTIONS, offsetof(ScheduleOptions, config)},
               {options, sizeof options / sizeof *options, 0}},
    .notes = "Columns: t, from 1 to T; beta, the variance of the noise that step t adds;\n"
             "alpha_bar, the product of 1 - beta up to t; snr = alpha_bar / (1 - alpha_bar);\n"
             "posterior_variance (beta-tilde), and the coefficients of x_0 and x_t in the\n"
             "mean, of q(x_{t-1} | x_t, x_0). With --steps a step leads from one row to the\n"
             "next, and t is the original one, which the network is told. The table goes to\n"
             "standard output, whatever is drawn.",
};

static bool is_png(const char *path)
{
    const char *ending = strrchr(path, '.');
    return ending && strcasecmp(ending, ".png") == 0;
}

/* `option` stands without the image that it is about. */
static bool lacks_image(const char *option, Err *err)
{
    return err_set(err, ERR_USAGE, "--%s is for --image IMAGE, which is not there", option);
}

static bool check_image(const ScheduleOptions *o, Err *err)
{
    if (o->image && !o->output)
        return err_set(err, ERR_USAGE, "--image %s: name the strip, such as -o strip.png",
                       o->image);
    if (o->image) return true;
    if (o->moments > 0) return lacks_image("show-steps", err);
    if (o->seed >= 0) return lacks_image("seed", err);
    return o->fit < 0 || lacks_image("fit", err);
}

static bool check(const ScheduleOptions *o, Err *err)
{
    if (!o->config.name)
        return err_set(err, ERR_USAGE, "--config FILE is needed, such as --config cifar.json");
    if (o->csv && o->json)
        return err_set(err, ERR_USAGE, "--csv and --json do not go together; choose one");
    if (o->spacing >= 0 && o->steps == 0)
        return err_set(err, ERR_USAGE,
                       "--spacing %s says which K of the steps, and --steps K is not there",
                       spacing_names[o->spacing]);
    if (o->output && !is_png(o->output))
        return err_set(err, ERR_USAGE, "--output %s: pictures are PNG files; name a .png",
                       o->output);
    return check_image(o, err);
}

bool schedule_options_parse(ScheduleOptions *o, bool *help, int argc, char **argv, Err *err)
{
    *o = (ScheduleOptions){.spacing = -1, .seed = -1, .fit = -1};
    if (!options_parse(o, help, &schedule_options_table, argc, argv, err)) return false;
    return *help || check(o, err);
}
