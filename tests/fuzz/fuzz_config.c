/*
 * A configuration: the JSON of a file, then, each after a line "==", what --set would be given.
 * What is read is checked as `ddpm train` does, written as a run records it, and read again; of
 * what passes the checks the network is laid out and the chain made.
 */
#include "fuzz/fuzz.h"

#include "model/unet.h"
#include "train/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SETS = 8, MOST_BLOCKS = 100 };

/* Printed and parsed again, JSON is printed as before. */
static void print_again(const Json *json)
{
    char *text, *again;
    Json *copy;
    Err err;
    fuzz_require(json_print(&text, json, JSON_COMPACT, &err), "JSON is printed");
    fuzz_require(json_parse(&copy, text, strlen(text), "printed", &err), "and read again");
    fuzz_require(json_print(&again, copy, JSON_COMPACT, &err), "and printed again");
    fuzz_require(strcmp(text, again) == 0, "JSON that was printed is read as it was");
    json_free(copy);
    free(again);
    free(text);
}

/* A run records its config and goes on from what it recorded. */
static void write_again(const Config *config)
{
    Config again = config_default();
    Json *json = config_write(config);
    size_t count;
    Err err;
    const Key *keys = config_keys(&count);
    print_again(json);
    fuzz_require(config_parse(&again, json, "again", &err), "a config that was written is read");
    for (size_t i = 0; i < count; i++)
        fuzz_require(key_equal(&keys[i], config, &again), keys[i].path);
    fuzz_require(!config_frozen_difference(config, &again), "a run goes on with its own config");
    json_free(json);
}

static void lay_out(const Config *config)
{
    Err err;
    size_t bytes;
    Unet *unet = unet_new(&config->model, true, &err);
    if (!unet) {
        fuzz_require(err.text[0] != 0, "a network that cannot be has a message");
        return;
    }
    fuzz_require(isfinite(unet_macs(unet)) && unet_macs(unet) > 0, "there is work to do");
    if (unet_topology(unet)->count <= MOST_BLOCKS)
        unet_memory(&bytes, unet, config->train.micro_batch, UNET_TRAIN, &err);
    unet_free(unet);
}

static bool set(Config *config, FuzzPart part)
{
    Err err;
    char *text = strndup((const char *)part.data, part.size);
    bool good = config_set(config, text, &err);
    if (!good) fuzz_refused(&err);
    free(text);
    return good;
}

static bool parse(Config *config, FuzzPart part)
{
    Json *json;
    Err err;
    if (!json_parse(&json, (const char *)part.data, part.size, "stranger.json", &err)) {
        fuzz_refused(&err);
        return false;
    }
    print_again(json);
    bool good = config_parse(config, json, "stranger.json", &err);
    if (!good) fuzz_refused(&err);
    json_free(json);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzPart parts[1 + MOST_SETS];
    Config config = config_default();
    Err err;
    int count = fuzz_split(parts, 1 + MOST_SETS, size > 0 ? data : (const uint8_t *)"", size);
    bool good = parse(&config, parts[0]);
    for (int i = 1; good && i < count; i++) good = set(&config, parts[i]);
    if (!good) return 0;
    write_again(&config);
    if (config_check(&config, &err)) {
        lay_out(&config);
        fuzz_chain(&config.diffusion);
    } else {
        fuzz_refused(&err);
    }
    return 0;
}
