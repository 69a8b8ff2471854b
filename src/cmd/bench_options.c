#include "cmd/bench_options.h"

#include "train/bench.h"

#define AT(field) .offset = offsetof(BenchOptions, field)

static const Option options[] = {
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
    {.name = "layers",
     .letter = 'l',
     .type = OPTION_FLAG,
     AT(layers),
     .help = "where the best step's time goes, by block and by kernel, and how near that is to "
             "what this machine can do"},
    {.name = "json", .type = OPTION_FLAG, AT(json), .help = "print one JSON object instead"},
};

const OptionTable bench_options_table = {
    .name = "bench",
    .summary = "time training and sampling of a config's network on this machine",
    .groups = {{config_options, CONFIG_OPTIONS, offsetof(BenchOptions, config)},
               {options, sizeof options / sizeof *options, 0},
               {work_options, WORK_OPTIONS, offsetof(BenchOptions, work)}},
    .notes = "A train step is forward, backward, clip, Adam and EMA; a sample step is one\n"
             "forward pass. The images are made up: no data is read. The best step is\n"
             "printed, and the median. Operations are counted as plain convolutions have\n"
             "them, so that GFLOP/s of faster algorithms can be above what the processor\n"
             "does. Memory is the most that the process ever had: training is measured\n"
             "first, and --only sample is needed to see that of sampling.\n\n"
             "--layers: blocks are timed in the step, kernels alone at the step's shapes,\n"
             "where caches hold other data: what is left (all else) can even be negative.\n"
             "Rates are compared with a product of 1024 x 1024 matrices, or with a copy\n"
             "between arrays that no cache holds; data in caches can be moved faster.",
};

bool bench_options_parse(BenchOptions *o, bool *help, int argc, char **argv, Err *err)
{
    *o = (BenchOptions){.repeat = 5, .only = -1};
    if (!options_parse(o, help, &bench_options_table, argc, argv, err)) return false;
    if (*help || o->config.name) return true;
    return err_set(err, ERR_USAGE, "--config FILE is needed, such as --config cifar.json");
}
