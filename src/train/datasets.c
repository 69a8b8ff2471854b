#include "train/datasets.h"

#include "data/dataset_open.h"
#include "data/split.h"

/* A row too many would be drawn from without having been trained. */
static bool check_classes(const Config *c, int classes, Err *err)
{
    if (!c->data.labels || classes == config_classes(c)) return true;
    if (c->train.label_dropout > 0)
        return err_set(err, ERR_USAGE,
                       "model.num_classes = %d, but the data has %d classes: with "
                       "train.label_dropout = %g it has to be %d classes + 1 row for no class = %d",
                       c->model.num_classes, classes, c->train.label_dropout, classes, classes + 1);
    return err_set(err, ERR_USAGE,
                   "model.num_classes = %d, but the data has %d classes: it has to be %d, as "
                   "train.label_dropout = 0 leaves no row for no class",
                   c->model.num_classes, classes, classes);
}

static bool open_part(Dataset *set, const Config *c, DatasetPart part, Err *err)
{
    const ModelConfig *m = &c->model;
    return dataset_open(set, &c->data, part, m->height, m->width, m->channels, err);
}

static bool is_looked_at(const Config *c)
{
    return c->train.validate_every > 0 || c->train.evaluate_every > 0;
}

bool datasets_open_test(Datasets *sets, const Config *c, Err *err)
{
    Dataset test;
    if (!dataset_check_test(&c->data, err) || !open_part(&test, c, DATASET_TEST, err)) return false;
    dataset_release(&sets->validation);
    sets->validation = test;
    if (test.classes <= sets->train.classes) return true;
    return err_set(err, ERR_DATA,
                   "data.validation = test: the test part has a class %d, and the training part "
                   "only %d classes",
                   test.classes - 1, sets->train.classes);
}

static bool hold_out(Datasets *sets, const Config *c, Err *err)
{
    if (!dataset_split(&sets->train, &sets->validation, c->data.validation, c->train.seed, err))
        return false;
    if (!is_looked_at(c)) dataset_release(&sets->validation);
    return true;
}

static bool open_validation(Datasets *sets, const Config *c, Err *err)
{
    if (data_holds_out(&c->data)) return hold_out(sets, c, err);
    if (c->data.validation != VALIDATION_TEST) return true;
    return is_looked_at(c) ? datasets_open_test(sets, c, err) : dataset_check_test(&c->data, err);
}

bool datasets_open(Datasets *sets, const Config *c, Err *err)
{
    *sets = (Datasets){0};
    if (open_part(&sets->train, c, DATASET_TRAIN, err) &&
        check_classes(c, sets->train.classes, err) && open_validation(sets, c, err))
        return true;
    datasets_release(sets);
    return false;
}

void datasets_release(Datasets *sets)
{
    dataset_release(&sets->train);
    dataset_release(&sets->validation);
}
