/*
 * ddpm schedule: what a config's forward chain is, before anything is trained with it. The picture
 * comes first: where it cannot be drawn, nothing is printed.
 */
#include "base/file.h"
#include "cmd/command.h"
#include "cmd/schedule_chart.h"
#include "cmd/schedule_options.h"
#include "cmd/schedule_strip.h"
#include "cmd/schedule_table.h"

#include <stdlib.h>

typedef struct {
    ScheduleOptions options;
    char name[FILE_PATH]; /* the config's file name */
    Config config;
    Arena arena;
    Schedule full, respaced;
    ScheduleTable table;
} Show;

/* No data is read, and none has to be named. */
static bool read_config(Show *s, Err *err)
{
    const ScheduleOptions *o = &s->options;
    Config *c = &s->config;
    if (!config_options_read(c, s->name, &o->config, err)) return false;
    c->data.format = DATA_SHAPES;
    if (!config_check(c, err)) return false;
    if (o->steps <= c->diffusion.timesteps) return true;
    return err_set(err, ERR_USAGE, "--steps %d is more than the %d of diffusion.timesteps",
                   o->steps, c->diffusion.timesteps);
}

static bool make_chain(Show *s, Err *err)
{
    int T = s->config.diffusion.timesteps, K = s->options.steps;
    Spacing spacing = s->options.spacing >= 0 ? (Spacing)s->options.spacing : SPACING_LINSPACE;
    size_t bytes = schedule_bytes(T) + schedule_bytes(K) + memory_round((size_t)K * sizeof(int));
    if (!arena_init(&s->arena, bytes, "the chain", err)) return false;
    schedule_init(&s->full, &s->arena, &s->config.diffusion);
    s->table = (ScheduleTable){s->name, &s->config.diffusion, &s->full, K > 0, spacing};
    if (K == 0) return true;
    int *timesteps = arena_take(&s->arena, (size_t)K * sizeof *timesteps);
    int count = schedule_timesteps(timesteps, T, K, spacing);
    schedule_respace(&s->respaced, &s->arena, &s->full, timesteps, count);
    s->table.chain = &s->respaced;
    return true;
}

static bool draw(const Show *s, Err *err)
{
    const ScheduleOptions *o = &s->options;
    char said[STRIP_SAID];
    if (!o->output) return true;
    if (!o->image) {
        if (!schedule_chart_write(o->output, &s->table, err)) return false;
        fprintf(stderr, "wrote %s\n", o->output);
        return true;
    }
    if (!schedule_strip_write(said, o, &s->config, &s->table, err)) return false;
    fprintf(stderr, "wrote %s: x_0, and x_t at %s\n", o->output, said);
    return true;
}

static bool print_json(const ScheduleTable *table, Err *err)
{
    Json *json = schedule_table_json(table);
    bool ok = command_print_json(json, err);
    json_free(json);
    return ok;
}

static bool print_table(const Show *s, Err *err)
{
    if (s->options.json) return print_json(&s->table, err);
    if (s->options.csv)
        schedule_table_csv(stdout, &s->table);
    else
        schedule_table_text(stdout, &s->table, s->options.all);
    return true;
}

int cmd_schedule(int argc, char **argv)
{
    Show s = {0};
    Err err;
    bool help;
    if (!schedule_options_parse(&s.options, &help, argc, argv, &err))
        return command_fail("schedule", &err);
    if (help) {
        options_help(stdout, &schedule_options_table);
        return command_finish("schedule");
    }
    bool ok =
        read_config(&s, &err) && make_chain(&s, &err) && draw(&s, &err) && print_table(&s, &err);
    arena_release(&s.arena);
    return ok ? command_finish("schedule") : command_fail("schedule", &err);
}
