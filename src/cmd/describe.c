#include "cmd/describe.h"

#include "cmd/text.h"

#include <inttypes.h>
#include <string.h>

const char *describe_count(char out[DESCRIBE_NUMBER], uint64_t number)
{
    char digits[DESCRIBE_NUMBER];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

void describe_network(FILE *to, const Unet *unet)
{
    char count[DESCRIBE_NUMBER];
    const ParamTable *table = unet_params(unet);
    fprintf(to, "%s parameters in %d tensors, %.3f GFLOP an image forward\n",
            describe_count(count, table->parameters), table->count, 2e-9 * unet_macs(unet));
}

void describe_assumed(const char *command, const Source *source)
{
    const DiffusionConfig *c = &source->config.diffusion;
    if (!source->chain_assumed) return;
    text_say(stderr,
             "ddpm %s: %s: no scheduler_config.json says what its network was trained for; assumed "
             "is the chain %s, T = %d, %s predicted, variance %s",
             command, source->folder, schedule_names[c->schedule], c->timesteps,
             prediction_names[c->prediction], variance_names[c->variance]);
}

static uint64_t parameters_of(const Block *block, const ParamTable *table)
{
    uint64_t sum = 0;
    for (int i = 0; i < block->params; i++) sum += table->list[block->param + i].count;
    return sum;
}

void describe_blocks(FILE *to, const Unet *unet)
{
    const Topology *t = unet_topology(unet);
    double all = unet_macs(unet);
    fprintf(to, "%-28s %-19s %-14s %11s %7s\n", "block", "kind", "output HxWxC", "parameters",
            "work");
    for (int i = 0; i < t->count; i++) {
        const Block *b = &t->list[i];
        const BlockOps *ops = block_ops(b->kind);
        char output[48], count[DESCRIBE_NUMBER];
        snprintf(output, sizeof output, "%dx%dx%d", b->out_h, b->out_w, b->c_out);
        fprintf(to, "%-28s %-19s %-14s %11s %6.2f%%\n", b->name, ops->label, output,
                describe_count(count, parameters_of(b, &t->params)),
                100 * ops->macs(b, unet_config(unet)) / all);
    }
}
