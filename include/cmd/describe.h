/*
 * Figures of a network as people read them.
 */
#ifndef DDPM_CMD_DESCRIBE_H
#define DDPM_CMD_DESCRIBE_H

#include "model/unet.h"
#include "train/source.h"

#include <stdint.h>
#include <stdio.h>

enum { DESCRIBE_NUMBER = 32 };

/* "35,746,307" */
const char *describe_count(char out[DESCRIBE_NUMBER], uint64_t number);

/* One line: "35,746,307 parameters in 328 tensors, 12.44 GFLOP an image". */
void describe_network(FILE *to, const Unet *unet);

/* To stderr, as of `ddpm <command>`: what had to be assumed of a model, where anything had. */
void describe_assumed(const char *command, const Source *source);

/* A table: each block, what it is, its output, its parameters and its share of the work. */
void describe_blocks(FILE *to, const Unet *unet);

#endif
