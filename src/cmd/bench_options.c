#include "cmd/bench_options.h"

#include "train/bench.h"

#define AT(field) .offset = offsetof(BenchOptions, field)

static const Option options[] = {
    {.name = "config",
     .letter = 'c',
     .argument = "FILE",
     .type = OPTION_TEXT,
     AT(config),
     .help = "whose network; a bare name is looked for here, in configs/ and in the installed "
             "configs"},
    {.name = "set",
     .letter = 's',
     .argument = "KEY=VALUE",
     .type = OPTION_LIST,
     AT(set),
     .help = "override a key of the config; may be repeated"},
    {.name = "batch",
     .letter = 'b',
     .argument = "N",
     .type = OPTION_INT,
     AT(batch),
     .min = 1,
     .max = 1 << 20,
     .help = "images of a step, all at once (default: train.batch_size, in micro-batches of "
             "train.micro_batch, one of which is what a sample step is of)"},
    {.name = "repeat",
     .letter = 'r',
     .argument = "K",
     .type = OPTION_INT,
     AT(repeat),
     .min = 1,
     .max = 100000,
     .help = "steps that are timed, after one more that warms up (default 5)"},
    {.name = "only",
     .argument = "KIND",
     .type = OPTION_CHOICE,
     AT(only),
     .names = bench_names,
     .help = "train or sample (default: both)"},
    {.name = "threads",
     .letter = 't',
     .argument = "N",
     .type = OPTION_INT,
     AT(threads),
     .min = 1,
     .max = 1024,
     .help = "threads (default: OMP_NUM_THREADS, or all cores)"},
    {.name = "layers",
     .letter = 'l',
     .type = OPTION_FLAG,
     AT(layers),
     .help = "where the best step's time goes, by block and by kernel, and how near that is to "
             "what this machine can do"},
    {.name = "json", .type = OPTION_FLAG, AT(json), .help = "print one JSON object instead"},
    {.name = "quiet", .letter = 'q', .type = OPTION_FLAG, AT(quiet), .help = "no progress"},
};

const OptionTable bench_options_table = {
    .name = "bench",
    .summary = "time training and sampling of a config's network on this machine",
    .options = options,
    .count = sizeof options / sizeof *options,
    .notes = "A train step is forward, backward, clip, Adam and EMA; a sample step is one forward\n"
             "pass. The images are made up: no data is read. The best step is printed, and the\n"
             "median. Operations are counted as plain convolutions have them, so that GFLOP/s of\n"
             "faster algorithms can be above what the processor does. Memory is the most that the\n"
             "process ever had: training is measured first, and --only sample is needed to see\n"
             "that of sampling.\n\n"
             "--layers: blocks are timed in the step, kernels alone at the step's shapes, where\n"
             "caches hold other data: what is left (all else) can even be negative. Rates are\n"
             "compared with a product of 1024 x 1024 matrices, or with a copy between arrays\n"
             "that no cache holds; data in caches can be moved faster than that.",
};

bool bench_options_parse(BenchOptions *o, bool *help, int argc, char **argv, Err *err)
{
    *o = (BenchOptions){.repeat = 5, .only = -1};
    if (!options_parse(o, help, &bench_options_table, argc, argv, err)) return false;
    if (*help || o->config) return true;
    return err_set(err, ERR_USAGE, "--config FILE is needed, such as --config cifar.json");
}
