#include "cmd/common_options.h"

#define AT(field) .offset = offsetof(WorkOptions, field)

const Option work_options[WORK_OPTIONS] = {
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

#undef AT
#define AT(field) .offset = offsetof(ConfigOptions, field)

const Option config_options[CONFIG_OPTIONS] = {
    {.name = "config",
     .letter = 'c',
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(name),
     .help = "a config; a bare name is looked for here, in configs/ and in the installed configs"},
    {.name = "set",
     .letter = 's',
     .argument = "KEY=VALUE",
     .type = OPTION_LIST,
     AT(set),
     .help = "override a key of the config, as in train.steps=100; may be repeated; `ddpm help "
             "config` lists the keys"},
};

bool config_options_read(Config *config, char file[FILE_PATH], const ConfigOptions *o, Err *err)
{
    if (o->name && (!config_find(file, FILE_PATH, o->name, err) || !config_read(config, file, err)))
        return false;
    for (size_t i = 0; i < o->set.count; i++)
        if (!config_set(config, o->set.items[i], err)) return false;
    return true;
}

#undef AT
#define AT(field) .offset = offsetof(ModelOptions, field)

const Option model_options[MODEL_OPTIONS] = {
    {.name = "model",
     .letter = 'm',
     .argument = "PATH",
     .type = OPTION_TEXT,
     AT(path),
     .help = "a run, a checkpoint or a diffusers folder (default: the newest run under runs/)"},
    {.name = "ema",
     .argument = "RATE",
     .type = OPTION_NUMBER,
     AT(ema),
     .max = 1,
     .help = "the average of this rate, of the model's train.ema_decay (default: the first)"},
    {.name = "raw", .type = OPTION_FLAG, AT(raw), .help = "the raw weights instead of an average"},
};

bool model_options_check(const ModelOptions *o, Err *err)
{
    if (!o->raw || o->ema < 0) return true;
    return err_set(err, ERR_USAGE,
                   "--raw takes the weights that were trained, --ema %g an average of them; give "
                   "one of them",
                   o->ema);
}

bool model_options_which(int *which, const ModelOptions *o, const Source *source, Err *err)
{
    *which = o->raw ? SOURCE_RAW : SOURCE_FIRST_EMA;
    return o->ema < 0 || source_find_ema(which, source, o->ema, err);
}
