/*
 * What concerns two keys or more: what the keys mean together, and which cannot be.
 */
#include "diffusion/loss.h"
#include "diffusion/schedule.h"
#include "eval/patches.h"
#include "train/config.h"

static bool check_data(const Config *c, Err *err)
{
    const char *format = data_format_names[c->data.format];
    if (c->data.format != DATA_SHAPES && !c->data.path[0])
        return err_set(err, ERR_USAGE,
                       "data.path is needed for data.format = %s: name the folder or file of the "
                       "images (only `shapes` needs none)",
                       format);
    if (c->model.channels == 2)
        return err_set(err, ERR_USAGE, "model.channels = 2: images are grey (1) or colour (3)");
    return true;
}

static bool check_classes(const Config *c, Err *err)
{
    if (!c->data.labels && c->model.num_classes > 0)
        return err_set(err, ERR_USAGE,
                       "model.num_classes = %d needs the images' classes: data.labels = true",
                       c->model.num_classes);
    if (c->data.labels && config_classes(c) < 1)
        return err_set(err, ERR_USAGE,
                       "data.labels = true and model.num_classes = %d: it has to be the number of "
                       "the classes%s",
                       c->model.num_classes,
                       c->train.label_dropout > 0
                           ? ", and one more, which stands for no class (train.label_dropout)"
                           : "");
    return true;
}

int config_classes(const Config *c)
{
    bool drops = c->data.labels && c->train.label_dropout > 0;
    return drops && c->model.num_classes > 0 ? c->model.num_classes - 1 : c->model.num_classes;
}

static bool check_training(const Config *c, Err *err)
{
    const TrainConfig *t = &c->train;
    if (t->learning_rate_decay != RATE_CONSTANT && t->warmup_steps >= t->steps)
        return err_set(err, ERR_USAGE,
                       "train.learning_rate_decay = %s: train.warmup_steps = %d leaves none of "
                       "train.steps = %d to fall over; set fewer, or the decay to constant",
                       rate_decay_names[t->learning_rate_decay], t->warmup_steps, t->steps);
    if (t->learning_rate * t->weight_decay >= 1)
        return err_set(err, ERR_USAGE,
                       "train.weight_decay = %g: each step would take train.learning_rate * "
                       "train.weight_decay = %g of the weights, which is all of them; make it "
                       "smaller, such as 0.01",
                       t->weight_decay, t->learning_rate * t->weight_decay);
    for (int i = 0; i < t->emas; i++)
        for (int j = 0; j < i; j++)
            if (t->ema_decay[i] == t->ema_decay[j])
                return err_set(err, ERR_USAGE,
                               "train.ema_decay[%d] = %g is there already; leave it out", i,
                               t->ema_decay[i]);
    return true;
}

/* Patches of sliced Wasserstein are of 7 x 7 pixels (eval/patches.h). */
static bool check_evaluation(const Config *c, Err *err)
{
    const ModelConfig *m = &c->model;
    if (c->train.evaluate_every == 0) return true;
    if (c->data.validation == VALIDATION_NONE)
        return err_set(err, ERR_USAGE,
                       "train.evaluate_every = %d needs images that are not trained on: set "
                       "data.validation to test, or to a part of the training images such as 0.05",
                       c->train.evaluate_every);
    if (m->height >= PATCH_SIDE && m->width >= PATCH_SIDE) return true;
    return err_set(err, ERR_USAGE,
                   "train.evaluate_every = %d: model.image_size = [%d, %d] is less than the %d "
                   "pixels of the patches that are compared; set it to 0",
                   c->train.evaluate_every, m->height, m->width, PATCH_SIDE);
}

static bool check_steps(const Config *c, Err *err)
{
    if (c->sample.steps > c->diffusion.timesteps)
        return err_set(err, ERR_USAGE,
                       "sample.steps = %d is more than the diffusion.timesteps = %d there are",
                       c->sample.steps, c->diffusion.timesteps);
    return true;
}

int config_sample_steps(const Config *c, SamplerKind kind)
{
    int T = c->diffusion.timesteps;
    if (c->sample.steps > 0 && kind == c->sample.sampler) return c->sample.steps;
    return kind == SAMPLER_DDPM || T < 50 ? T : 50;
}

SamplerConfig config_sampler(const Config *c)
{
    return (SamplerConfig){.kind = c->sample.sampler,
                           .steps = config_sample_steps(c, c->sample.sampler),
                           .variance = c->diffusion.variance,
                           .prediction = c->diffusion.prediction,
                           .clip = c->sample.clip,
                           .learned_variance = c->diffusion.variance == VARIANCE_LEARNED_RANGE,
                           .channels = c->model.channels,
                           .seed = c->train.seed};
}

static bool check_sampler(const Config *c, Err *err)
{
    SamplerConfig sampler = config_sampler(c);
    return sampler_check(&sampler, &c->diffusion, err) || err_prefix(err, "sample.sampler");
}

bool config_check(const Config *c, Err *err)
{
    return check_data(c, err) && check_classes(c, err) && check_training(c, err) &&
           check_evaluation(c, err) && model_config_check(&c->model, true, err) &&
           schedule_check(&c->diffusion, err) && loss_check(&c->diffusion, err) &&
           check_steps(c, err) && check_sampler(c, err);
}
