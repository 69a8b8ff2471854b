/*
 * Small networks for the tests: those of the fixtures, and their weights in memory's order.
 */
#ifndef DDPM_TESTS_MODEL_NETWORK_H
#define DDPM_TESTS_MODEL_NETWORK_H

#include "model/unet.h"
#include "support.h"

/* The configs that the fixtures unet_rgb16, unet_gray28 and unet_classes were made with. */
ModelConfig network_rgb16(void);
ModelConfig network_gray28(void);
ModelConfig network_classes(void);

/* A network reserved for n images, or the test fails. */
Unet *network_new(ModelConfig config, int n, UnetUse use);

/* A new array with the tensors "<prefix>.<name>" of a fixture. */
float *network_fixture(const Unet *unet, const Safetensors *file, const char *prefix);

/* Random weights of a size at which every part of the network matters. */
float *network_random_weights(const Unet *unet, uint32_t seed);

#endif
