/*
 * Trainers of small networks on the built-in images, for the tests of training.
 */
#ifndef DDPM_TESTS_TRAIN_TRAINING_H
#define DDPM_TESTS_TRAIN_TRAINING_H

#include "support.h"
#include "train/trainer.h"

/* Batches of 4 without micro-batches, a constant learning rate of 2e-3, an EMA of 0.9. */
Config small_config(ModelConfig model);

/* The built-in images, of the config's size. */
Dataset shapes(const Config *config);

/* The test fails if there is none. */
Trainer *new_trainer(const Config *config, const Dataset *set);

/* Of the trainer's weights. */
size_t floats_of(Trainer *trainer);

/* Counters, weights, moments and averages, bit for bit. */
void assert_states_equal(Trainer *a, Trainer *b);

#endif
