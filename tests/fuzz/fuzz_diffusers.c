/*
 * A model's folder. The parts of an input, cut at lines "==", are its files, in this order; an
 * empty one is not there:
 *
 *     config.json  scheduler_config.json  weights  model_index.json  ddpm.json  checksums.json
 *
 * Without the last three the folder is a flat one, the U-Net's alone. Of a small network whose
 * weights are not there, some are written and read again.
 */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "base/memory.h"
#include "model/diffusers.h"
#include "model/weights.h"
#include "train/scheduler.h"
#include "train/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG, SCHEDULER, WEIGHTS, INDEX, DDPM, CHECKSUMS, FILES };
enum { MOST_FLOATS = 1 << 16 };

static void put(const char *name, FuzzPart part)
{
    fuzz_put(name, part.size > 0 ? part : (FuzzPart){0});
}

/* A pipeline's layout, or the flat one. */
static const char *put_all(const FuzzPart *parts)
{
    static bool made;
    Err err;
    if (!made) made = file_make_folder(fuzz_path("model/unet"), &err);
    if (!file_make_folder(fuzz_path("model/scheduler"), &err)) made = false;
    fuzz_require(made, "folders for the files");
    bool flat = parts[INDEX].size + parts[DDPM].size == 0;
    const FuzzPart none = {0};
    put("model/config.json", flat ? parts[CONFIG] : none);
    put("model/diffusion_pytorch_model.safetensors", flat ? parts[WEIGHTS] : none);
    put("model/unet/config.json", flat ? none : parts[CONFIG]);
    put("model/unet/diffusion_pytorch_model.safetensors", flat ? none : parts[WEIGHTS]);
    put("model/scheduler/scheduler_config.json", parts[SCHEDULER]);
    put("model/model_index.json", parts[INDEX]);
    put("model/ddpm.json", parts[DDPM]);
    put("model/checksums.json", parts[CHECKSUMS]);
    return fuzz_path("model");
}

/* What a network's config.json says is what is written of it. */
static void same_network(const ModelConfig *config)
{
    Json *json = diffusers_config_write(config), *copy;
    ModelConfig again;
    char *first, *second;
    Err err;
    fuzz_require(diffusers_config_read(&again, json, "again", &err), "a written config is read");
    copy = diffusers_config_write(&again);
    fuzz_require(json_print(&first, json, JSON_COMPACT, &err), "memory");
    fuzz_require(json_print(&second, copy, JSON_COMPACT, &err), "memory");
    fuzz_require(strcmp(first, second) == 0, "a config that was written is read as it was");
    json_free(json), json_free(copy);
    free(first), free(second);
}

/* Of the chain of a diffusers folder; a checkpoint's own chain may be one that diffusers has no
 * name for. */
static void same_chain(const DiffusionConfig *config, bool clip)
{
    DiffusionConfig again = *config;
    bool again_clip;
    Json *json;
    Err err;
    if (config->timesteps > FUZZ_MOST_STEPS) return;
    fuzz_require(scheduler_write(&json, config, clip, &err), "a scheduler is written");
    fuzz_require(scheduler_read(&again, &again_clip, json, "again", &err),
                 "a written scheduler is read");
    fuzz_require(schedule_equal(config, &again), "as the same chain");
    fuzz_require(config->prediction == again.prediction && config->variance == again.variance &&
                     clip == again_clip,
                 "with what the network puts out");
    json_free(json);
}

static void write_and_read(Source *source, const Unet *unet, float *weights)
{
    const ParamTable *table = unet_params(unet);
    Err err;
    float *drawn = memory_new(table->floats, sizeof *drawn, "weights", &err);
    params_draw(drawn, table, 7);
    WeightArray array = {"", drawn};
    fuzz_require(weights_write(source->weights, table, &array, 1, &err), "weights are written");
    if (source_weights(weights, source, unet, SOURCE_FIRST_EMA, &err))
        fuzz_require(memcmp(weights, drawn, table->floats * sizeof *drawn) == 0, "and read again");
    else
        fuzz_refused(&err); /* a checksum of other weights */
    free(drawn);
}

static void read_weights(Source *source, const Unet *unet, bool there)
{
    Err err;
    size_t floats = unet_params(unet)->floats;
    if (there && !source_check_size(source, unet, &err)) {
        fuzz_refused(&err);
        return;
    }
    if (floats > MOST_FLOATS) return;
    float *weights = memory_new(floats, sizeof *weights, "weights", &err);
    if (!there) {
        write_and_read(source, unet, weights);
    } else if (source_weights(weights, source, unet, SOURCE_FIRST_EMA, &err)) {
        for (size_t i = 0; i < floats; i++)
            fuzz_require(isfinite(weights[i]), "weights are finite");
    } else {
        fuzz_refused(&err);
    }
    free(weights);
}

static void read_model(Source *source, bool there)
{
    Err err;
    bool ours = source->kind == SOURCE_CHECKPOINT;
    if (!ours) {
        same_network(&source->config.model);
        same_chain(&source->config.diffusion, source->config.sample.clip);
    }
    fuzz_chain(&source->config.diffusion);
    if (!source_check_outputs(source, source->config.diffusion.variance == VARIANCE_LEARNED_RANGE,
                              &err))
        fuzz_refused(&err);
    Unet *unet = unet_new(&source->config.model, ours, &err);
    if (unet)
        read_weights(source, unet, there);
    else
        fuzz_refused(&err);
    unet_free(unet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzPart parts[FILES] = {{0}};
    Source source;
    Err err;
    fuzz_split(parts, FILES, data, size);
    if (source_open(&source, put_all(parts), &err))
        read_model(&source, parts[WEIGHTS].size > 0);
    else
        fuzz_refused(&err);
    return 0;
}
