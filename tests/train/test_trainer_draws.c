/*
 * How training draws t: what it remembers, and what that must not depend on.
 */
#include "base/parallel.h"
#include "model/network.h"
#include "train/training.h"

#include <math.h>

/* So few t that importance soon has ten losses of each. */
static Config important_config(void)
{
    Config c = small_config(network_rgb16());
    c.model.height = c.model.width = 8;
    c.model.attention_resolutions[0] = 4;
    c.diffusion.timesteps = 6;
    c.diffusion.beta_end = 0.5;
    c.diffusion.timestep_sampler = TIMESTEP_IMPORTANCE;
    c.train.batch_size = 10;
    return c;
}

enum { IMPORTANT_STEPS = 16 };

static void assert_histories_equal(Trainer *a, Trainer *b)
{
    const TimestepHistory *g = trainer_state(a)->history, *h = trainer_state(b)->history;
    assert_memory_equal(g->losses, h->losses, 6 * TIMESTEP_HISTORY * sizeof(double));
    assert_memory_equal(g->counts, h->counts, 6 * sizeof(int));
}

static void importance_remembers_and_is_the_same_on_all_threads(void **state)
{
    (void)state;
    Config config = important_config();
    Dataset set = shapes(&config);
    Trainer *trainers[2];
    StepReport report;
    for (int i = 0; i < 2; i++) {
        parallel_setup(i + 1);
        trainers[i] = new_trainer(&config, &set);
        for (int step = 0; step < IMPORTANT_STEPS; step++) trainer_step(trainers[i], &report);
        assert_true(report.applied);
    }
    parallel_setup(1); /* the first has no memory for more */
    assert_states_equal(trainers[0], trainers[1]);
    assert_histories_equal(trainers[0], trainers[1]);
    const int *counts = trainer_state(trainers[0])->history->counts;
    for (int i = 0; i < 6; i++) assert_int_equal(counts[i], TIMESTEP_HISTORY);
    /* the losses of epsilon differ enough that what is drawn next does */
    timestep_history_add(trainer_state(trainers[1])->history, 0, 1e3);
    trainer_step(trainers[0], &report);
    trainer_step(trainers[1], &report);
    assert_memory_not_equal(trainer_state(trainers[0])->weights,
                            trainer_state(trainers[1])->weights,
                            floats_of(trainers[0]) * sizeof(float));
    parallel_setup(0);
    trainer_free(trainers[0]), trainer_free(trainers[1]);
    dataset_release(&set);
}

/* Nothing of a step that is not applied is remembered, good losses of its other images included. */
static void a_bad_step_is_not_remembered(void **state)
{
    (void)state;
    Config config = important_config();
    Dataset set = shapes(&config);
    Trainer *a = new_trainer(&config, &set), *b = new_trainer(&config, &set);
    StepReport report;
    enum { SIZE = 10 * 3 * 8 * 8 };
    float *x_0 = test_normals(SIZE, 1), *epsilon = test_normals(SIZE, 2);
    const int t[] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4};
    for (int step = 0; step < 3; step++) trainer_step(a, &report), trainer_step(b, &report);
    x_0[SIZE - 1] = NAN;
    trainer_step_on(a, &report, x_0, epsilon, t);
    assert_false(report.applied);
    assert_histories_equal(a, b);
    trainer_free(a), trainer_free(b), free(x_0), free(epsilon);
    dataset_release(&set);
}

/* A step of one image, where importance has seen losses of 1 at t = 1 and of 3 at t = 2. */
static StepReport step_of_one(TimestepSampler sampler, uint64_t seed)
{
    Config config = important_config();
    config.diffusion.timesteps = 2;
    config.diffusion.timestep_sampler = sampler;
    config.train.batch_size = 1;
    config.train.seed = seed;
    Dataset set = shapes(&config);
    Trainer *trainer = new_trainer(&config, &set);
    TimestepHistory *history = trainer_state(trainer)->history;
    for (int i = 0; history && i < 2 * TIMESTEP_HISTORY; i++)
        timestep_history_add(history, i % 2, i % 2 ? 3 : 1);
    StepReport report;
    trainer_step(trainer, &report);
    trainer_free(trainer);
    dataset_release(&set);
    return report;
}

/* Where both ways draw the same t, what differs is the weight: of the loss and of its gradient, but
 * not of the mean over the quarter of t. */
static void what_is_drawn_more_often_counts_less(void **state)
{
    (void)state;
    int met[2] = {0};
    for (uint64_t seed = 0; seed < 12; seed++) {
        StepReport plain = step_of_one(TIMESTEP_UNIFORM, seed);
        StepReport drawn = step_of_one(TIMESTEP_IMPORTANCE, seed);
        int quarter = isnan(drawn.quarter_loss[0]) ? 2 : 0;
        if (isnan(plain.quarter_loss[quarter])) continue;
        double weight = 1 / (2 * (0.999 * (quarter ? 0.75 : 0.25) + 0.001 / 2));
        assert_close(drawn.quarter_loss[quarter], plain.loss, 1e-12);
        assert_close(drawn.loss, weight * plain.loss, 1e-6 * plain.loss);
        assert_close(drawn.grad_norm, weight * plain.grad_norm, 1e-5 * plain.grad_norm);
        met[quarter / 2]++;
    }
    assert_true(met[0] > 0 && met[1] > 0);
}

/* Each micro-batch goes on with the strata of the whole batch. */
static void strata_are_those_of_the_batch(void **state)
{
    (void)state;
    Config a = important_config();
    a.diffusion.timestep_sampler = TIMESTEP_STRATIFIED;
    a.train.batch_size = a.train.micro_batch = 12;
    Config b = a, uniform = a;
    b.train.micro_batch = 5;
    uniform.diffusion.timestep_sampler = TIMESTEP_UNIFORM;
    Dataset set = shapes(&a);
    Trainer *trainers[] = {new_trainer(&a, &set), new_trainer(&b, &set),
                           new_trainer(&uniform, &set)};
    StepReport reports[3];
    for (int i = 0; i < 3; i++) trainer_step(trainers[i], &reports[i]);
    assert_close(reports[0].loss, reports[1].loss, 1e-5);
    assert_close(reports[0].grad_norm, reports[1].grad_norm, 1e-5 * reports[0].grad_norm);
    assert_true(fabs(reports[0].grad_norm - reports[2].grad_norm) > 1e-3 * reports[0].grad_norm);
    for (int i = 0; i < 3; i++) trainer_free(trainers[i]);
    dataset_release(&set);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(importance_remembers_and_is_the_same_on_all_threads),
        cmocka_unit_test(a_bad_step_is_not_remembered),
        cmocka_unit_test(what_is_drawn_more_often_counts_less),
        cmocka_unit_test(strata_are_those_of_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
