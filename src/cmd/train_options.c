#include "cmd/train_options.h"

#include <limits.h>
#include <math.h>

static const char *const resume_names[] = {"no", "yes", "auto", NULL};

#define AT(field) .offset = offsetof(TrainOptions, field)

static const Option options[] = {
    {.name = "out",
     .letter = 'o',
     .argument = "DIR",
     .type = OPTION_TEXT,
     AT(out),
     .help = "the run's folder (default: runs/ and the config's name)"},
    {.name = "resume",
     .argument = "[=auto]",
     .type = OPTION_CHOICE,
     AT(resume),
     .names = resume_names,
     .value = RESUME_YES,
     .help = "go on from the latest checkpoint of --out, or of the newest run; =auto starts "
             "afresh where there is none"},
    {.name = "overwrite",
     .type = OPTION_FLAG,
     AT(overwrite),
     .help = "replace the run that --out holds; it is kept in .replaced/ until the new one has a "
             "checkpoint"},
    {.name = "init",
     .argument = "PATH",
     .type = OPTION_TEXT,
     AT(init),
     .help = "start from the weights of this run, checkpoint or diffusers folder"},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_WHOLE,
     AT(seed),
     .max = 0x1p53,
     .help = "the same as --set train.seed=N"},
    {.name = "max-seconds",
     .argument = "S",
     .type = OPTION_NUMBER,
     AT(max_seconds),
     .min = 1,
     .max = INFINITY,
     .help = "save a checkpoint and exit with 75 after this time"},
    {.name = "dry-run",
     .letter = 'n',
     .type = OPTION_FLAG,
     AT(dry_run),
     .help = "print parameters, GFLOP an image and memory, do one step, write nothing"},
};

const OptionTable train_options_table = {
    .name = "train",
    .summary = "train a model of images",
    .groups = {{config_options, CONFIG_OPTIONS, offsetof(TrainOptions, config)},
               {options, sizeof options / sizeof *options, 0},
               {work_options, WORK_OPTIONS, offsetof(TrainOptions, work)}},
    .notes = "--resume goes on with the config that the run recorded; where --config is\n"
             "given too, its train and sample keys take effect.\n\n"
             "SIGINT, SIGTERM and SIGHUP save a checkpoint first; a second SIGINT does not\n"
             "wait. SIGUSR1 saves a checkpoint and draws a grid, and training goes on. Exit\n"
             "codes: 0 done, 1 failed, 2 bad usage or config, 3 bad data or checkpoint, 4\n"
             "diverged, 75 out of --max-seconds, 128 + signal.",
};

static bool contradiction(const TrainOptions *o, Err *err)
{
    if (o->resume == RESUME_YES && o->overwrite)
        return err_set(err, ERR_USAGE,
                       "--resume goes on with a run, --overwrite replaces it; "
                       "give one of them");
    if (o->resume == RESUME_YES && o->init)
        return err_set(err, ERR_USAGE,
                       "--resume goes on with the weights of a run, --init starts "
                       "a new one from others; give one of them");
    if (!o->config.name && o->resume != RESUME_YES)
        return err_set(err, ERR_USAGE,
                       "--config FILE is needed, such as --config demo.json, unless --resume goes "
                       "on with a run");
    return true;
}

bool train_options_parse(TrainOptions *o, bool *help, int argc, char **argv, Err *err)
{
    *o = (TrainOptions){.resume = RESUME_NO, .seed = -1};
    if (!options_parse(o, help, &train_options_table, argc, argv, err)) return false;
    return *help || contradiction(o, err);
}
