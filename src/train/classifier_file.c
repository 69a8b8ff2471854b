/*
 * What a file says it is made for is believed only after its numbers are known to be in range and
 * to fit, since the network's memory follows from them.
 */
#include "train/classifier.h"

#include "base/zip.h"
#include "model/weights.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "ddpm classifier";

bool classifier_check_fits(const Classifier *c, const Dataset *set, const char *path, Err *err)
{
    const ConvnetShape *s = &c->info.shape;
    if (s->height == set->height && s->width == set->width && s->channels == set->channels)
        return true;
    return err_set(err, ERR_DATA,
                   "%s: is for images of %d x %d x %d (height, width, channels), and these are of "
                   "%d x %d x %d",
                   path, s->height, s->width, s->channels, set->height, set->width, set->channels);
}

/* ---- writing ---- */

enum { TEXT = 32, NUMBERS = 9 };

static void print_numbers(char text[NUMBERS][TEXT], const ClassifierInfo *info)
{
    const ConvnetShape *s = &info->shape;
    snprintf(text[0], TEXT, "%d", s->height);
    snprintf(text[1], TEXT, "%d", s->width);
    snprintf(text[2], TEXT, "%d", s->channels);
    snprintf(text[3], TEXT, "%d", s->classes);
    snprintf(text[4], TEXT, "%llu", (unsigned long long)info->seed);
    snprintf(text[5], TEXT, "%d", info->steps);
    snprintf(text[6], TEXT, "%d", info->train_images);
    snprintf(text[7], TEXT, "%d", info->test_images);
    snprintf(text[8], TEXT, "%.17g", info->test_accuracy);
}

/* The CRC-32 of the numbers as they are printed, and then of each tensor as it is in the file. */
static bool print_crc32(char hex[TEXT], const Classifier *c, Err *err)
{
    char text[NUMBERS][TEXT] = {{0}};
    const ParamTable *table = convnet_params(c->net);
    float *tensor = memory_new(table->floats, sizeof *tensor, "a tensor", err);
    if (!tensor) return false;
    print_numbers(text, &c->info);
    uint32_t crc = zip_crc32(text, sizeof text);
    for (int i = 0; i < table->count; i++) {
        const Param *p = &table->list[i];
        param_to_file(tensor, c->weights + p->offset, p);
        crc = zip_crc32_more(crc, tensor, p->count * sizeof *tensor);
    }
    free(tensor);
    snprintf(hex, TEXT, "%08" PRIx32, crc);
    return true;
}

bool classifier_write(const char *path, const Classifier *c, Err *err)
{
    char text[NUMBERS][TEXT], crc[TEXT];
    if (!print_crc32(crc, c, err)) return false;
    print_numbers(text, &c->info);
    const SafetensorsText metadata[] = {
        {"format", FORMAT},       {"height", text[0]},
        {"width", text[1]},       {"channels", text[2]},
        {"classes", text[3]},     {"seed", text[4]},
        {"steps", text[5]},       {"train_images", text[6]},
        {"test_images", text[7]}, {"test_accuracy", text[8]},
        {"crc32", crc},
    };
    WeightArray weights = {"", c->weights};
    return weights_write_with(path, convnet_params(c->net), &weights, 1, metadata,
                              sizeof metadata / sizeof *metadata, err);
}

/* ---- reading ---- */

static const char *text_of(const Safetensors *file, const char *key)
{
    const char *text = safetensors_metadata(file, key);
    return text ? text : "";
}

/* A whole number in [0, limit] of digits alone. */
static bool get_whole(uint64_t *value, const Safetensors *file, const char *key, uint64_t limit,
                      const char *path, Err *err)
{
    const char *text = text_of(file, key);
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    unsigned long long number = strtoull(text, NULL, 10);
    *value = number;
    if (digits > 0 && text[digits] == 0 && errno == 0 && number <= limit) return true;
    return err_set(err, ERR_DATA,
                   "%s: \"%s\" in its metadata is \"%.40s\", not a whole number up to %llu", path,
                   key, text, (unsigned long long)limit);
}

static bool get_int(int *value, const Safetensors *file, const char *key, const char *path,
                    Err *err)
{
    uint64_t whole;
    if (!get_whole(&whole, file, key, INT32_MAX, path, err)) return false;
    *value = (int)whole;
    return true;
}

static bool get_share(double *value, const Safetensors *file, const char *key, const char *path,
                      Err *err)
{
    const char *text = text_of(file, key);
    char *end;
    *value = strtod(text, &end);
    if (end > text && *end == 0 && *value >= 0 && *value <= 1) return true;
    return err_set(err, ERR_DATA,
                   "%s: \"%s\" in its metadata is \"%.40s\", not a number from 0 to 1", path, key,
                   text);
}

static bool get_info(ClassifierInfo *info, const Safetensors *file, const char *path, Err *err)
{
    ConvnetShape *s = &info->shape;
    if (strcmp(text_of(file, "format"), FORMAT) != 0)
        return err_set(err, ERR_DATA, "%s: is not a classifier's file", path);
    if (!get_int(&s->height, file, "height", path, err) ||
        !get_int(&s->width, file, "width", path, err) ||
        !get_int(&s->channels, file, "channels", path, err) ||
        !get_int(&s->classes, file, "classes", path, err) ||
        !get_whole(&info->seed, file, "seed", UINT64_MAX, path, err) ||
        !get_int(&info->steps, file, "steps", path, err) ||
        !get_int(&info->train_images, file, "train_images", path, err) ||
        !get_int(&info->test_images, file, "test_images", path, err) ||
        !get_share(&info->test_accuracy, file, "test_accuracy", path, err))
        return false;
    return convnet_check(s, err) || err_prefix(err, "%s", path);
}

static bool check_crc32(const Classifier *c, const Safetensors *file, const char *path, Err *err)
{
    char is[TEXT];
    const char *was = text_of(file, "crc32");
    if (!print_crc32(is, c, err)) return false;
    if (strcmp(is, was) == 0) return true;
    return err_set(err, ERR_DATA, "%s: damaged: its CRC-32 is %s, and by its metadata it was %.40s",
                   path, is, *was ? was : "none");
}

static bool take(Classifier *c, const Safetensors *file, const char *path, const Dataset *set,
                 Err *err)
{
    Classifier said = {0};
    if (!get_info(&said.info, file, path, err)) return false;
    if (set && !classifier_check_fits(&said, set, path, err)) return false;
    if (!classifier_init(c, &said.info.shape, err)) return false;
    c->info = said.info;
    WeightArray weights = {"", c->weights};
    if (weights_take(file, path, convnet_params(c->net), &weights, 1, err) &&
        check_crc32(c, file, path, err))
        return true;
    classifier_release(c);
    return false;
}

/* What is wrong with such a file, its user cannot mend, but can make another. */
static bool add_remedy(Err *err)
{
    Err wrong = *err;
    if (err->kind != ERR_DATA) return false;
    return err_set(err, ERR_DATA, "%s; train one with: ddpm eval --train-features", wrong.text);
}

bool classifier_read(Classifier *c, const char *path, const Dataset *set, Err *err)
{
    Safetensors file;
    *c = (Classifier){0};
    if (!safetensors_read(&file, path, err)) return add_remedy(err);
    bool ok = take(c, &file, path, set, err);
    safetensors_release(&file);
    return ok || add_remedy(err);
}
