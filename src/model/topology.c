#include "model/topology.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARAMS_OF_A_BLOCK = 12 };

/* The state of the walk: which block's output is at hand, and those still to be concatenated. */
typedef struct {
    Topology *topology;
    const ModelConfig *config;
    int *skips, waiting;
    int at; /* the block whose output is at hand */
} Builder;

static Block *at_hand(const Builder *b)
{
    return &b->topology->list[b->at];
}

/* Append a block that reads the output at hand; its output is at hand then. */
static Block *append(Builder *b, BlockKind kind, int c_out, const char *name)
{
    assert(b->topology->count < b->topology->capacity);
    const Block *from = at_hand(b);
    Block *block = &b->topology->list[b->topology->count];
    *block = (Block){.kind = kind, .input = b->at, .skip = BLOCK_NONE, .c_out = c_out};
    block->h = block->out_h = from->out_h;
    block->w = block->out_w = from->out_w;
    block->c_in = from->c_out;
    snprintf(block->name, sizeof block->name, "%s", name);
    b->at = b->topology->count++;
    return block;
}

static Block *append_part(Builder *b, BlockKind kind, int c_out, const char *where, int level,
                          const char *part, int index)
{
    char name[sizeof((Block *)0)->name];
    snprintf(name, sizeof name, "%s.%d.%s.%d", where, level, part, index);
    return append(b, kind, c_out, name);
}

static void remember(Builder *b)
{
    b->skips[b->waiting++] = b->at;
}

static void concatenate(Builder *b, Block *block)
{
    block->skip = b->skips[--b->waiting];
    block->c_skip = b->topology->list[block->skip].c_out;
}

static bool attends(const Builder *b)
{
    return model_config_attends(b->config, at_hand(b)->out_h);
}

static void way_down(Builder *b)
{
    remember(b);
    for (int level = 0; level < b->config->levels; level++) {
        int width = model_config_width(b->config, level);
        for (int i = 0; i < b->config->res_blocks; i++) {
            append_part(b, BLOCK_RESNET, width, "down_blocks", level, "resnets", i);
            if (attends(b))
                append_part(b, BLOCK_ATTENTION, width, "down_blocks", level, "attentions", i);
            remember(b);
        }
        if (level + 1 == b->config->levels) return;
        Block *down =
            append_part(b, BLOCK_DOWNSAMPLE, width, "down_blocks", level, "downsamplers", 0);
        down->out_h = down->h / 2;
        down->out_w = down->w / 2;
        remember(b);
    }
}

static void middle(Builder *b)
{
    int width = at_hand(b)->c_out;
    append(b, BLOCK_RESNET, width, "mid_block.resnets.0");
    append(b, BLOCK_ATTENTION, width, "mid_block.attentions.0");
    append(b, BLOCK_RESNET, width, "mid_block.resnets.1");
}

static void way_up(Builder *b)
{
    for (int up = 0; up < b->config->levels; up++) {
        int level = b->config->levels - 1 - up, width = model_config_width(b->config, level);
        for (int i = 0; i <= b->config->res_blocks; i++) {
            concatenate(b, append_part(b, BLOCK_RESNET, width, "up_blocks", up, "resnets", i));
            if (attends(b))
                append_part(b, BLOCK_ATTENTION, width, "up_blocks", up, "attentions", i);
        }
        if (level == 0) return;
        Block *doubled = append_part(b, BLOCK_UPSAMPLE, width, "up_blocks", up, "upsamplers", 0);
        doubled->out_h = 2 * doubled->h;
        doubled->out_w = 2 * doubled->w;
    }
}

static void list_blocks(Builder *b)
{
    const ModelConfig *c = b->config;
    Block *time = &b->topology->list[b->topology->count++];
    *time = (Block){.kind = BLOCK_TIME, .input = BLOCK_NONE, .skip = BLOCK_NONE};
    time->h = time->w = time->out_h = time->out_w = 1;
    time->c_in = c->base_channels;
    time->c_out = 4 * c->base_channels;
    snprintf(time->name, sizeof time->name, "time_embedding");

    Block *conv_in = append(b, BLOCK_CONV_IN, c->base_channels, "conv_in");
    conv_in->input = BLOCK_NONE;
    conv_in->h = conv_in->out_h = c->height;
    conv_in->w = conv_in->out_w = c->width;
    conv_in->c_in = c->channels;
    way_down(b);
    middle(b);
    way_up(b);
    append(b, BLOCK_OUT, c->out_channels, "conv_out");
}

/* The backward pass walks down the list: of the blocks that read an output, the last one in the
 * list writes the gradient and the others add to it. */
static void mark_additions(Topology *t)
{
    for (int i = 0; i < t->count; i++)
        for (int later = i + 1; later < t->count; later++) {
            const Block *other = &t->list[later];
            Block *block = &t->list[i];
            if (block->input != BLOCK_NONE)
                block->add_input |= other->input == block->input || other->skip == block->input;
            if (block->skip != BLOCK_NONE)
                block->add_skip |= other->input == block->skip || other->skip == block->skip;
        }
}

static void declare_params(Topology *t, const ModelConfig *config)
{
    for (int i = 0; i < t->count; i++) {
        Block *block = &t->list[i];
        block->param = t->params.count;
        block_ops(block->kind)->declare(&t->params, block, config);
        block->params = t->params.count - block->param;
    }
}

bool topology_init(Topology *t, const ModelConfig *config, Err *err)
{
    /* time, in, out, three in the middle; each level has resnets, attentions and a resampler on
     * both ways. */
    int most = 6 + config->levels * (2 * (2 * config->res_blocks + 1) + 2);
    *t = (Topology){.capacity = most};
    t->list = memory_new((size_t)most, sizeof *t->list, "the list of blocks", err);
    int *skips = memory_new((size_t)most, sizeof *skips, "the list of skips", err);
    bool ok = t->list && skips && params_init(&t->params, most * PARAMS_OF_A_BLOCK, err);
    if (ok) {
        Builder builder = {t, config, skips, 0, 0};
        list_blocks(&builder);
        mark_additions(t);
        declare_params(t, config);
    } else {
        topology_release(t);
    }
    free(skips);
    return ok;
}

void topology_release(Topology *t)
{
    params_release(&t->params);
    free(t->list);
    *t = (Topology){0};
}
