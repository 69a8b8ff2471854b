#include "train/metrics.h"

#include "base/json.h"
#include "train/ema.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 30 };

/* ---- the lines of before ---- */

typedef enum { LINE_EARLIER, LINE_LATER, LINE_UNREADABLE } LineKind;

/* False with an error only where there was no memory to look. */
static bool line_kind(LineKind *kind, const char *line, size_t length, uint64_t step, Err *err)
{
    Json *json;
    uint64_t at;
    *kind = LINE_UNREADABLE;
    if (!json_parse(&json, line, length, "metrics.jsonl", err)) return err->kind != ERR_FAILED;
    const Json *value = json_type(json) == JSON_OBJECT ? json_get(json, "step") : NULL;
    if (value && json_type(value) == JSON_NUMBER && json_whole(&at, value, (uint64_t)1 << 53))
        *kind = at <= step ? LINE_EARLIER : LINE_LATER;
    json_free(json);
    return true;
}

/* The lines of a file, each with its newline; what is behind the last newline was torn. */
typedef struct {
    char *text; /* the kept ones are moved to its beginning */
    size_t size, kept;
    size_t earlier; /* where the last line of an earlier step ends */
    int unreadable, dropped;
    uint64_t first_unreadable, first_dropped; /* counted from 1 */
} Lines;

static size_t line_end(const Lines *lines, size_t start)
{
    const char *end =
        start < lines->size ? memchr(lines->text + start, '\n', lines->size - start) : NULL;
    return end ? (size_t)(end - lines->text) + 1 : 0;
}

static bool find_earlier(Lines *lines, uint64_t step, Err *err)
{
    LineKind kind;
    for (size_t at = 0, end; (end = line_end(lines, at)) > 0; at = end) {
        if (!line_kind(&kind, lines->text + at, end - 1 - at, step, err)) return false;
        if (kind == LINE_EARLIER) lines->earlier = end;
    }
    return true;
}

static void count(int *lines, uint64_t *first, uint64_t number)
{
    if ((*lines)++ == 0) *first = number;
}

/* A damaged digit can make a step later or earlier: no line but the damaged one may be lost by it.
 * So lines go one by one, and the end of those to keep is known before the first of them goes. */
static bool drop_later(Lines *lines, uint64_t step, Err *err)
{
    uint64_t number = 1;
    for (size_t at = 0, end; (end = line_end(lines, at)) > 0; at = end, number++) {
        LineKind kind;
        if (!line_kind(&kind, lines->text + at, end - 1 - at, step, err)) return false;
        if (kind == LINE_LATER && at >= lines->earlier) break;
        if (kind == LINE_LATER) {
            count(&lines->dropped, &lines->first_dropped, number);
            continue;
        }
        if (kind == LINE_UNREADABLE) count(&lines->unreadable, &lines->first_unreadable, number);
        memmove(lines->text + lines->kept, lines->text + at, end - at);
        lines->kept += end - at;
    }
    return true;
}

enum { SOME_LINES = 128 };

/* "; line 7 and 2 more WHAT", or nothing. */
static const char *some_lines(char out[SOME_LINES], int count, uint64_t first, const char *what)
{
    char others[32] = "";
    if (count > 1) snprintf(others, sizeof others, " and %d more", count - 1);
    out[0] = '\0';
    if (count > 0) snprintf(out, SOME_LINES, "; line %" PRIu64 "%s %s", first, others, what);
    return out;
}

static void note_damage(Metrics *m, const char *path, const Lines *lines)
{
    char stay[SOME_LINES], go[SOME_LINES];
    if (lines->unreadable + lines->dropped == 0) return;
    some_lines(stay, lines->unreadable, lines->first_unreadable,
               "(no object with a step) left as it is");
    some_lines(go, lines->dropped, lines->first_dropped,
               "(of a later step than lines behind it) dropped");
    err_set(&m->damage, ERR_DATA, "%s: damaged%s%s", path, stay, go);
}

static bool drop_later_lines(Metrics *m, const char *path, uint64_t step, Err *err)
{
    unsigned char *text;
    Lines lines = {0};
    if (!file_exists(path)) return true;
    if (!file_read(&text, &lines.size, path, MAX_BYTES, err)) return false;
    size_t size = lines.size;
    lines.text = (char *)text;
    bool ok = find_earlier(&lines, step, err) && drop_later(&lines, step, err) &&
              (lines.kept == size || file_write_whole(path, text, lines.kept, err));
    if (ok) note_damage(m, path, &lines);
    free(text);
    return ok;
}

static void restart(Metrics *m, double now)
{
    *m = (Metrics){.log = m->log, .damage = m->damage, .start = now};
}

bool metrics_open(Metrics *m, const char *folder, uint64_t step, double now, Err *err)
{
    char path[FILE_PATH];
    *m = (Metrics){.log = {.descriptor = -1}};
    if (!file_path(path, err, "%s/metrics.jsonl", folder) ||
        !drop_later_lines(m, path, step, err) || !file_log_open(&m->log, path, err))
        return false;
    restart(m, now);
    return true;
}

void metrics_close(Metrics *m)
{
    file_log_close(&m->log);
}

void metrics_add(Metrics *m, const StepReport *report)
{
    m->steps++;
    if (!report->applied) {
        m->bad++;
        return;
    }
    m->loss += report->loss;
    m->grad_norm += report->grad_norm;
    for (int q = 0; q < LOSS_QUARTERS; q++)
        if (!isnan(report->quarter_loss[q])) {
            m->quarter_loss[q] += report->quarter_loss[q];
            m->quarter_steps[q]++;
        }
}

static void set_quarters(Json *json, const char *key, const double quarters[LOSS_QUARTERS])
{
    Json *list = json_new_list();
    for (int q = 0; q < LOSS_QUARTERS; q++) json_add_number(list, quarters[q]);
    json_set(json, key, list);
}

/* A number that JSON cannot hold (a mean of nothing) becomes null. */
static Json *line_json(const Metrics *m, const StepReport *last, const TrainState *state,
                       const TrainConfig *config, double now)
{
    Json *json = json_new_object(), *shares = json_new_list();
    int good = m->steps - m->bad;
    double seconds = now - m->start, quarters[LOSS_QUARTERS];
    json_set_number(json, "step", (double)state->step);
    json_set_number(json, "images", (double)state->images);
    json_set_number(json, "loss", m->loss / good);
    for (int q = 0; q < LOSS_QUARTERS; q++) quarters[q] = m->quarter_loss[q] / m->quarter_steps[q];
    set_quarters(json, "loss_by_quarter_of_t", quarters);
    json_set_number(json, "grad_norm", m->grad_norm / good);
    json_set_number(json, "learning_rate", last->learning_rate);
    for (int i = 0; i < config->emas; i++)
        json_add_number(shares,
                        ema_early_share(config->ema_decay[i], config->ema_warmup, state->updates));
    json_set(json, "ema_early_share", shares);
    json_set_number(json, "bad_steps", m->bad);
    json_set_number(json, "images_per_s", m->steps * (double)config->batch_size / seconds);
    return json;
}

/* `json` is freed. */
static bool write_line(Metrics *m, Json *json, Err *err)
{
    char *text;
    bool ok = json_print(&text, json, JSON_COMPACT, err);
    json_free(json);
    if (!ok) return false;
    ok = file_log_line(&m->log, text, err);
    free(text);
    return ok;
}

bool metrics_write(Metrics *m, const StepReport *last, const TrainState *state,
                   const TrainConfig *config, double now, Err *err)
{
    if (m->steps == 0) return true;
    bool ok = write_line(m, line_json(m, last, state, config, now), err);
    restart(m, now);
    return ok;
}

static void set_mean(Json *json, const char *name, const ValidationMean *mean)
{
    static const char *const endings[] = {"", "_standard_error", "_by_quarter_of_t",
                                          "_standard_error_by_quarter_of_t"};
    char keys[4][64];
    for (int i = 0; i < 4; i++) snprintf(keys[i], sizeof keys[i], "%s%s", name, endings[i]);
    json_set_number(json, keys[0], mean->mean);
    json_set_number(json, keys[1], mean->error);
    set_quarters(json, keys[2], mean->quarter_mean);
    set_quarters(json, keys[3], mean->quarter_error);
}

bool metrics_write_validation(Metrics *m, const Validation *v, const TrainState *state,
                              const TrainConfig *config, Err *err)
{
    Json *json = json_new_object();
    json_set_number(json, "step", (double)state->step);
    json_set_number(json, "images", (double)state->images);
    set_mean(json, "validation_loss", &v->loss);
    set_mean(json, "validation_noise_mse", &v->noise);
    json_set_number(json, "validation_images", v->images);
    json_set_number(json, "ema_decay", config->ema_decay[0]);
    return write_line(m, json, err);
}

static void set_figure(Json *json, const char *name, double value, double error)
{
    char key[96];
    snprintf(key, sizeof key, "evaluation_%s", name);
    json_set_number(json, key, value);
    snprintf(key, sizeof key, "evaluation_%s_standard_error", name);
    json_set_number(json, key, error);
}

static void set_moments(Json *json, const char *name, const Moments *m)
{
    set_figure(json, name, m->count > 0 ? m->mean : (double)NAN, moments_error(m));
}

bool metrics_write_evaluation(Metrics *m, const EvaluationResult *r, const TrainState *state,
                              const TrainConfig *config, Err *err)
{
    Json *json = json_new_object(), *levels = json_new_list();
    const SlicedWasserstein *w = &r->wasserstein;
    json_set_number(json, "step", (double)state->step);
    json_set_number(json, "images", (double)state->images);
    set_moments(json, "bits_per_dim", &r->bits);
    set_moments(json, "prior_bits_per_dim", &r->prior);
    set_moments(json, "decoder_bits_per_dim", &r->decoder);
    set_figure(json, "sliced_wasserstein", w->distance, w->error);
    for (int i = 0; i < w->levels; i++) json_add_number(levels, w->level[i].distance);
    json_set(json, "evaluation_sliced_wasserstein_by_level", levels);
    set_figure(json, "sliced_wasserstein_floor", r->floor, r->floor_error);
    json_set_number(json, "evaluation_images", r->images);
    json_set_number(json, "evaluation_seconds", r->seconds);
    json_set_number(json, "ema_decay", config->ema_decay[0]);
    return write_line(m, json, err);
}
