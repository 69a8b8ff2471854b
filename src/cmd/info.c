/*
 * ddpm info: what a config holds, every key resolved.
 */
#include "base/file.h"
#include "cmd/command.h"
#include "train/config.h"

#include <stdlib.h>

typedef struct {
    const char *path;
} InfoOptions;

const OptionTable info_options_table = {
    .name = "info",
    .summary = "what a config holds, its defaults filled in",
    .operand = "PATH",
    .operand_offset = offsetof(InfoOptions, path),
};

static bool print_config(const char *name, Err *err)
{
    char path[FILE_PATH], *text;
    Config config;
    if (!config_find(path, sizeof path, name, err) || !config_read(&config, path, err) ||
        !config_check(&config, err))
        return false;
    Json *json = config_write(&config);
    bool good = json_print(&text, json, JSON_INDENTED, err);
    json_free(json);
    if (!good) return false;
    puts(text);
    free(text);
    return true;
}

int cmd_info(int argc, char **argv)
{
    InfoOptions options = {0};
    bool help;
    Err err;
    if (!options_parse(&options, &help, &info_options_table, argc, argv, &err))
        return command_fail("info", &err);
    if (help)
        options_help(stdout, &info_options_table);
    else if (!print_config(options.path, &err))
        return command_fail("info", &err);
    return command_finish("info");
}
