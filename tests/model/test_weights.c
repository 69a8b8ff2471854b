#include "model/network.h"
#include "model/weights.h"

#include <math.h>
#include <stdio.h>

/* ---- a small table, and files made for it ---- */

static ParamTable new_table(void)
{
    ParamTable table;
    Err err;
    if (!params_init(&table, 4, &err)) fail_msg("%s", err.text);
    params_add(&table, PARAM_FILTER, "conv_in", "weight", 5, 3, 1);
    params_add(&table, PARAM_MATRIX, "mid_block.attentions.0.to_q", "weight", 4, 4, 1);
    params_add(&table, PARAM_MATRIX, "mid_block.attentions.0.to_out.0", "weight", 4, 4, 1);
    params_add(&table, PARAM_VECTOR, "conv_in", "bias", 5, 0, 0);
    return table;
}

typedef struct {
    TensorSpec specs[8];
    size_t count;
    float value; /* of every element, but for the first of each tensor */
    float first;
} File;

static File file_of(const ParamTable *table)
{
    File f = {.count = (size_t)table->count, .value = 0.5f, .first = -1.5f};
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        f.specs[i] = (TensorSpec){.name = p->name, .type = TENSOR_F32, .ndim = p->ndim};
        for (int d = 0; d < p->ndim; d++) f.specs[i].shape[d] = (size_t)p->shape[d];
    }
    return f;
}

/* 1.5, 0.5 and such are the upper half of a float in BF16, and these bits in F16. */
static uint16_t half_of(float value)
{
    if (isnan(value)) return 0x7e00;
    return fabsf(value) == 1.5f ? (value < 0 ? 0xbe00 : 0x3e00) : 0x3800;
}

static void put_value(void *out, size_t i, TensorType type, float value)
{
    double wide = (double)value;
    uint32_t bits;
    uint16_t half;
    memcpy(&bits, &value, sizeof bits);
    half = type == TENSOR_F16 ? half_of(value) : (uint16_t)(bits >> 16);
    if (type == TENSOR_F64) memcpy((char *)out + 8 * i, &wide, 8);
    if (type == TENSOR_F32 || type == TENSOR_I32) memcpy((char *)out + 4 * i, &value, 4);
    if (type == TENSOR_F16 || type == TENSOR_BF16) memcpy((char *)out + 2 * i, &half, 2);
}

static void fill(void *context, size_t index, void *out)
{
    const File *f = context;
    const TensorSpec *spec = &f->specs[index];
    size_t count = 1;
    for (int d = 0; d < spec->ndim; d++) count *= spec->shape[d];
    for (size_t i = 0; i < count; i++) put_value(out, i, spec->type, i ? f->value : f->first);
}

static void write_file(const char *path, File *f)
{
    SafetensorsPlan plan = {.list = f->specs, .count = f->count, .fill = fill, .context = f};
    Err err;
    if (!safetensors_write(path, &plan, &err)) fail_msg("%s", err.text);
}

static bool read_back(float *values, const ParamTable *table, File *f, Err *err)
{
    char *folder = test_temp_folder(), *path = test_path(folder, "w.safetensors");
    WeightArray array = {"", values};
    write_file(path, f);
    bool ok = weights_read(path, table, &array, 1, err);
    free(path);
    test_remove_folder(folder);
    return ok;
}

/* ---- there and back ---- */

static void arrays_come_back_bit_for_bit(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = network_classes();
    Unet *unet = unet_new(&config, true, &err);
    const ParamTable *table = unet_params(unet);
    char *folder = test_temp_folder(), *path = test_path(folder, "w.safetensors");
    float *a = network_random_weights(unet, 1), *b = network_random_weights(unet, 2);
    float *x = test_floats(table->floats), *y = test_floats(table->floats);
    WeightArray written[] = {{"raw.", a}, {"adam_m.", b}}, read[] = {{"adam_m.", y}, {"raw.", x}};
    assert_true(weights_write(path, table, written, 2, &err));
    if (!weights_read(path, table, read, 2, &err)) fail_msg("%s", err.text);
    assert_memory_equal(x, a, table->floats * sizeof *a); /* padding too: zeros */
    assert_memory_equal(y, b, table->floats * sizeof *b);
    assert_false(weights_read(path, table, read, 1, &err)); /* the other is a stranger */
    assert_non_null(strstr(err.text, "raw."));
    free(a), free(b), free(x), free(y), free(path);
    test_remove_folder(folder);
    unet_free(unet);
}

/* Out of the order of memory into that of files: OIHW, by hand. */
static void files_are_in_pytorchs_order(void **state)
{
    (void)state;
    ParamTable table = new_table();
    char *folder = test_temp_folder(), *path = test_path(folder, "w.safetensors");
    float *values = test_normals(table.floats, 3);
    WeightArray array = {"", values};
    Safetensors file;
    Err err;
    assert_true(weights_write(path, &table, &array, 1, &err));
    assert_true(safetensors_read(&file, path, &err));
    const Tensor *conv = safetensors_find(&file, "conv_in.weight");
    const Tensor *q = safetensors_find(&file, "mid_block.attentions.0.to_q.weight");
    const float *w = conv->data, *m = q->data;
    const Param *filter = params_find(&table, conv->name), *matrix = params_find(&table, q->name);
    for (size_t o = 0; o < 5; o++)
        for (size_t i = 0; i < 3; i++)
            for (size_t k = 0; k < 9; k++)
                assert_close((double)w[(o * 3 + i) * 9 + k],
                             (double)values[filter->offset + (k * 3 + i) * 5 + o], 0);
    for (size_t o = 0; o < 4; o++)
        for (size_t i = 0; i < 4; i++)
            assert_close((double)m[o * 4 + i], (double)values[matrix->offset + i * 4 + o], 0);
    safetensors_release(&file);
    free(values), free(path), params_release(&table);
    test_remove_folder(folder);
}

/* ---- what others write ---- */

static void other_types_are_read(void **state)
{
    (void)state;
    const TensorType types[] = {TENSOR_F32, TENSOR_F64, TENSOR_F16, TENSOR_BF16};
    ParamTable table = new_table();
    for (int k = 0; k < 4; k++) {
        Err err;
        File f = file_of(&table);
        float *values = test_floats(table.floats);
        for (size_t i = 0; i < f.count; i++) f.specs[i].type = types[k];
        if (!read_back(values, &table, &f, &err)) fail_msg("%s", err.text);
        for (int i = 0; i < table.count; i++) {
            const Param *p = &table.list[i];
            assert_close((double)values[p->offset], -1.5, 0);
            for (size_t j = 1; j < p->count; j++)
                assert_close((double)values[p->offset + j], 0.5, 0);
        }
        free(values);
    }
    params_release(&table);
}

static void attentions_older_names_are_read(void **state)
{
    (void)state;
    ParamTable table = new_table();
    Err err;
    File f = file_of(&table);
    float *values = test_floats(table.floats);
    f.specs[1].name = "mid_block.attentions.0.query.weight";
    f.specs[2].name = "mid_block.attentions.0.proj_attn.weight";
    if (!read_back(values, &table, &f, &err)) fail_msg("%s", err.text);
    assert_close((double)values[table.list[1].offset], -1.5, 0);
    assert_close((double)values[table.list[2].offset], -1.5, 0);
    free(values), params_release(&table);
}

/* ---- what does not fit ---- */

static void assert_refused(const ParamTable *table, File *f, const char *one, const char *two)
{
    float *values = test_floats(table->floats);
    Err err;
    if (read_back(values, table, f, &err)) fail_msg("read, in spite of %s", one);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, "w.safetensors: ") || !strstr(err.text, one) || !strstr(err.text, two))
        fail_msg("%s", err.text);
    free(values);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    ParamTable table = new_table();
    File f = file_of(&table);
    f.count--;
    assert_refused(&table, &f, "conv_in.bias", "missing");
    f = file_of(&table);
    f.specs[0].shape[1] = 4;
    assert_refused(&table, &f, "conv_in.weight has the shape [5, 4, 3, 3]", "[5, 3, 3, 3]");
    f = file_of(&table);
    f.specs[1].ndim = 4, f.specs[1].shape[2] = f.specs[1].shape[3] = 1;
    assert_refused(&table, &f, "to_q.weight", "[4, 4, 1, 1]");
    f = file_of(&table);
    f.specs[3].type = TENSOR_I32;
    assert_refused(&table, &f, "conv_in.bias", "I32");
    f = file_of(&table);
    f.specs[f.count++] = (TensorSpec){"conv_in.gain", TENSOR_F32, 1, {5}};
    assert_refused(&table, &f, "conv_in.gain", "not part of the network");
    /* both names of one matrix: one of them is too many */
    f = file_of(&table);
    f.specs[f.count] = f.specs[1];
    f.specs[f.count++].name = "mid_block.attentions.0.query.weight";
    assert_refused(&table, &f, "query.weight", "not part of the network");
    f = file_of(&table);
    f.first = NAN;
    assert_refused(&table, &f, "conv_in.weight", "not finite");
    f = file_of(&table);
    f.value = INFINITY;
    assert_refused(&table, &f, "conv_in.weight", "not finite");
    params_release(&table);
}

/* A double that no float can hold is no weight either. */
static void doubles_that_overflow_are_refused(void **state)
{
    (void)state;
    ParamTable table = new_table();
    File f = file_of(&table);
    for (size_t i = 0; i < f.count; i++) f.specs[i].type = TENSOR_F64;
    f.value = INFINITY;
    assert_refused(&table, &f, "conv_in.weight", "not finite");
    params_release(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_come_back_bit_for_bit),
        cmocka_unit_test(files_are_in_pytorchs_order),
        cmocka_unit_test(other_types_are_read),
        cmocka_unit_test(attentions_older_names_are_read),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(doubles_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
