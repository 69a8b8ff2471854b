/*
 * ddpm info: what a config, a run, a checkpoint or a diffusers folder holds.
 */
#include "base/file.h"
#include "cmd/command.h"
#include "cmd/describe.h"
#include "train/source.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct {
    const char *path;
    bool resolved;
} InfoOptions;

static const Option options[] = {
    {.name = "resolved",
     .letter = 'r',
     .type = OPTION_FLAG,
     .offset = offsetof(InfoOptions, resolved),
     .help = "print the configuration alone, defaults filled in: a config again"},
};

const OptionTable info_options_table = {
    .name = "info",
    .summary = "what a config, a run, a checkpoint or a diffusers folder holds",
    .operand = "PATH",
    .operand_offset = offsetof(InfoOptions, path),
    .options = options,
    .count = sizeof options / sizeof *options,
};

static bool print_config(const Config *config, Err *err)
{
    char *text;
    Json *json = config_write(config);
    bool good = json_print(&text, json, JSON_INDENTED, err);
    json_free(json);
    if (!good) return false;
    puts(text);
    free(text);
    return true;
}

/* Networks of others may have what ours may not (`strict`, model/config.h). */
static bool print_network(const Config *config, bool strict, Err *err)
{
    Unet *unet = unet_new(&config->model, strict, err);
    if (!unet) return false;
    describe_network(stdout, unet);
    putchar('\n');
    describe_blocks(stdout, unet);
    putchar('\n');
    unet_free(unet);
    return true;
}

static bool print_file(const InfoOptions *o, Err *err)
{
    char path[FILE_PATH];
    Config config;
    if (!config_find(path, sizeof path, o->path, err) || !config_read(&config, path, err) ||
        !config_check(&config, err))
        return false;
    if (o->resolved) return print_config(&config, err);
    printf("%s: a config\n", path);
    return print_network(&config, true, err) && print_config(&config, err);
}

static bool print_folder(const InfoOptions *o, Err *err)
{
    Source source;
    if (!source_open(&source, o->path, err)) return false;
    if (o->resolved) return print_config(&source.config, err);
    bool ours = source.kind == SOURCE_CHECKPOINT;
    if (ours)
        printf("%s: a checkpoint, step %" PRIu64 " of %d\n", source.folder, source.step,
               source.config.train.steps);
    else
        printf("%s: a diffusers folder\n", source.folder);
    return print_network(&source.config, ours, err) && print_config(&source.config, err);
}

int cmd_info(int argc, char **argv)
{
    InfoOptions o = {0};
    bool help;
    Err err;
    if (!options_parse(&o, &help, &info_options_table, argc, argv, &err))
        return command_fail("info", &err);
    if (help)
        options_help(stdout, &info_options_table);
    else if (!(file_is_folder(o.path) ? print_folder(&o, &err) : print_file(&o, &err)))
        return command_fail("info", &err);
    return command_finish("info");
}
