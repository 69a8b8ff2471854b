/*
 * The images that a model was trained on may have come without their classes, so they are read
 * again with them. Those that the model was judged by are never trained on here either, and where
 * the data has none of that kind a tenth is held out.
 */
#include "base/clock.h"
#include "cmd/eval_classifier.h"
#include "cmd/interrupt.h"
#include "data/dataset_open.h"
#include "data/split.h"
#include "train/classifier.h"

#include <string.h>

static const double HELD_OUT = 0.1;

/* ---- where it is kept ---- */

bool eval_classifier_path(char path[FILE_PATH], const EvalRun *run, Err *err)
{
    char checkpoints[FILE_PATH], above[FILE_PATH];
    const char *folder = run->source.folder;
    if (run->options.classifier) return file_path(path, err, "%s", run->options.classifier);
    file_parent(checkpoints, folder);
    file_parent(above, checkpoints);
    if (run->source.kind == SOURCE_CHECKPOINT && source_is_run(above)) folder = above;
    return file_path(path, err, "%s/classifier.safetensors", folder);
}

/* Before minutes of training, not after them. */
static bool check_path(const char *path, Err *err)
{
    char folder[FILE_PATH];
    file_parent(folder, path);
    if (file_is_folder(path))
        return err_set(err, ERR_USAGE, "--classifier %s: is a folder; name a file", path);
    return file_is_folder(folder) ||
           err_set(err, ERR_USAGE, "--classifier %s: there is no folder %s", path, folder);
}

/* ---- its images ---- */

static bool open_test(Dataset *test, Dataset *train, const DataConfig *data, uint64_t seed,
                      Err *err)
{
    Err ignored;
    if (data_holds_out(data)) return dataset_split(train, test, data->validation, seed, err);
    if (!dataset_check_test(data, &ignored)) return dataset_split(train, test, HELD_OUT, seed, err);
    return dataset_open(test, data, DATASET_TEST, train->height, train->width, train->channels,
                        err);
}

/* Whoever trained without labels is not told of data.labels where it is only those that lack; of
 * idx, whose labels are a file, it is told which. */
static bool explain(Err *err, const Config *c)
{
    const ModelConfig *m = &c->model;
    Dataset set;
    Err ignored;
    if (err->kind != ERR_DATA || c->data.labels || c->data.format == DATA_IDX ||
        !dataset_open(&set, &c->data, DATASET_TRAIN, m->height, m->width, m->channels, &ignored))
        return false;
    dataset_release(&set);
    return err_set(err, ERR_DATA,
                   "--train-features: %s holds no labels, and a classifier learns nothing else; "
                   "--features compares features that another network made",
                   c->data.path);
}

static bool open_images(Datasets *sets, const Config *c, Err *err)
{
    const ModelConfig *m = &c->model;
    DataConfig data = c->data;
    data.labels = true;
    *sets = (Datasets){0};
    if (!dataset_open(&sets->train, &data, DATASET_TRAIN, m->height, m->width, m->channels, err))
        return explain(err, c);
    if (open_test(&sets->validation, &sets->train, &data, c->train.seed, err)) return true;
    datasets_release(sets);
    return false;
}

/* ---- training ---- */

static bool stepped(void *context, long done, double loss)
{
    EvalRun *run = context;
    char text[32];
    snprintf(text, sizeof text, "loss %.3f", loss);
    progress_update(&run->progress, done, text);
    return interrupt_signal() == 0;
}

static void report(EvalRun *run, const Classifier *c, const char *kept, double seconds)
{
    Json *section = eval_run_section(run, "classifier");
    if (kept)
        json_set_string(section, "file", kept);
    else
        json_set_null(section, "file");
    json_set_number(section, "features", CONVNET_FEATURES);
    json_set_number(section, "classes", c->info.shape.classes);
    json_set_number(section, "training_images", c->info.train_images);
    json_set_number(section, "steps", c->info.steps);
    json_set_number(section, "seconds", seconds);
    eval_run_figure(section, "test_accuracy", c->info.test_accuracy,
                    classifier_accuracy_error(&c->info), c->info.test_images);
    if (!kept) eval_run_partial(run, section);
}

static bool train(Classifier *c, EvalRun *run, const Dataset *set, Err *err)
{
    ClassifierTraining how = {.seed = (uint64_t)run->options.seed,
                              .flip = run->source.config.data.flip,
                              .steps = classifier_steps(set->count),
                              .progress = stepped,
                              .context = run};
    eval_run_begin(run, "classifier", "steps", how.steps);
    bool done = classifier_train(c, set, &how, err);
    eval_run_end(run);
    return done;
}

static bool train_and_keep(EvalRun *run, const Datasets *sets, const char *path, Err *err)
{
    Classifier c;
    double start = clock_seconds();
    if (!train(&c, run, &sets->train, err)) return false;
    double seconds = clock_seconds() - start;
    bool whole = interrupt_signal() == 0;
    bool done =
        classifier_test(&c, &sets->validation, err) && (!whole || classifier_write(path, &c, err));
    if (done) report(run, &c, whole ? path : NULL, seconds);
    classifier_release(&c);
    return done;
}

bool eval_train_features(EvalRun *run, Err *err)
{
    char path[FILE_PATH];
    Datasets sets;
    if (!eval_classifier_path(path, run, err) || !check_path(path, err) ||
        !open_images(&sets, &run->source.config, err))
        return false;
    bool done = train_and_keep(run, &sets, path, err);
    datasets_release(&sets);
    return done;
}
