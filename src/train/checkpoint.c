#include "train/checkpoint.h"

#include "base/gemm.h"
#include "base/utf8.h"
#include "model/diffusers.h"
#include "model/weights.h"
#include "train/checksums.h"
#include "train/ema.h"
#include "train/loss_history.h"
#include "train/scheduler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "step-"

/* The files of a checkpoint; the last is not in every one. */
enum { INDEX, MODEL, WEIGHTS, SCHEDULER, INFO, TRAINING, HISTORY, FILES };
static const char *const FILE_NAMES[FILES] = {
    [INDEX] = "model_index.json",
    [MODEL] = "unet/config.json",
    [WEIGHTS] = "unet/diffusion_pytorch_model.safetensors",
    [SCHEDULER] = "scheduler/scheduler_config.json",
    [INFO] = "ddpm.json",
    [TRAINING] = "training.safetensors",
    [HISTORY] = "loss_history.safetensors",
};

static bool path_of(char path[FILE_PATH], const char *folder, int file, Err *err)
{
    return file_path(path, err, "%s/%s", folder, FILE_NAMES[file]);
}

/* The path of a file that is about to be read, once it is known to be what was written. */
static bool checked_path(char path[FILE_PATH], const char *folder, int file, Err *err)
{
    return path_of(path, folder, file, err) && checksums_check(path, err);
}

/* ---- writing one ---- */

static bool write_json(const char *folder, int file, Json *json, Err *err)
{
    char path[FILE_PATH];
    bool ok = path_of(path, folder, file, err) && json_write(path, json, err);
    json_free(json);
    return ok;
}

static void add_class(Json *index, const char *part, const char *name)
{
    Json *pair = json_new_list();
    json_add_string(pair, "diffusers");
    json_add_string(pair, name);
    json_set(index, part, pair);
}

static Json *model_index(void)
{
    Json *json = json_new_object();
    json_set_string(json, "_class_name", "DDPMPipeline");
    json_set_string(json, "_diffusers_version", "0.1.1");
    add_class(json, "scheduler", "DDPMScheduler");
    add_class(json, "unet", "UNet2DModel");
    return json;
}

/* Counters are whole and far below 2^53, where doubles stop being exact. */
static Json *info_json(const Config *config, const TrainState *state)
{
    Json *json = json_new_object();
    json_set_string(json, "version", DDPM_VERSION);
    json_set_number(json, "step", (double)state->step);
    json_set_number(json, "images", (double)state->images);
    json_set_number(json, "updates", (double)state->updates);
    json_set_number(json, "bad_steps", state->bad_steps);
    json_set_string(json, "blas_core", gemm_core_name());
    json_set(json, "config", config_write(config));
    return json;
}

/* What training.safetensors holds beside the model's own file, which has the first EMA. */
typedef struct {
    WeightArray list[3 + TRAIN_MAX_EMAS];
    int count;
    char prefixes[TRAIN_MAX_EMAS][EMA_RATE_TEXT + 8]; /* "ema.0.999." */
} TrainingArrays;

static void list_training_arrays(TrainingArrays *arrays, const TrainConfig *config,
                                 const TrainState *state)
{
    char rate[EMA_RATE_TEXT];
    arrays->list[0] = (WeightArray){"raw.", state->weights};
    arrays->list[1] = (WeightArray){"adam_m.", state->adam_m};
    arrays->list[2] = (WeightArray){"adam_v.", state->adam_v};
    arrays->count = 3;
    for (int i = 1; i < state->emas; i++) {
        char *prefix = arrays->prefixes[i];
        snprintf(prefix, sizeof arrays->prefixes[i], "ema.%s.",
                 ema_rate_text(rate, config->ema_decay[i]));
        arrays->list[arrays->count++] = (WeightArray){prefix, state->ema[i]};
    }
}

static bool write_weights(const char *folder, const Config *config, const ParamTable *table,
                          const TrainState *state, Err *err)
{
    char model[FILE_PATH], training[FILE_PATH];
    WeightArray ema = {"", state->ema[0]};
    TrainingArrays arrays;
    list_training_arrays(&arrays, &config->train, state);
    return path_of(model, folder, WEIGHTS, err) && path_of(training, folder, TRAINING, err) &&
           weights_write(model, table, &ema, 1, err) &&
           weights_write(training, table, arrays.list, arrays.count, err);
}

static bool write_history(const char *folder, const TrainState *state, Err *err)
{
    char path[FILE_PATH];
    return !state->history ||
           (path_of(path, folder, HISTORY, err) && loss_history_write(path, state->history, err));
}

static bool make_part(const char *folder, const char *part, Err *err)
{
    char path[FILE_PATH];
    return file_path(path, err, "%s/%s", folder, part) && file_make_folder(path, err);
}

static bool sync_part(const char *folder, const char *part, Err *err)
{
    char path[FILE_PATH];
    return file_path(path, err, "%s/%s", folder, part) && file_sync_folder(path, err);
}

static bool write_scheduler(const char *folder, const Config *config, Err *err)
{
    Json *json;
    return scheduler_write(&json, &config->diffusion, config->sample.clip, err) &&
           write_json(folder, SCHEDULER, json, err);
}

static bool fill_folder(const char *folder, const Config *config, const ParamTable *table,
                        const TrainState *state, Err *err)
{
    return make_part(folder, "unet", err) && make_part(folder, "scheduler", err) &&
           write_json(folder, INDEX, model_index(), err) &&
           write_json(folder, MODEL, diffusers_config_write(&config->model), err) &&
           write_scheduler(folder, config, err) &&
           write_json(folder, INFO, info_json(config, state), err) &&
           write_weights(folder, config, table, state, err) && write_history(folder, state, err) &&
           checksums_write(folder, FILE_NAMES, state->history ? FILES : HISTORY, err) &&
           sync_part(folder, "unet", err) && sync_part(folder, "scheduler", err) &&
           file_sync_folder(folder, err);
}

/* ---- which ones are kept ---- */

static bool step_of(uint64_t *step, const char *name)
{
    char *end;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) return false;
    *step = strtoull(name + strlen(PREFIX), &end, 10);
    return *end == '\0' && end > name + strlen(PREFIX);
}

/* Names sort by their step, since the numbers are padded: the newest are at the end. Steps above
 * `newest` are left over from before a resume, and go. */
bool checkpoint_prune(const char *run, const TrainConfig *config, uint64_t newest, Err *err)
{
    FileList list;
    char checkpoints[FILE_PATH];
    if (!file_path(checkpoints, err, "%s/checkpoints", run) || !file_list(&list, checkpoints, err))
        return false;
    bool ok = true;
    int kept = 0;
    for (size_t i = list.count; i-- > 0;) {
        uint64_t step;
        char path[FILE_PATH];
        Err later;
        Err *first = ok ? err : &later;
        bool temporary = strncmp(list.names[i], "." PREFIX, strlen("." PREFIX)) == 0;
        bool checkpoint = step_of(&step, list.names[i]);
        if (!checkpoint && !temporary) continue;
        if (checkpoint && step <= newest) {
            bool for_good = config->keep_every > 0 && step % (uint64_t)config->keep_every == 0;
            if (kept++ < config->keep_checkpoints || step == newest || for_good) continue;
        }
        if (!file_path(path, first, "%s/%s", checkpoints, list.names[i]) ||
            !file_remove(path, first))
            ok = false;
    }
    file_list_release(&list);
    return ok;
}

/* Copied by what follows links, `latest` is a folder, which no link can replace: it waits under a
 * name of the kind that checkpoint_prune removes. */
static bool link_latest(const char *checkpoints, const char *name, Err *err)
{
    char latest[FILE_PATH], aside[FILE_PATH];
    struct stat status;
    Err ignored;
    if (!file_path(latest, err, "%s/latest", checkpoints) ||
        !file_path(aside, err, "%s/." PREFIX "latest", checkpoints))
        return false;
    if (lstat(latest, &status) != 0 || !S_ISDIR(status.st_mode))
        return file_link(name, latest, err);
    if (!file_remove(aside, err) || !file_rename(latest, aside, err)) return false;
    if (file_link(name, latest, err)) return true;
    file_rename(aside, latest, &ignored);
    return false;
}

static bool put_in_place(const char *checkpoints, const char *temporary, const char *name,
                         char final[FILE_PATH], Err *err)
{
    return file_path(final, err, "%s/%s", checkpoints, name) && file_remove(final, err) &&
           file_rename(temporary, final, err) && link_latest(checkpoints, name, err);
}

bool checkpoint_write(char path[FILE_PATH], const char *run, const Config *config,
                      const ParamTable *table, const TrainState *state, Err *err)
{
    char checkpoints[FILE_PATH], temporary[FILE_PATH], final[FILE_PATH], name[64];
    if (!train_state_finite(state, table))
        return err_set(err, ERR_DIVERGED,
                       "step %" PRIu64 ": the weights are not finite, and are not written; take a "
                       "smaller train.learning_rate, from the last checkpoint on if there is one",
                       state->step);
    snprintf(name, sizeof name, PREFIX "%08" PRIu64, state->step);
    if (!file_path(checkpoints, err, "%s/checkpoints", run) ||
        !file_path(temporary, err, "%s/.%s", checkpoints, name) || !file_remove(temporary, err) ||
        !file_make_folder(temporary, err))
        return false;
    if (!fill_folder(temporary, config, table, state, err) ||
        !put_in_place(checkpoints, temporary, name, final, err)) {
        Err ignored;
        file_remove(temporary, &ignored);
        return false;
    }
    if (path) memcpy(path, final, FILE_PATH);
    return true;
}

/* ---- reading ---- */

bool checkpoint_is(const char *folder)
{
    char path[FILE_PATH];
    Err ignored;
    return path_of(path, folder, INFO, &ignored) && file_exists(path);
}

bool checkpoint_exists(const char *run)
{
    char path[FILE_PATH];
    Err ignored;
    return file_path(path, &ignored, "%s/checkpoints/latest", run) && checkpoint_is(path);
}

bool checkpoint_newest(char name[FILE_PATH], bool *whole, const char *run, Err *err)
{
    char checkpoints[FILE_PATH], path[FILE_PATH];
    FileList list;
    bool ok = true;
    *whole = false;
    name[0] = '\0';
    if (!file_path(checkpoints, err, "%s/checkpoints", run)) return false;
    if (!file_exists(checkpoints)) return true;
    if (!file_list(&list, checkpoints, err)) return false;
    for (size_t i = list.count; ok && i-- > 0 && !*whole;) {
        uint64_t step;
        if (!step_of(&step, list.names[i])) continue;
        ok = file_path(path, err, "%s/%s", checkpoints, list.names[i]);
        *whole = ok && checkpoint_is(path);
        if (*whole || !name[0]) snprintf(name, FILE_PATH, "%s", list.names[i]);
    }
    file_list_release(&list);
    return ok;
}

static bool read_count(uint64_t *out, const Json *json, const char *key, const char *path, Err *err)
{
    const Json *value = json_get(json, key);
    if (value && json_type(value) == JSON_NUMBER && json_whole(out, value, (uint64_t)1 << 53))
        return true;
    return err_set(err, ERR_DATA, "%s: %s is missing or no whole number", path, key);
}

static bool read_info(CheckpointInfo *info, const Json *json, const char *path, Err *err)
{
    uint64_t bad;
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_DATA, "%s: holds %s, not an object", path,
                       json_type_name(json_type(json)));
    const Json *config = json_get(json, "config"), *core = json_get(json, "blas_core");
    if (!config) return err_set(err, ERR_DATA, "%s: config is missing", path);
    info->config = config_default();
    if (!config_parse(&info->config, config, path, err)) return false;
    if (!read_count(&info->step, json, "step", path, err) ||
        !read_count(&info->images, json, "images", path, err) ||
        !read_count(&info->updates, json, "updates", path, err) ||
        !read_count(&bad, json, "bad_steps", path, err))
        return false;
    info->bad_steps = (int)(bad < 1000000 ? bad : 1000000);
    snprintf(info->blas_core, sizeof info->blas_core, "%s",
             core && json_type(core) == JSON_STRING ? json_string(core) : "");
    utf8_make_plain(info->blas_core);
    return true;
}

bool checkpoint_info(CheckpointInfo *info, const char *folder, Err *err)
{
    char path[FILE_PATH];
    Json *json;
    if (!checked_path(path, folder, INFO, err) || !json_read(&json, path, err))
        return err_as(err, ERR_DATA);
    bool ok = read_info(info, json, path, err) || err_as(err, ERR_DATA);
    json_free(json);
    return ok;
}

/* The tensor that a place in an array of the table is of, or the last before it. */
static const char *tensor_at(const ParamTable *table, size_t place)
{
    int found = 0;
    for (int p = 0; p < table->count; p++)
        if (table->list[p].offset <= place && table->list[p].offset >= table->list[found].offset)
            found = p;
    return table->list[found].name;
}

/* Means of squares, whose root is taken: below 0 it is no number, and the next update makes none of
 * the weights one. */
static bool check_squares(const float *v, const ParamTable *table, const char *path, Err *err)
{
    for (size_t i = 0; i < table->floats; i++)
        if (v[i] < 0)
            return err_set(err, ERR_DATA,
                           "%s: tensor adam_v.%s holds numbers below 0, and Adam's second moments "
                           "are means of squares",
                           path, tensor_at(table, i));
    return true;
}

/* training.safetensors of `folder`, all of it. */
static bool read_training(TrainState *state, const TrainConfig *config, const ParamTable *table,
                          const char *folder, Err *err)
{
    char path[FILE_PATH];
    TrainingArrays arrays;
    list_training_arrays(&arrays, config, state);
    return checked_path(path, folder, TRAINING, err) &&
           weights_read(path, table, arrays.list, arrays.count, err) &&
           check_squares(state->adam_v, table, path, err);
}

static bool read_first_ema(float *weights, const ParamTable *table, const char *folder, Err *err)
{
    char path[FILE_PATH];
    WeightArray ema = {"", weights};
    return checked_path(path, folder, WEIGHTS, err) && weights_read(path, table, &ema, 1, err);
}

/* A file is read whole, so that all of the state is: there is no other judge of its tensors. */
static bool read_one(float *weights, const ParamTable *table, const char *folder,
                     const TrainConfig *config, int which, Err *err)
{
    TrainState state;
    if (!train_state_init(&state, table, config->emas, 0, err)) return false;
    bool ok = read_training(&state, config, table, folder, err);
    const float *from = which == CHECKPOINT_RAW ? state.weights : state.ema[which];
    if (ok) memcpy(weights, from, table->floats * sizeof *weights);
    train_state_release(&state);
    return ok;
}

bool checkpoint_weights(float *weights, const ParamTable *table, const char *folder, int which,
                        Err *err)
{
    CheckpointInfo info;
    if (which == 0) return read_first_ema(weights, table, folder, err);
    if (!checkpoint_info(&info, folder, err)) return false;
    assert(which < info.config.train.emas);
    return read_one(weights, table, folder, &info.config.train, which, err);
}

static bool read_history(TrainState *state, const char *folder, Err *err)
{
    char path[FILE_PATH];
    return !state->history || (checked_path(path, folder, HISTORY, err) &&
                               loss_history_read(state->history, path, err));
}

bool checkpoint_read(TrainState *state, const ParamTable *table, const char *folder, Err *err)
{
    CheckpointInfo info;
    if (!checkpoint_info(&info, folder, err)) return false;
    assert(info.config.train.emas == state->emas);
    if (!read_first_ema(state->ema[0], table, folder, err) ||
        !read_training(state, &info.config.train, table, folder, err) ||
        !read_history(state, folder, err))
        return false;
    state->step = info.step;
    state->images = info.images;
    state->updates = info.updates;
    state->bad_steps = info.bad_steps;
    return true;
}
