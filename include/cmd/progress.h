/*
 * Progress on stderr: a bar with rate and time left if it is a terminal, plain lines if it is not,
 * nothing with --quiet. What is shown is made by pure functions of the state.
 */
#ifndef DDPM_CMD_PROGRESS_H
#define DDPM_CMD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

enum { PROGRESS_MAX_COLUMNS = 512 };

/* What there is to show. */
typedef struct {
    const char *verb; /* "train" */
    const char *unit; /* "steps": of done and total */
    long done, total;
    long first;       /* `done` at the start: more than 0 when a run is resumed */
    double seconds;   /* since the start */
    const char *text; /* more to show, such as the loss, or "" */
} ProgressState;

/* A duration as people say it: "0.4 s", "45 s", "3 min 20 s", "2 h 5 min", "3 days 4 h", "41 days",
 * "3.2 years". Not finite or negative: "an unknown time". */
void progress_duration(char *out, size_t size, double seconds);

/* One line in at most `columns` bytes (escape sequences not counted), without a newline:
 *     train [======>      ] 1234/5000 steps  loss 0.051  3.4 steps/s  18 min left
 * What does not fit is left out: the bar first, then the text's end. `colour` wraps the bar's done
 * part in an escape sequence. */
void progress_format_bar(char *out, size_t size, const ProgressState *state, int columns,
                         bool colour);

/* The same as a line of a log: "train: 1234/5000 steps, loss 0.051, 3.4 steps/s, 18 min left". */
void progress_format_line(char *out, size_t size, const ProgressState *state);

typedef enum { PROGRESS_NONE, PROGRESS_LINES, PROGRESS_BAR } ProgressStyle;

/* Whether a state is to be shown that comes `seconds` after the last that was shown: always the
 * first (`shown` false) and the last (`ends`), between them each 10 s as lines and each 0.1 s as a
 * bar. */
bool progress_due(ProgressStyle style, bool shown, bool ends, double seconds);

typedef struct {
    ProgressState state;
    ProgressStyle style;
    bool colour, shown;
    double start, last; /* seconds of the monotonic clock; `last`: when something was shown */
    long last_done;     /* what was shown then */
} Progress;

/* verb and unit must stay. A bar if stderr is a terminal (TERM=dumb is none), in colour unless
 * NO_COLOR is set. */
void progress_init(Progress *progress, const char *verb, const char *unit, long first, long total,
                   bool quiet);

/* Show, if it is due, that `done` is done. */
void progress_update(Progress *progress, long done, const char *text);

/* Take the bar away, so that a message can be printed; the next update draws it again. */
void progress_clear(Progress *progress);

/* Clear the bar for good. */
void progress_release(Progress *progress);

/* Seconds since progress_init. */
double progress_seconds(const Progress *progress);

#endif
