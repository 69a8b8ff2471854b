#include "cmd/config_help.h"

#include "cmd/text.h"
#include "train/config.h"

#include <stdlib.h>
#include <string.h>

/* A value as it stands in a config: `[1,2,2]`. The caller frees *out. */
static bool value_text(char **out, const Key *key, const Config *config, Err *err)
{
    Json *object = json_new_object();
    key_write(object, "value", key, config);
    bool good = json_print(out, object, JSON_COMPACT, err);
    json_free(object);
    return good;
}

static bool print_key(FILE *to, const Key *key, const Config *defaults, Err *err)
{
    char left[128], right[1024], limits[512], *value;
    if (!value_text(&value, key, defaults, err)) return false;
    /* what stands between {"value": and } */
    snprintf(left, sizeof left, "%-29s %.*s", key->path, (int)strlen(value) - 10, value + 9);
    free(value);
    key_limits(limits, sizeof limits, key);
    snprintf(right, sizeof right, *limits ? "%s (%s)" : "%s", key->help, limits);
    text_print_columns(to, left, right, (TextColumn){.indent = 44, .width = 100});
    return true;
}

bool config_help(FILE *to, Err *err)
{
    size_t count;
    const Key *keys = config_keys(&count);
    Config defaults = config_default();
    for (size_t i = 0; i < count; i++)
        if (!print_key(to, &keys[i], &defaults, err)) return false;
    return true;
}
