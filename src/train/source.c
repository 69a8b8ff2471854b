#include "train/source.h"

#include "model/diffusers.h"
#include "model/weights.h"
#include "train/checkpoint.h"
#include "train/checksums.h"
#include "train/ema.h"
#include "train/part.h"
#include "train/scheduler.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WEIGHTS_NAME "diffusion_pytorch_model.safetensors"
enum { LEAST_BYTES = 2 }; /* of a parameter in a file: F16, BF16 */

/* ---- which folder ---- */

static bool link_status(struct stat *link, const char *run)
{
    char path[FILE_PATH];
    Err ignored;
    return file_path(path, &ignored, "%s/checkpoints/latest", run) && lstat(path, link) == 0;
}

/* When `latest` was last put in place; the link's own time, to the nanosecond. */
static bool latest_time(struct timespec *time, const char *run)
{
    struct stat link;
    if (!checkpoint_exists(run) || !link_status(&link, run)) return false;
    *time = link.st_mtim;
    return true;
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

bool source_newest_run(char run[FILE_PATH], const char *runs, Err *err)
{
    FileList list;
    bool found = false;
    struct timespec best = {0}, time;
    Err ignored;
    if (file_is_folder(runs)) {
        if (!file_list(&list, runs, err)) return false;
        for (size_t i = 0; i < list.count; i++) {
            char path[FILE_PATH];
            if (!file_path(path, &ignored, "%s/%s", runs, list.names[i]) ||
                !latest_time(&time, path) || (found && !later(time, best)))
                continue;
            memcpy(run, path, sizeof path);
            best = time;
            found = true;
        }
        file_list_release(&list);
    }
    return found || err_set(err, ERR_DATA,
                            "there is no run with a checkpoint under %s; train one with `ddpm "
                            "train --config FILE`, or name a model with --model",
                            runs);
}

/* ---- checkpoints ---- */

static bool open_checkpoint(Source *s, const char *folder, Err *err)
{
    CheckpointInfo info;
    s->kind = SOURCE_CHECKPOINT;
    if (!checkpoint_info(&info, folder, err)) return err_as(err, ERR_DATA);
    if (!config_check(&info.config, err)) {
        err_as(err, ERR_DATA);
        return err_prefix(err, "%s/ddpm.json", folder);
    }
    s->config = info.config;
    s->step = info.step;
    s->updates = info.updates;
    return file_path(s->folder, err, "%s", folder) &&
           file_path(s->weights, err, "%s/unet/" WEIGHTS_NAME, folder);
}

/* ---- the latest checkpoint of a run that may be training ---- */

enum { MOST_TRIES = 1000 };

/* The folder that `latest` names, by its own name, so that messages say the step. */
static bool open_named(Source *s, const char *run, Err *err)
{
    char latest[FILE_PATH], folder[FILE_PATH];
    if (!file_path(latest, err, "%s/checkpoints/latest", run)) return false;
    if (!file_exists(latest))
        return err_set(err, ERR_DATA, "%s: there is no such checkpoint", latest);
    if (!open_checkpoint(s, latest, err) ||
        !file_path(folder, err, "%s/checkpoints/step-%08" PRIu64, run, s->step))
        return false;
    return !part_same_folder(folder, latest) || open_checkpoint(s, folder, err);
}

/* Times of files are coarse, and numbers of files are used again: both tell links apart. */
static bool note_link(Source *s)
{
    struct stat link;
    if (!link_status(&link, s->run)) return false;
    s->link = link.st_ino;
    s->linked = link.st_mtim;
    return true;
}

static bool is_linked_anew(const Source *s)
{
    struct stat now;
    return link_status(&now, s->run) && (now.st_ino != s->link || later(now.st_mtim, s->linked) ||
                                         later(s->linked, now.st_mtim));
}

/* What is read while `latest` becomes another may be of both. */
static bool open_latest(Source *s, const char *run, Err *err)
{
    bool ok = file_path(s->run, err, "%s", run);
    for (int tries = 0; ok && tries < MOST_TRIES; tries++) {
        bool linked = note_link(s), opened = open_named(s, run, err);
        if (!linked || !is_linked_anew(s)) return opened;
    }
    return ok &&
           err_set(err, ERR_DATA, "%s: its checkpoints are removed before they can be read", run);
}

static bool same_weights(const Config *a, const Config *b)
{
    const TrainConfig *x = &a->train, *y = &b->train;
    Config other = *b;
    other.data = a->data; /* eval's own */
    return !config_frozen_difference(a, &other) && x->emas == y->emas &&
           memcmp(x->ema_decay, y->ema_decay, sizeof x->ema_decay) == 0;
}

/* Whether there is another to be tried after what was opened could not be read. */
static bool renew(Source *s)
{
    Source next = {0};
    Err ignored;
    if (!s->run[0] || !is_linked_anew(s) || !open_latest(&next, s->run, &ignored) ||
        !same_weights(&s->config, &next.config))
        return false;
    next.config = s->config;
    *s = next;
    return true;
}

/* ---- diffusers folders ---- */

static bool has_file(const char *folder, const char *name)
{
    char path[FILE_PATH];
    Err ignored;
    return file_path(path, &ignored, "%s/%s", folder, name) && file_exists(path);
}

static bool class_is(const Json *json, const char *name)
{
    const Json *value = json_type(json) == JSON_OBJECT ? json_get(json, "_class_name") : NULL;
    return value && json_type(value) == JSON_STRING && strcmp(json_string(value), name) == 0;
}

static bool read_json(Json **json, const char *path, Err *err)
{
    return checksums_check(path, err) && json_read(json, path, err);
}

static bool read_scheduler(Source *s, const char *path, Err *err)
{
    Json *json;
    if (!json_read(&json, path, err)) return false;
    bool ok = scheduler_read(&s->config.diffusion, &s->config.sample.clip, json, path, err);
    json_free(json);
    return ok;
}

#define SCHEDULER_NAME "scheduler_config.json"

/* The whole that the U-Net in `folder` is of, by any of the files that tell: a copy may lack some.
 * A folder with an index of its own is one, and what is of none is its own. */
static bool find_whole(char whole[FILE_PATH], const char *folder, Err *err)
{
    static const char *const beside[] = {"model_index.json", "ddpm.json", CHECKSUMS_FILE,
                                         "scheduler/" SCHEDULER_NAME, NULL};
    const char *part;
    if (!has_file(folder, "model_index.json") && part_find(whole, &part, folder, beside) &&
        strcmp(part, "unet") == 0)
        return true;
    return file_path(whole, err, "%s", folder);
}

/* A pipeline has a scheduler, and without it there is no telling what its network was trained for;
 * a U-Net may be alone. */
static bool check_alone(const char *whole, const char *scheduler, Err *err)
{
    static const char *const files[] = {"model_index.json", "ddpm.json"};
    for (int i = 0; i < 2; i++)
        if (has_file(whole, files[i]))
            return err_set(err, ERR_DATA,
                           "%s: missing, and the pipeline's %s is there: without its scheduler it "
                           "is not known what chain the network was trained for; copy the "
                           "pipeline again, whole",
                           scheduler, files[i]);
    return true;
}

/* The scheduler of a U-Net is in the folder scheduler/ of `folder`, beside the U-Net, or in the
 * pipeline that this is the unet/ of, however it is spelt. */
static bool find_scheduler(Source *s, const char *folder, Err *err)
{
    char whole[FILE_PATH], index[FILE_PATH], places[3][FILE_PATH];
    if (!find_whole(whole, folder, err) || !file_path(index, err, "%s/model_index.json", whole) ||
        !file_path(places[0], err, "%s/scheduler/" SCHEDULER_NAME, folder) ||
        !file_path(places[1], err, "%s/" SCHEDULER_NAME, folder) ||
        !file_path(places[2], err, "%s/scheduler/" SCHEDULER_NAME, whole) ||
        !checksums_check(index, err))
        return false;
    for (int i = 0; i < 3; i++) {
        if (!checksums_check(places[i], err)) return false;
        if (file_exists(places[i])) return read_scheduler(s, places[i], err);
    }
    s->chain_assumed = true;
    return check_alone(whole, places[2], err);
}

/* What a checkpoint has lost its ddpm.json from is no mere pipeline: its sampler would be lost too.
 * A pipeline that was made of one has no list that names the file. */
static bool check_no_info(const char *folder, Err *err)
{
    char path[FILE_PATH];
    return file_path(path, err, "%s/ddpm.json", folder) && checksums_check(path, err);
}

/* A pipeline with more to it than a network and a chain (a decoder of latents, a text encoder)
 * means something else by the network's output. */
static bool check_index(const char *path, Err *err)
{
    Json *json;
    if (!read_json(&json, path, err)) return false;
    bool ok = json_type(json) == JSON_OBJECT ||
              err_set(err, ERR_DATA, "%s: holds %s, not the object of a pipeline", path,
                      json_type_name(json_type(json)));
    for (const Json *part = ok ? json_first(json) : NULL; ok && part; part = json_next(part)) {
        const char *key = json_key(part);
        if (key[0] != '_' && strcmp(key, "unet") != 0 && strcmp(key, "scheduler") != 0)
            ok = err_set(err, ERR_DATA,
                         "%s: the pipeline has a part %s; only those of a unet and a scheduler are "
                         "supported",
                         path, key);
    }
    json_free(json);
    return ok;
}

/* The folder of the U-Net's config.json and weights: `folder`/unet, or `folder` itself. */
static bool open_diffusers(Source *s, const char *folder, const char *unet, Err *err)
{
    char path[FILE_PATH];
    Json *json;
    s->kind = SOURCE_DIFFUSERS;
    s->config = config_default();
    s->config.train.label_dropout = 0;
    if (!file_path(path, err, "%s/config.json", unet) || !read_json(&json, path, err)) return false;
    bool ok = class_is(json, "UNet2DModel") ||
              err_set(err, ERR_DATA,
                      "%s: _class_name is not UNet2DModel, the only model that this "
                      "program reads",
                      path);
    ok = ok && diffusers_config_read(&s->config.model, json, path, err);
    json_free(json);
    if (ok && !model_config_check(&s->config.model, false, err)) {
        err_as(err, ERR_DATA);
        return err_prefix(err, "%s", path);
    }
    return ok && find_scheduler(s, folder, err) && file_path(s->folder, err, "%s", folder) &&
           file_path(s->weights, err, "%s/" WEIGHTS_NAME, unet);
}

/* Of a file whose `path` may not exist. */
static bool has_class(bool *is, const char *path, const char *name, Err *err)
{
    Json *json;
    *is = false;
    if (!file_exists(path)) return true;
    if (!json_read(&json, path, err)) return false;
    *is = class_is(json, name);
    json_free(json);
    return true;
}

/* ---- what `path` is ---- */

bool source_is_run(const char *folder)
{
    return has_file(folder, "config.json") && has_file(folder, "metrics.jsonl");
}

void source_folder_of(char folder[FILE_PATH], const char *file)
{
    static const char *const beside[] = {"ddpm.json", "model_index.json", NULL};
    char whole[FILE_PATH];
    const char *part;
    file_parent(folder, file);
    if (part_find(whole, &part, folder, beside)) memcpy(folder, whole, sizeof whole);
}

static bool not_a_folder(const char *path, Err *err)
{
    char folder[FILE_PATH];
    if (!file_exists(path))
        return err_set(err, ERR_DATA,
                       "%s: there is no such folder; a model is a run, a checkpoint "
                       "or a diffusers folder",
                       path);
    source_folder_of(folder, path);
    return err_set(err, ERR_DATA, "%s is a file; a model is named by its folder, here perhaps %s",
                   path, folder);
}

static bool not_a_model(const char *path, Err *err)
{
    char latest[FILE_PATH];
    if (!file_path(latest, err, "%s/checkpoints/latest", path)) return false;
    if (file_is_folder(latest))
        return err_set(
            err, ERR_DATA,
            "%s: has no ddpm.json, and so is no whole checkpoint; copy it again, or name "
            "another checkpoint of the run",
            latest);
    if (source_is_run(path))
        return err_set(err, ERR_DATA,
                       "%s: the run has no checkpoint yet (%s/checkpoints/latest names none); one "
                       "is written each train.checkpoint_every steps, and when training ends or is "
                       "interrupted",
                       path, path);
    return err_set(err, ERR_DATA,
                   "%s: neither a run with a checkpoint, nor a checkpoint (ddpm.json), nor a "
                   "diffusers folder (model_index.json, or config.json of a UNet2DModel)",
                   path);
}

static bool open_folder(Source *s, const char *path, Err *err)
{
    char unet[FILE_PATH], index[FILE_PATH], flat[FILE_PATH];
    bool alone = false;
    if (!file_path(unet, err, "%s/unet", path) ||
        !file_path(index, err, "%s/model_index.json", path) ||
        !file_path(flat, err, "%s/config.json", path))
        return false;
    if (checkpoint_is(path)) return open_checkpoint(s, path, err);
    if (checkpoint_exists(path)) return open_latest(s, path, err);
    bool pipeline = file_exists(index), parts = pipeline && file_is_folder(unet);
    if (pipeline && (!check_no_info(path, err) || !check_index(index, err))) return false;
    if (!parts && !has_class(&alone, flat, "UNet2DModel", err)) return false;
    if (!pipeline && !alone) return not_a_model(path, err);
    return open_diffusers(s, path, alone ? path : unet, err);
}

bool source_open(Source *s, const char *path, Err *err)
{
    char run[FILE_PATH];
    *s = (Source){0};
    if (!path) return source_newest_run(run, "runs", err) && open_latest(s, run, err);
    return file_is_folder(path) ? open_folder(s, path, err) : not_a_folder(path, err);
}

static bool only_checkpoints(const Source *s, const char *option, Err *err)
{
    if (s->kind == SOURCE_CHECKPOINT) return true;
    return err_set(err, ERR_USAGE,
                   "%s: %s is not a checkpoint of this program, which alone has other weights "
                   "beside those of unet/",
                   option, s->folder);
}

bool source_find_ema(int *which, const Source *s, double rate, Err *err)
{
    const TrainConfig *c = &s->config.train;
    char text[EMA_RATE_TEXT], list[TRAIN_MAX_EMAS * (EMA_RATE_TEXT + 2)] = "";
    if (!only_checkpoints(s, "--ema", err)) return false;
    for (*which = 0; *which < c->emas; ++*which)
        if (c->ema_decay[*which] == rate) return true;
    for (int i = 0; i < c->emas; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                 ema_rate_text(text, c->ema_decay[i]));
    }
    return err_set(err, ERR_USAGE, "--ema %s: %s has %s", ema_rate_text(text, rate), s->folder,
                   list);
}

static bool check_size(const Source *s, const Unet *unet, Err *err)
{
    FileReader reader;
    size_t parameters = unet_params(unet)->parameters;
    if (!file_exists(s->weights) && !checksums_check(s->weights, err)) return false;
    if (!file_open(&reader, s->weights, err)) return false;
    file_close(&reader);
    if (reader.size / LEAST_BYTES >= parameters) return true;
    return err_set(err, ERR_DATA,
                   "%s: has %zu bytes, too few for the %zu parameters of the network that its "
                   "config describes; it is cut short, or of another model",
                   s->weights, reader.size, parameters);
}

bool source_check_size(Source *s, const Unet *unet, Err *err)
{
    for (int tries = 0; !check_size(s, unet, err); tries++)
        if (tries == MOST_TRIES || !renew(s)) return false;
    return true;
}

static bool read_weights(float *weights, const Source *s, const Unet *unet, int which, Err *err)
{
    WeightArray array = {"", weights};
    if (which == SOURCE_FIRST_EMA)
        return checksums_check(s->weights, err) &&
               weights_read(s->weights, unet_params(unet), &array, 1, err);
    return only_checkpoints(s, which == SOURCE_RAW ? "--raw" : "--ema", err) &&
           checkpoint_weights(weights, unet_params(unet), s->folder, which, err);
}

bool source_weights(float *weights, Source *s, const Unet *unet, int which, Err *err)
{
    for (int tries = 0; !read_weights(weights, s, unet, which, err); tries++)
        if (tries == MOST_TRIES || !renew(s)) return false;
    return true;
}

bool source_check_outputs(const Source *source, bool learned, Err *err)
{
    const ModelConfig *m = &source->config.model;
    int wanted = learned ? 2 * m->channels : m->channels;
    if (m->out_channels == wanted) return true;
    return err_set(
        err, ERR_DATA,
        "%s: the network puts out %d channels; for images of %d channels and %s variance "
        "it must put out %d",
        source->folder, m->out_channels, m->channels, learned ? "a learned" : "a fixed", wanted);
}
