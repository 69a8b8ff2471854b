#include "base/descriptors.h"
#include "base/nearest.h"
#include "base/parallel.h"
#include "cmd/bench_options.h"
#include "cmd/command.h"
#include "cmd/config_help.h"
#include "cmd/eval_options.h"
#include "cmd/sample_options.h"
#include "cmd/schedule_options.h"
#include "cmd/train_options.h"

#include <string.h>

static const Command commands[] = {
    {&train_options_table, cmd_train},       {&sample_options_table, cmd_sample},
    {&eval_options_table, cmd_eval},         {&info_options_table, cmd_info},
    {&schedule_options_table, cmd_schedule}, {&bench_options_table, cmd_bench},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static int usage(FILE *to)
{
    fprintf(to, "ddpm: train denoising diffusion models of images on a CPU, and sample them\n\n"
                "Usage: ddpm COMMAND [OPTION]...\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i].table->name, commands[i].table->summary);
    fprintf(to, "\n`ddpm COMMAND --help` lists its options, `ddpm help config` the keys of a\n"
                "config, `ddpm --version` prints the version.\n");
    return to == stdout ? command_finish("help") : (int)ERR_USAGE;
}

static const Command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].table->name, name) == 0) return &commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    Nearest best = {0};
    for (int i = 0; i < COMMANDS; i++) nearest_try(&best, name, commands[i].table->name);
    fprintf(stderr, "ddpm: there is no command %s; ", name);
    if (best.name)
        fprintf(stderr, "did you mean %s?\n", best.name);
    else
        fprintf(stderr, "`ddpm --help` lists them\n");
    return ERR_USAGE;
}

static int help(int argc, char **argv)
{
    Err err;
    if (argc < 2) return usage(stdout);
    if (strcmp(argv[1], "config") == 0)
        return config_help(stdout, &err) ? command_finish("help") : command_fail("help", &err);
    const Command *command = find(argv[1]);
    if (!command) return unknown(argv[1]);
    options_help(stdout, command->table);
    return command_finish("help");
}

int main(int argc, char **argv)
{
    if (!descriptors_occupy()) return ERR_FAILED; /* there is nowhere to say so */
    parallel_wait_briefly(argv);
    parallel_setup(0);
    if (argc < 2) return usage(stderr);
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return usage(stdout);
    if (strcmp(name, "help") == 0) return help(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0) {
        printf("ddpm %s\n", DDPM_VERSION);
        return command_finish("--version");
    }
    const Command *command = find(name);
    return command ? command->run(argc - 1, argv + 1) : unknown(name);
}
