/*
 * The config.json of diffusers' UNet2DModel, to and from ModelConfig. What this program's network
 * cannot be is refused by name, never ignored.
 */
#ifndef DDPM_MODEL_DIFFUSERS_H
#define DDPM_MODEL_DIFFUSERS_H

#include "base/json.h"
#include "model/config.h"

/* The keys of diffusers' first release, all written out, since a missing key means another value
 * to current versions (attention_head_dim: 8). The caller frees it. */
Json *diffusers_config_write(const ModelConfig *config);

/* `origin` names the file in messages. A missing key means diffusers' default, not ours. ERR_DATA
 * names the key, its value, and what would be read. */
bool diffusers_config_read(ModelConfig *config, const Json *json, const char *origin, Err *err);

#endif
