/*
 * CRC-32s tell models apart without their names, which differ between machines. They guard against
 * mistakes, not against those who mean to deceive.
 */
#include "train/provenance.h"

#include "base/zip.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void provenance_add(Provenance *p, const char *key, const char *format, ...)
{
    assert(p->count < PROVENANCE_MAX);
    va_list args;
    va_start(args, format);
    p->list[p->count].key = key;
    vsnprintf(p->list[p->count++].value, PROVENANCE_VALUE, format, args);
    va_end(args);
}

/* Of the config as text, indented and with a newline at its end. */
static bool config_crc32(uint32_t *crc, const Config *config, Err *err)
{
    char *text;
    Json *json = config_write(config);
    bool ok = json_print(&text, json, JSON_INDENTED, err);
    json_free(json);
    if (!ok) return false;
    size_t size = strlen(text);
    text[size] = '\n'; /* in place of its zero: the size is known */
    *crc = zip_crc32(text, size + 1);
    free(text);
    return true;
}

static void add_sampler(Provenance *p, const SamplerConfig *s, int steps)
{
    provenance_add(p, "Seed", "%" PRIu64, s->seed);
    provenance_add(p, "Sampler", "%s", sampler_names[s->kind]);
    provenance_add(p, "Steps", "%d", steps);
    provenance_add(p, "Spacing", "%s", spacing_names[s->spacing]);
    if (s->kind == SAMPLER_DDPM) provenance_add(p, "Variance", "%s", variance_names[s->variance]);
    if (sampler_takes_eta(s->kind)) provenance_add(p, "Eta", "%.15g", s->eta);
    provenance_add(p, "Clip", "%s", s->clip ? "yes" : "no");
}

static void add_guidance(Provenance *p, const Conditioning *c)
{
    if (c->count == 0 || c->guidance == 1.0) return;
    provenance_add(p, "Guidance", "%.15g", c->guidance);
    if (c->to > 0) provenance_add(p, "Guidance interval", "%d:%d", c->from, c->to);
}

bool provenance_init(Provenance *p, const ProvenanceOf *of, Err *err)
{
    uint32_t config;
    *p = (Provenance){0};
    if (!config_crc32(&config, of->config, err)) return false;
    provenance_add(p, "Software", "ddpm %s", DDPM_VERSION);
    if (of->step) provenance_add(p, "Checkpoint step", "%" PRIu64, *of->step);
    provenance_add(p, "Config CRC-32", "%08" PRIx32, config);
    if (of->weights)
        provenance_add(p, "Weights CRC-32", "%08" PRIx32,
                       zip_crc32(of->weights, of->floats * sizeof *of->weights));
    add_sampler(p, of->sampler, of->steps);
    add_guidance(p, of->classes);
    return true;
}

void provenance_add_index(Provenance *p, const Conditioning *classes, uint32_t index)
{
    int32_t class = conditioning_class(classes, index);
    provenance_add(p, "Index", "%" PRIu32, index);
    if (class >= 0) provenance_add(p, "Class", "%" PRId32, class);
}

/* "0,2,5", as far as there is room. */
static void add_list(Provenance *p, const Conditioning *c)
{
    char text[PROVENANCE_VALUE + 16];
    size_t used = 0;
    for (int i = 0; i < c->listed && used < PROVENANCE_VALUE; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId32, i > 0 ? "," : "",
                                 c->list[i]);
    if (used >= PROVENANCE_VALUE)
        memcpy(text + PROVENANCE_VALUE - sizeof "...", "...", sizeof "...");
    provenance_add(p, "Classes", "%s", text);
}

void provenance_add_range(Provenance *p, const Conditioning *classes, uint32_t first, int count)
{
    provenance_add(p, "First index", "%" PRIu32, first);
    provenance_add(p, "Count", "%d", count);
    if (conditioning_class(classes, first) < 0) return;
    if (classes->list)
        add_list(p, classes);
    else
        provenance_add(p, "Classes", "all");
}

int provenance_texts(PngText texts[PROVENANCE_MAX], const Provenance *p)
{
    for (int i = 0; i < p->count; i++) texts[i] = (PngText){p->list[i].key, p->list[i].value};
    return p->count;
}

static const char *value_of(const Provenance *p, const char *key)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->list[i].key, key) == 0) return p->list[i].value;
    return NULL;
}

static bool differs(const char *path, const char *key, const char *theirs, const char *ours,
                    Err *err)
{
    return err_set(err, ERR_USAGE, "%s is another image: its %s is %s, and here it would be %s",
                   path, key, theirs ? theirs : "none", ours ? ours : "none");
}

bool provenance_check(const Provenance *p, const char *path, Err *err)
{
    PngInfo info;
    if (!png_info_read(&info, path, err)) return false;
    bool ok = true;
    for (int i = 0; ok && i < p->count; i++) {
        const char *key = p->list[i].key, *theirs = png_info_text(&info, key);
        if (!theirs || strcmp(theirs, p->list[i].value) != 0)
            ok = differs(path, key, theirs, p->list[i].value, err);
    }
    for (int i = 0; ok && i < info.count; i++)
        if (!value_of(p, info.texts[i].key))
            ok = differs(path, info.texts[i].key, info.texts[i].value, NULL, err);
    png_info_release(&info);
    return ok;
}
