#include "train/training.h"

#include "data/dataset_open.h"

Config small_config(ModelConfig model)
{
    Config c = config_default();
    c.data.format = DATA_SHAPES;
    c.model = model;
    c.train.batch_size = c.train.micro_batch = 4;
    c.train.learning_rate = 2e-3;
    c.train.warmup_steps = 0;
    c.train.ema_decay[0] = 0.9;
    c.train.ema_warmup = false;
    return c;
}

Dataset shapes(const Config *c)
{
    Dataset set;
    Err err;
    if (!dataset_open(&set, &c->data, DATASET_TRAIN, c->model.height, c->model.width,
                      c->model.channels, &err))
        fail_msg("%s", err.text);
    return set;
}

Trainer *new_trainer(const Config *config, const Dataset *set)
{
    Err err;
    if (!config_check(config, &err)) fail_msg("%s", err.text);
    Trainer *trainer = trainer_new(config, set, &err);
    if (!trainer) fail_msg("%s", err.text);
    return trainer;
}

size_t floats_of(Trainer *trainer)
{
    return unet_params(trainer_unet(trainer))->floats;
}

void assert_states_equal(Trainer *a, Trainer *b)
{
    const TrainState *s = trainer_state(a), *t = trainer_state(b);
    size_t bytes = floats_of(a) * sizeof(float);
    assert_int_equal(s->step, t->step);
    assert_int_equal(s->images, t->images);
    assert_int_equal(s->updates, t->updates);
    assert_memory_equal(s->weights, t->weights, bytes);
    assert_memory_equal(s->adam_m, t->adam_m, bytes);
    assert_memory_equal(s->adam_v, t->adam_v, bytes);
    assert_int_equal(s->emas, t->emas);
    for (int i = 0; i < s->emas; i++) assert_memory_equal(s->ema[i], t->ema[i], bytes);
}
