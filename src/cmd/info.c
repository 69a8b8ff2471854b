/*
 * ddpm info: what a config, a run, a checkpoint, a diffusers folder or an image of ours holds.
 */
#include "base/file.h"
#include "base/utf8.h"
#include "cmd/command.h"
#include "cmd/describe.h"
#include "data/png.h"
#include "train/ema.h"
#include "train/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    .summary = "what a config, a model's folder or an image that ddpm drew holds",
    .operand = "PATH",
    .operand_offset = offsetof(InfoOptions, path),
    .groups = {{options, sizeof options / sizeof *options, 0}},
};

static bool print_config(const Config *config, Err *err)
{
    Json *json = config_write(config);
    bool good = command_print_json(json, err);
    json_free(json);
    return good;
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

/* Texts come from strangers. */
static void print_text(PngText text)
{
    char line[1024];
    snprintf(line, sizeof line, "%-18s  %s", text.key, text.value);
    utf8_make_plain(line);
    puts(line);
}

static bool print_image(const InfoOptions *o, Err *err)
{
    PngInfo info;
    if (o->resolved)
        return err_set(err, ERR_USAGE, "%s: --resolved is for configs and models, not for images",
                       o->path);
    if (!png_info_read(&info, o->path, err)) return false;
    printf("%s: an image of %" PRIu32 " x %" PRIu32 " pixels%s\n", o->path, info.height, info.width,
           info.count > 0 ? "" : ", which does not say how it was made");
    for (int i = 0; i < info.count; i++) print_text(info.texts[i]);
    png_info_release(&info);
    return true;
}

/* What config_find says of a name without a folder is where it looked. */
static bool no_such_path(const char *path, Err *err)
{
    Err looked = *err;
    if (strchr(path, '/')) err_set(&looked, ERR_USAGE, "%s: there is no such file or folder", path);
    return err_set(err, ERR_USAGE,
                   "%s; info takes a config, a PNG, or the folder of a run, a checkpoint or a "
                   "diffusers model",
                   looked.text);
}

/* Whether the file is not a config but one of those that a model's folder is made of. */
static bool is_part_of_model(const char *path)
{
    const char *ending = strrchr(path, '.');
    Json *json;
    Err ignored;
    if (ending && strcmp(ending, ".safetensors") == 0) return true;
    if (!json_read(&json, path, &ignored)) return false;
    bool object = json_type(json) == JSON_OBJECT;
    bool diffusers = object && json_get(json, "_class_name");
    bool checkpoint = object && json_get(json, "step") && json_get(json, "config");
    json_free(json);
    return diffusers || checkpoint;
}

static bool name_the_folder(const char *path, Err *err)
{
    char folder[FILE_PATH];
    source_folder_of(folder, path);
    return err_set(err, ERR_USAGE, "%s: the file is a part of a model; name the folder, %s", path,
                   folder);
}

static bool read_config(Config *config, const char *path, Err *err)
{
    return config_read(config, path, err) && config_check(config, err);
}

static bool print_file(const InfoOptions *o, Err *err)
{
    char path[FILE_PATH];
    Config config;
    if (!config_find(path, sizeof path, o->path, err)) return no_such_path(o->path, err);
    if (is_part_of_model(path)) return name_the_folder(path, err);
    if (!read_config(&config, path, err)) return false;
    if (o->resolved) return print_config(&config, err);
    printf("%s: a config\n", path);
    return print_network(&config, true, err) && print_config(&config, err);
}

static bool print_run(const InfoOptions *o, Err *err)
{
    char path[FILE_PATH];
    Config config;
    if (!file_path(path, err, "%s/config.json", o->path) || !read_config(&config, path, err))
        return false;
    if (o->resolved) return print_config(&config, err);
    printf("%s: a run without a checkpoint\n", o->path);
    return print_network(&config, true, err) && print_config(&config, err);
}

static void print_checkpoint(const Source *s)
{
    const TrainConfig *c = &s->config.train;
    char text[160];
    printf("%s: a checkpoint, step %" PRIu64 " of %d\n", s->folder, s->step, c->steps);
    printf("averages of the weights: ");
    for (int i = 0; i < c->emas; i++)
        printf("%s%s%s", i > 0 ? ", " : "", ema_rate_text(text, c->ema_decay[i]),
               i > 0 || c->emas == 1 ? "" : " (unet/)");
    putchar('\n');
    for (int i = 0; i < c->emas; i++)
        if (ema_is_early(text, sizeof text, c->ema_decay[i], c->ema_warmup, s->updates))
            printf("%s\n", text);
}

static bool print_model(const InfoOptions *o, Err *err)
{
    Source source;
    if (!source_open(&source, o->path, err)) return false;
    describe_assumed("info", &source);
    if (o->resolved) return print_config(&source.config, err);
    bool ours = source.kind == SOURCE_CHECKPOINT;
    if (ours)
        print_checkpoint(&source);
    else
        printf("%s: a diffusers folder\n", source.folder);
    return print_network(&source.config, ours, err) && print_config(&source.config, err);
}

static bool is_png(const char *path)
{
    const char *ending = strrchr(path, '.');
    return ending && strcasecmp(ending, ".png") == 0 && file_exists(path);
}

static bool print_what(const InfoOptions *o, Err *err)
{
    if (!file_is_folder(o->path)) return is_png(o->path) ? print_image(o, err) : print_file(o, err);
    char latest[FILE_PATH];
    if (!file_path(latest, err, "%s/checkpoints/latest", o->path)) return false;
    bool begun = source_is_run(o->path) && !file_is_folder(latest);
    return begun ? print_run(o, err) : print_model(o, err);
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
    else if (!print_what(&o, &err))
        return command_fail("info", &err);
    return command_finish("info");
}
