/*
 * The U-Net of Ho et al. 2020 (appendix B) as a list of blocks in the order in which they run: the
 * one place where its topology is written. Everything else iterates over the list.
 */
#ifndef DDPM_MODEL_TOPOLOGY_H
#define DDPM_MODEL_TOPOLOGY_H

#include "model/block.h"

typedef struct {
    Block *list;
    int count, capacity;
    ParamTable params;
} Topology;

/* Block 0 is the time embedding, the last is the output. `config` has passed model_config_check. */
bool topology_init(Topology *topology, const ModelConfig *config, Err *err);
void topology_release(Topology *topology);

#endif
