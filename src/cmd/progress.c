/*
 * The rate is the mean since the start: it counts the grids and checkpoints on the way, so that the
 * time left does too.
 */
#include "cmd/progress.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------- formatting --
 */

/* "3 min 20 s"; the second part only where it is not 0. */
static void two_units(char *out, size_t size, long long count, int per, const char *large,
                      const char *small)
{
    long long whole = count / per, rest = count % per;
    const char *plural = whole != 1 && strcmp(large, "day") == 0 ? "s" : "";
    if (rest)
        snprintf(out, size, "%lld %s%s %lld %s", whole, large, plural, rest, small);
    else
        snprintf(out, size, "%lld %s%s", whole, large, plural);
}

void progress_duration(char *out, size_t size, double seconds)
{
    const double minute = 60, hour = 3600, day = 86400, year = 365.25 * day;
    if (!isfinite(seconds) || seconds < 0)
        snprintf(out, size, "an unknown time");
    else if (seconds < 9.95)
        snprintf(out, size, "%.1f s", seconds);
    else if (seconds < minute - 0.5)
        snprintf(out, size, "%.0f s", seconds);
    else if (seconds < 10 * minute)
        two_units(out, size, llround(seconds), 60, "min", "s");
    else if (seconds < hour - minute / 2)
        snprintf(out, size, "%.0f min", seconds / minute);
    else if (seconds < 2 * day)
        two_units(out, size, llround(seconds / minute), 60, "h", "min");
    else if (seconds < 10 * day)
        two_units(out, size, llround(seconds / hour), 24, "day", "h");
    else if (seconds < 2 * year)
        snprintf(out, size, "%.0f days", seconds / day);
    else
        snprintf(out, size, "%.1f years", seconds / year);
}

/* "3.4 steps/s", or where that is below 1, "4.2 s a step" (the unit without its plural s). */
static void format_rate(char *out, size_t size, const ProgressState *s)
{
    double rate = (double)(s->done - s->first) / s->seconds;
    if (rate >= 1)
        snprintf(out, size, "%.*f %s/s", rate < 100 ? 1 : 0, rate, s->unit);
    else
        snprintf(out, size, "%.1f s a %.*s", 1 / rate, (int)strlen(s->unit) - 1, s->unit);
}

/* The parts after the count: text, rate, time left, or the time taken at the end. */
static void format_tail(char *out, size_t size, const ProgressState *s, const char *separator)
{
    char rate[64], time[64];
    int used = snprintf(out, size, "%s%s", s->text[0] ? separator : "", s->text);
    if (s->done <= s->first || s->seconds <= 0 || (size_t)used >= size) return;
    bool ended = s->done >= s->total;
    double left = s->seconds / (double)(s->done - s->first) * (double)(s->total - s->done);
    progress_duration(time, sizeof time, ended ? s->seconds : left);
    format_rate(rate, sizeof rate, s);
    snprintf(out + used, size - (size_t)used, "%s%s%s%s%s", separator, rate, separator,
             ended ? "in " : time, ended ? time : " left");
}

/* " [====>    ]", `width` characters between the brackets. */
static void format_bar(char *out, size_t size, const ProgressState *s, int width, bool colour)
{
    char bar[PROGRESS_MAX_COLUMNS];
    int filled = s->total > 0 ? (int)((double)width * (double)s->done / (double)s->total) : width;
    if (filled > width) filled = width;
    if (filled < 0) filled = 0;
    memset(bar, '=', (size_t)filled);
    if (filled > 0 && filled < width) bar[filled - 1] = '>';
    bar[filled] = 0;
    colour = colour && filled > 0;
    snprintf(out, size, " [%s%s%s%*s]", colour ? "\033[36m" : "", bar, colour ? "\033[0m" : "",
             width - filled, "");
}

void progress_format_bar(char *out, size_t size, const ProgressState *s, int columns, bool colour)
{
    char count[96], tail[256], bar[PROGRESS_MAX_COLUMNS + 32] = "";
    if (columns > PROGRESS_MAX_COLUMNS) columns = PROGRESS_MAX_COLUMNS;
    /* padded, so that the bar keeps its width */
    int digits = snprintf(count, sizeof count, "%ld", s->total);
    snprintf(count, sizeof count, " %*ld/%ld %s", digits, s->done, s->total, s->unit);
    format_tail(tail, sizeof tail, s, "  ");
    int room = columns - (int)(strlen(s->verb) + strlen(count) + strlen(tail) + strlen(" []"));
    if (room > 40) room = 40;
    if (room < 5) /* no room for a bar: what fits of the rest */
        snprintf(out, (size_t)columns < size ? (size_t)columns + 1 : size, "%s%s%s", s->verb, count,
                 tail);
    else {
        format_bar(bar, sizeof bar, s, room, colour);
        snprintf(out, size, "%s%s%s%s", s->verb, bar, count, tail);
    }
}

void progress_format_line(char *out, size_t size, const ProgressState *s)
{
    char tail[256];
    format_tail(tail, sizeof tail, s, ", ");
    snprintf(out, size, "%s: %ld/%ld %s%s", s->verb, s->done, s->total, s->unit, tail);
}

bool progress_due(ProgressStyle style, bool shown, bool ends, double seconds)
{
    if (style == PROGRESS_NONE) return false;
    return !shown || ends || seconds >= (style == PROGRESS_BAR ? 0.1 : 10);
}

/* ------------------------------------------------------------------------------------- output --
 */

static int terminal_columns(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return 80;
    return window.ws_col;
}

static ProgressStyle style_of_stderr(bool quiet)
{
    const char *term = getenv("TERM");
    if (quiet) return PROGRESS_NONE;
    bool dumb = term && strcmp(term, "dumb") == 0;
    return isatty(STDERR_FILENO) && !dumb ? PROGRESS_BAR : PROGRESS_LINES;
}

void progress_init(Progress *p, const char *verb, const char *unit, long first, long total,
                   bool quiet)
{
    const char *no_colour = getenv("NO_COLOR");
    bool colour = !no_colour || !*no_colour; /* before the next getenv(), which may reuse it */
    *p = (Progress){
        .state = {.verb = verb, .unit = unit, .first = first, .done = first, .total = total},
        .style = style_of_stderr(quiet),
        .colour = colour,
        .start = clock_seconds(),
        .last_done = -1,
    };
}

static void show(const Progress *p)
{
    char line[PROGRESS_MAX_COLUMNS + 128];
    if (p->style == PROGRESS_LINES) {
        progress_format_line(line, sizeof line, &p->state);
        fprintf(stderr, "%s\n", line);
        return;
    }
    /* The last column stays empty: some terminals wrap when it is written. */
    progress_format_bar(line, sizeof line, &p->state, terminal_columns() - 1, p->colour);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

void progress_update(Progress *p, long done, const char *text)
{
    double time = clock_seconds();
    bool ends = done >= p->state.total && p->last_done != done;
    if (!progress_due(p->style, p->shown, ends, time - p->last)) return;
    p->state.done = done;
    p->state.text = text;
    p->state.seconds = time - p->start;
    show(p);
    p->shown = true;
    p->last = time;
    p->last_done = done;
}

void progress_clear(Progress *p)
{
    if (p->style != PROGRESS_BAR || !p->shown) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    p->last = -INFINITY;
}

void progress_release(Progress *p)
{
    progress_clear(p);
    p->style = PROGRESS_NONE;
}

double progress_seconds(const Progress *p)
{
    return clock_seconds() - p->start;
}
