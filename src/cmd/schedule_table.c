/*
 * The columns are listed once, for all three forms.
 */
#include "cmd/schedule_table.h"

#include "cmd/describe.h"

#include <string.h>

enum { COLUMNS = 6, ROWS = 20, FEW = 25 };

typedef struct {
    const char *name;
    const double *values; /* [T] */
} Column;

static void columns_of(Column out[COLUMNS], const Schedule *s)
{
    const Column all[COLUMNS] = {
        {"beta", s->beta},       {"alpha_bar", s->alpha_bar},
        {"snr", s->snr},         {"posterior_variance", s->posterior_variance},
        {"coef_x0", s->coef_x0}, {"coef_xt", s->coef_xt},
    };
    for (int c = 0; c < COLUMNS; c++) out[c] = all[c];
}

void schedule_table_title(char out[SCHEDULE_TITLE], const ScheduleTable *t)
{
    char origin[SCHEDULE_ORIGIN];
    schedule_origin(origin, t->diffusion);
    int used = snprintf(out, SCHEDULE_TITLE, "%s, T = %d", origin, t->diffusion->timesteps);
    if (t->respaced)
        snprintf(out + used, SCHEDULE_TITLE - (size_t)used, ", %d step%s by %s", t->chain->T,
                 t->chain->T > 1 ? "s" : "", spacing_names[t->spacing]);
}

/* ---- for people ---- */

/* A name may be wider than the numbers below it. */
static int width_of(const Column *column)
{
    int letters = (int)strlen(column->name);
    return letters > 11 ? letters : 11;
}

static void print_row(FILE *to, const ScheduleTable *t, const Column *columns, int i)
{
    fprintf(to, "%7d", t->chain->timestep[i]);
    for (int c = 0; c < COLUMNS; c++)
        fprintf(to, "  %*.5g", width_of(&columns[c]), columns[c].values[i]);
    fputc('\n', to);
}

void schedule_table_text(FILE *to, const ScheduleTable *t, bool all)
{
    char title[SCHEDULE_TITLE], rows[DESCRIBE_NUMBER];
    Column columns[COLUMNS];
    int n = t->chain->T, last = -1;
    columns_of(columns, t->chain);
    schedule_table_title(title, t);
    fprintf(to, "%s: %s\n\n%7s", t->config, title, "t");
    for (int c = 0; c < COLUMNS; c++) fprintf(to, "  %*s", width_of(&columns[c]), columns[c].name);
    fputc('\n', to);
    bool selects = !all && n > FEW;
    for (int k = 0; k <= (selects ? ROWS : n - 1); k++) {
        /* the first, then those that end each twentieth of the chain */
        int i = !selects ? k : k == 0 ? 0 : (int)((2 * (int64_t)k * n + ROWS) / (2 * ROWS)) - 1;
        if (i != last) print_row(to, t, columns, i);
        last = i;
    }
    if (selects)
        fprintf(to, "\n%d of %s rows; --all prints every one\n", ROWS + 1,
                describe_count(rows, (uint64_t)n));
}

/* ---- for programs ---- */

void schedule_table_csv(FILE *to, const ScheduleTable *t)
{
    Column columns[COLUMNS];
    columns_of(columns, t->chain);
    fputs("t", to);
    for (int c = 0; c < COLUMNS; c++) fprintf(to, ",%s", columns[c].name);
    for (int i = 0; i < t->chain->T; i++) {
        fprintf(to, "\n%d", t->chain->timestep[i]);
        for (int c = 0; c < COLUMNS; c++) fprintf(to, ",%.17g", columns[c].values[i]);
    }
    fputc('\n', to);
}

Json *schedule_table_json(const ScheduleTable *t)
{
    const DiffusionConfig *d = t->diffusion;
    Json *json = json_new_object(), *timesteps = json_new_list();
    Column columns[COLUMNS];
    json_set_string(json, "config", t->config);
    json_set_string(json, "schedule", d->betas_count > 0 ? "betas" : schedule_names[d->schedule]);
    json_set_bool(json, "zero_terminal_snr", d->zero_terminal_snr);
    json_set_number(json, "timesteps", d->timesteps);
    json_set_number(json, "steps", t->chain->T);
    if (t->respaced)
        json_set_string(json, "spacing", spacing_names[t->spacing]);
    else
        json_set_null(json, "spacing");
    for (int i = 0; i < t->chain->T; i++) json_add_number(timesteps, t->chain->timestep[i]);
    json_set(json, "t", timesteps);
    columns_of(columns, t->chain);
    for (int c = 0; c < COLUMNS; c++) {
        Json *list = json_new_list();
        for (int i = 0; i < t->chain->T; i++) json_add_number(list, columns[c].values[i]);
        json_set(json, columns[c].name, list);
    }
    return json;
}
