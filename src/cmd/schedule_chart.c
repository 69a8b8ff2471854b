/*
 * gnuplot is a program of its own, not a library of ours: it is given one text, commands and data,
 * and what it prints is the picture. No name of a file or config is in that text, so that nothing
 * in a name can be a command.
 */
#include "cmd/schedule_chart.h"

#include "base/child.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/png.h"

#include <stdlib.h>
#include <string.h>

/* More than this many points are more than the picture has columns. */
enum { POINTS = 2000 };

static const char settings[] = "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {\n"
                               "  set terminal pngcairo size 1200,900 noenhanced\n"
                               "} else {\n"
                               "  set terminal png size 1200,900 noenhanced\n"
                               "}\n"
                               "set grid\n"
                               "set xlabel 't'\n"
                               "set format y '%g'\n"
                               "set style data lines\n"
                               "set key noenhanced\n";

static const char curves[] =
    "set title 'alpha-bar: what is left of the variance of x_0'\n"
    "set yrange [0:1]\n"
    "plot $chain using 1:3 linewidth 2 notitle\n"
    "set autoscale y\n"
    "set logscale y\n"
    "set title 'SNR = alpha-bar / (1 - alpha-bar)'\n"
    "plot $chain using 1:4 linewidth 2 notitle\n"
    "set title 'variance of a step'\n"
    "set key bottom right\n"
    "plot $chain using 1:2 linewidth 2 title 'beta', \\\n"
    "     $chain using 1:5 linewidth 2 dashtype 2 title 'beta-tilde (posterior variance)'\n"
    "unset logscale y\n"
    "set yrange [0:*]\n"
    "set title 'mean of q(x_{t-1} | x_t, x_0)'\n"
    "set key center right\n"
    "plot $chain using 1:6 linewidth 2 title 'coefficient of x_0', \\\n"
    "     $chain using 1:7 linewidth 2 title 'coefficient of x_t'\n"
    "unset multiplot\n";

static void write_point(FILE *to, const Schedule *s, int i)
{
    fprintf(to, "%d %.9g %.9g %.9g %.9g %.9g %.9g\n", s->timestep[i], s->beta[i], s->alpha_bar[i],
            s->snr[i], s->posterior_variance[i], s->coef_x0[i], s->coef_xt[i]);
}

static void write_script(FILE *to, const ScheduleTable *t)
{
    char title[SCHEDULE_TITLE];
    int n = t->chain->T, points = n < POINTS ? n : POINTS;
    schedule_table_title(title, t);
    fprintf(to, "%s$chain << end\n", settings);
    for (int k = 0; k < points; k++)
        write_point(to, t->chain, (int)((int64_t)k * (n - 1) / (points - 1)));
    fprintf(to, "end\nset multiplot layout 2,2 title '%s'\n", title);
    fputs(curves, to);
}

static bool make_script(char **text, size_t *size, const ScheduleTable *t, Err *err)
{
    *size = 0;
    FILE *to = open_memstream(text, size);
    if (to) {
        write_script(to, t);
        bool whole = !ferror(to);
        if (fclose(to) == 0 && whole && *text) return true; /* as json_print() */
        free(*text);
    }
    return memory_refused(2 * *size + BUFSIZ, "the script of the curves", err);
}

/* What gnuplot prints, when it is a picture, with the words that say of what. */
static bool add_texts(uint8_t **out, size_t *out_size, const uint8_t *png, size_t size,
                      const ScheduleTable *t, Err *err)
{
    char title[SCHEDULE_TITLE];
    const PngText texts[] = {{"Software", "ddpm " DDPM_VERSION ", gnuplot"}, {"Schedule", title}};
    schedule_table_title(title, t);
    if (!png_is_whole(png, size))
        return err_set(err, ERR_FAILED,
                       "gnuplot drew no PNG; can it? (echo 'set terminal png' | gnuplot)");
    *out = png_add_texts(out_size, png, size, texts, sizeof texts / sizeof *texts);
    return *out || memory_refused(*out_size, "the picture of the curves", err);
}

bool schedule_chart_write(const char *path, const ScheduleTable *t, Err *err)
{
    const char *const gnuplot[] = {"gnuplot", "-d", NULL}; /* whatever the user's settings */
    const char remedy[] = "it draws the curves; apt-get install gnuplot-nox (elsewhere: gnuplot) "
                          "gets it, and --csv prints the numbers without it";
    char *script;
    uint8_t *drawn = NULL, *png = NULL;
    size_t size, drawn_size, png_size;
    if (t->chain->T < 2)
        return err_set(err, ERR_USAGE, "--output %s: a chain of one step has no curves", path);
    if (!make_script(&script, &size, t, err)) return false;
    bool ok = child_run(&drawn, &drawn_size, gnuplot, script, size, remedy, err) &&
              add_texts(&png, &png_size, drawn, drawn_size, t, err) &&
              file_write_whole(path, png, png_size, err);
    free(script);
    free(drawn);
    free(png);
    return ok;
}
