#include "cmd/sample_classes.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- --class ---- */

static bool bad_class(const SampleOptions *o, const char *at, int classes, Err *err)
{
    return err_set(err, ERR_USAGE,
                   "--class %s: expected \"all\", or classes from 0 to %d with commas between, at "
                   "\"%s\"",
                   o->classes, classes - 1, at);
}

/* Digits, that a comma or the end follows; *at moves behind that. */
static bool take_class(int32_t *out, const char **at, int classes)
{
    char *end;
    if (!strchr("0123456789", **at) || !**at) return false;
    long value = strtol(*at, &end, 10);
    if (value >= classes || (*end && *end != ',') || (*end == ',' && !end[1])) return false;
    *out = (int32_t)value;
    *at = *end ? end + 1 : end;
    return true;
}

static bool read_list(Conditioning *c, const SampleOptions *o, Err *err)
{
    const char *at = o->classes;
    int32_t *list = memory_new(strlen(at) / 2 + 1, sizeof *list, "the list of classes", err);
    c->list = list;
    if (!list) return false;
    do {
        if (!take_class(&list[c->listed++], &at, c->count)) return bad_class(o, at, c->count, err);
    } while (*at);
    return true;
}

static bool choose_classes(Conditioning *c, const SampleOptions *o, Err *err)
{
    if (!o->classes) return true;
    if (c->count == 0)
        return err_set(err, ERR_USAGE,
                       "--class %s, but the model has no classes; it is one trained with "
                       "data.labels = true that has",
                       o->classes);
    return strcmp(o->classes, "all") == 0 || read_list(c, o, err);
}

/* ---- --guidance ---- */

static bool check_guidance(const Conditioning *c, const Config *config, Err *err)
{
    if (c->guidance == 1.0) return true;
    if (c->count == 0)
        return err_set(err, ERR_USAGE,
                       "--guidance %g, but the model has no classes to be guided by; it is one "
                       "trained with data.labels = true that has",
                       c->guidance);
    if (c->count < config->model.num_classes) return true;
    return err_set(err, ERR_USAGE,
                   "--guidance %g needs what the network says without a class, and this one was "
                   "trained with train.label_dropout = 0: each of its %d classes is a real one",
                   c->guidance, c->count);
}

/* "A:B" */
static bool choose_interval(Conditioning *c, const SampleOptions *o, int T, Err *err)
{
    int used = 0;
    if (!o->interval) return true;
    if (c->guidance == 1.0)
        return err_set(err, ERR_USAGE,
                       "--guidance-interval %s says at which t to guide; add --guidance W, other "
                       "than 1",
                       o->interval);
    if (sscanf(o->interval, "%9d:%9d%n", &c->from, &c->to, &used) == 2 && !o->interval[used] &&
        c->from >= 1 && c->from <= c->to && c->to <= T)
        return true;
    return err_set(err, ERR_USAGE,
                   "--guidance-interval %s: expected A:B, two timesteps with 1 <= A <= B <= %d",
                   o->interval, T);
}

bool sample_classes_choose(Conditioning *c, const SampleOptions *options, const Config *config,
                           Err *err)
{
    *c = (Conditioning){.count = config_classes(config), .guidance = options->guidance};
    return choose_classes(c, options, err) && check_guidance(c, config, err) &&
           choose_interval(c, options, config->diffusion.timesteps, err);
}

void sample_classes_release(Conditioning *c)
{
    free((void *)c->list);
    c->list = NULL;
}
