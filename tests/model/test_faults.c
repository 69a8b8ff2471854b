/* What the modules of model do when there is no memory for one of their allocations. */
#include "faults.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "model/convnet.h"
#include "model/diffusers.h"
#include "model/network.h"
#include "model/weights.h"

static char *folder, *path;

static int make_folder(void **state)
{
    (void)state;
    folder = test_temp_folder();
    path = test_path(folder, "weights.safetensors");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    free(path);
    test_remove_folder(folder);
    return 0;
}

static bool makes_a_network(Err *err)
{
    ModelConfig config = network_classes();
    size_t bytes;
    Unet *unet = unet_new(&config, true, err);
    bool ok = unet && unet_memory(&bytes, unet, 2, UNET_TRAIN, err) &&
              unet_reserve(unet, 2, UNET_TRAIN, err);
    unet_free(unet);
    return ok;
}

static bool prepares_a_network(Err *err)
{
    ModelConfig config = network_rgb16();
    Unet *unet = unet_new(&config, true, err);
    float *weights =
        unet ? memory_new(unet_params(unet)->floats, sizeof *weights, "weights", err) : NULL;
    bool ok =
        weights && unet_reserve(unet, 1, UNET_SAMPLE, err) && unet_prepare(unet, weights, err);
    free(weights);
    unet_free(unet);
    return ok;
}

static bool makes_a_classifier(Err *err)
{
    const ConvnetShape shape = {8, 12, 3, 10};
    Convnet *net = convnet_new(&shape, err);
    bool ok = net && convnet_reserve(net, 4, err);
    convnet_free(net);
    return ok;
}

/* A table of some tensors, an array of it, and a text. */
static bool writes_and_reads_weights(Err *err)
{
    const SafetensorsText text = {"key", "value"};
    ParamTable table;
    float *values = NULL;
    bool ok = params_init(&table, 2, err);
    if (ok) {
        params_add(&table, PARAM_FILTER, "conv_in", "weight", 5, 3, 1);
        params_add(&table, PARAM_VECTOR, "conv_in", "bias", 5, 0, 0);
        values = memory_new(table.floats, sizeof *values, "weights", err);
    }
    WeightArray array = {"raw.", values};
    ok = values && weights_write_with(path, &table, &array, 1, &text, 1, err) &&
         weights_read(path, &table, &array, 1, err);
    free(values);
    params_release(&table);
    return ok;
}

static bool reads_a_config(Err *err)
{
    ModelConfig config = network_classes(), read;
    char *text = NULL;
    Json *json = diffusers_config_write(&config), *again = NULL;
    bool ok = json_print(&text, json, JSON_COMPACT, err) &&
              json_parse(&again, text, strlen(text), "config.json", err) &&
              diffusers_config_read(&read, again, "config.json", err);
    json_free(json);
    json_free(again);
    free(text);
    return ok;
}

static void memory_may_end_anywhere(void **state)
{
    (void)state;
    if (!FAULTS) skip();
    starve(makes_a_network);
    starve(prepares_a_network);
    starve(makes_a_classifier);
    starve(writes_and_reads_weights);
    starve(reads_a_config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_may_end_anywhere, make_folder, remove_folder),
    };
    parallel_setup(1); /* more threads have memory of their own, for good */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
