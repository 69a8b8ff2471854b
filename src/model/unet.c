/*
 * One walk up the list of blocks for the forward pass, one down for the backward pass. Where each
 * output, kept part and gradient lies was decided by plan_place from the lifetimes in this list:
 * call i is block i's forward pass, call 2 count - 1 - i its backward pass.
 */
#include "model/unet.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "model/plan.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a block has a tensor for; SCRATCH of its forward pass, and of its backward pass. */
enum { OUTPUT, KEPT, GRADIENT, SCRATCH, SCRATCH_BACKWARD, ROLES };

struct Unet {
    ModelConfig config;
    Topology topology;
    PlanTensor *plan; /* [blocks][ROLES] */
    int reserved;     /* images */
    int threads;      /* that the kernels have scratch for */
    UnetUse use;
    Arena arena;
    Arena prepared;
    /* the last forward pass */
    UnetInput input;
    const float *weights;
    RngKey dropout;
    bool has_dropout;
    UnetObserver observer;
};

Unet *unet_new(const ModelConfig *config, bool strict, Err *err)
{
    if (!model_config_check(config, strict, err)) return NULL;
    Unet *u = memory_new(1, sizeof *u, "the network", err);
    if (!u) return NULL;
    u->config = *config;
    if (topology_init(&u->topology, config, err)) {
        size_t tensors = (size_t)u->topology.count * ROLES;
        u->plan = memory_new(tensors, sizeof *u->plan, "the memory plan", err);
    }
    if (u->plan) return u;
    unet_free(u);
    return NULL;
}

void unet_free(Unet *u)
{
    if (!u) return;
    arena_release(&u->arena);
    arena_release(&u->prepared);
    topology_release(&u->topology);
    free(u->plan);
    free(u);
}

const ModelConfig *unet_config(const Unet *u)
{
    return &u->config;
}

const Topology *unet_topology(const Unet *u)
{
    return &u->topology;
}

const ParamTable *unet_params(const Unet *u)
{
    return &u->topology.params;
}

double unet_macs(const Unet *u)
{
    double macs = 0;
    for (int i = 0; i < u->topology.count; i++) {
        const Block *block = &u->topology.list[i];
        macs += block_ops(block->kind)->macs(block, &u->config);
    }
    return macs;
}

/* Whether block `reader` reads the output of block `i`. */
static bool reads(const Topology *t, int reader, int i)
{
    const Block *block = &t->list[reader];
    bool time = i == 0 && block->kind == BLOCK_RESNET;
    return time || block->input == i || block->skip == i;
}

/* The first and the last block that read the output of block i; i itself if none does. */
static void readers(int *first, int *last, const Topology *t, int i)
{
    *first = *last = i;
    for (int reader = i + 1; reader < t->count; reader++)
        if (reads(t, reader, i)) {
            if (*first == i) *first = reader;
            *last = reader;
        }
}

static void plan_block(PlanTensor *tensors, const Unet *u, int i, int n, UnetUse use)
{
    const Topology *t = &u->topology;
    const Block *block = &t->list[i];
    BlockSizes sizes = block_ops(block->kind)->sizes(block, &u->config, n);
    bool train = use == UNET_TRAIN, is_output = i == t->count - 1;
    int first, last, end = 2 * t->count - 1;
    readers(&first, &last, t, i);
    size_t output = is_output ? 0 : block_output_floats(block, n);
    /* A kept output is read last by the backward pass of its first reader; its gradient is written
     * first by that of its last reader. */
    tensors[OUTPUT] = (PlanTensor){output, i, train ? end - first : last, 0};
    tensors[KEPT] = (PlanTensor){sizes.keep, i, train ? end - i : i, 0};
    tensors[GRADIENT] = (PlanTensor){train ? output : 0, end - last, end - i, 0};
    tensors[SCRATCH] = (PlanTensor){sizes.forward, i, i, 0};
    tensors[SCRATCH_BACKWARD] = (PlanTensor){train ? sizes.backward : 0, end - i, end - i, 0};
}

/* Kernels count the pixels of a batch in int, and those of attention once for each head. */
static bool check_counts(const Unet *u, int n, Err *err)
{
    const ModelConfig *c = &u->config;
    for (int i = 0; i < u->topology.count; i++) {
        const Block *block = &u->topology.list[i];
        bool heads = block->kind == BLOCK_ATTENTION && c->attention_head_dim > 0;
        size_t times = (size_t)n * (size_t)(heads ? block->c_in / c->attention_head_dim : 1);
        if (times > INT_MAX / block_pixels(block))
            return err_set(err, ERR_USAGE,
                           "%s: %d images of %d x %d pixels%s are more at once than can be "
                           "counted; take fewer",
                           block->name, n, block->h, block->w, heads ? ", for each head," : "");
    }
    return true;
}

static bool make_plan(size_t *floats, PlanTensor *plan, const Unet *u, int n, UnetUse use, Err *err)
{
    int blocks = u->topology.count;
    if (!check_counts(u, n, err)) return false;
    for (int i = 0; i < blocks; i++) plan_block(plan + i * ROLES, u, i, n, use);
    /* dtime is added to by every residual block, from the first call of the backward pass on. */
    plan[GRADIENT].first = blocks;
    return plan_place(floats, plan, blocks * ROLES, err);
}

bool unet_memory(size_t *bytes, const Unet *u, int n, UnetUse use, Err *err)
{
    size_t tensors = (size_t)u->topology.count * ROLES, floats = 0;
    PlanTensor *plan = memory_new(tensors, sizeof *plan, "the memory plan", err);
    bool ok = plan && make_plan(&floats, plan, u, n, use, err);
    *bytes = floats * sizeof(float);
    free(plan);
    return ok;
}

bool unet_reserve(Unet *u, int n, UnetUse use, Err *err)
{
    size_t floats;
    arena_release(&u->arena);
    unet_unprepare(u);
    u->reserved = 0;
    if (!make_plan(&floats, u->plan, u, n, use, err)) return false;
    if (!memory_check(floats * sizeof(float), "the network's activations",
                      "fewer images at once need less", err) ||
        !arena_init(&u->arena, floats * sizeof(float), "the network's activations", err))
        return false;
    u->reserved = n;
    u->threads = parallel_threads();
    u->use = use;
    return true;
}

static float *place(const Unet *u, int block, int role)
{
    return (float *)u->arena.base + u->plan[block * ROLES + role].offset;
}

static BlockCall block_call(const Unet *u, int i, int scratch, RngKey *dropout)
{
    const Block *block = &u->topology.list[i];
    *dropout = u->dropout;
    dropout->stream = RNG_DROPOUT;
    dropout->part = (uint32_t)i;
    bool drops = u->has_dropout && u->config.dropout > 0;
    return (BlockCall){
        .block = block,
        .config = &u->config,
        .params = u->topology.params.list + block->param,
        .weights = u->weights,
        .prepared = (const float *)u->prepared.base,
        .n = u->input.n,
        .x = block->input == BLOCK_NONE ? u->input.x : place(u, block->input, OUTPUT),
        .skip = block->skip == BLOCK_NONE ? NULL : place(u, block->skip, OUTPUT),
        .time = place(u, 0, OUTPUT),
        .t = u->input.t,
        .labels = u->config.num_classes > 0 ? u->input.labels : NULL,
        .y = place(u, i, OUTPUT),
        .keep = place(u, i, KEPT),
        .scratch = place(u, i, scratch),
        .dropout = drops ? dropout : NULL,
    };
}

void unet_observe(Unet *u, UnetObserver observer)
{
    u->observer = observer;
}

static double call_starts(const Unet *u)
{
    return u->observer.call ? clock_seconds() : 0;
}

static void call_ended(const Unet *u, int block, bool backward, double start)
{
    if (u->observer.call)
        u->observer.call(u->observer.context, block, backward, clock_seconds() - start);
}

void unet_forward(Unet *u, float *y, UnetInput input, const float *weights, const RngKey *dropout)
{
    assert(input.n > 0 && input.n <= u->reserved && parallel_threads() <= u->threads);
    u->input = input;
    u->weights = weights;
    u->has_dropout = dropout != NULL;
    if (dropout) u->dropout = *dropout;
    for (int i = 0; i < u->topology.count; i++) {
        RngKey key;
        BlockCall call = block_call(u, i, SCRATCH, &key);
        if (i == u->topology.count - 1) call.y = y;
        double start = call_starts(u);
        block_ops(call.block->kind)->forward(&call);
        call_ended(u, i, false, start);
    }
}

static bool all_finite(const float *x, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) finite &= (bool)isfinite(x[i]);
    return finite;
}

const char *unet_first_bad(const Unet *u, const float *y)
{
    assert(u->use == UNET_TRAIN && u->input.n > 0);
    for (int i = 0; i < u->topology.count; i++) {
        const Block *block = &u->topology.list[i];
        const float *output = i == u->topology.count - 1 ? y : place(u, i, OUTPUT);
        if (!all_finite(output, block_output_floats(block, u->input.n))) return block->name;
    }
    return NULL;
}

void unet_backward(Unet *u, float *dweights, float *dx, const float *dy)
{
    assert(u->use == UNET_TRAIN && u->input.n > 0 && u->input.n <= u->reserved);
    const Block *list = u->topology.list;
    int count = u->topology.count;
    memset(place(u, 0, GRADIENT), 0, block_output_floats(list, u->input.n) * sizeof(float));
    for (int i = count - 1; i >= 0; i--) {
        RngKey key;
        BlockCall call = block_call(u, i, SCRATCH_BACKWARD, &key);
        BlockGrads grads = {
            .dy = i == count - 1 ? dy : place(u, i, GRADIENT),
            .dx = list[i].input == BLOCK_NONE ? dx : place(u, list[i].input, GRADIENT),
            .dskip = list[i].skip == BLOCK_NONE ? NULL : place(u, list[i].skip, GRADIENT),
            .dtime = place(u, 0, GRADIENT),
            .dweights = dweights,
        };
        double start = call_starts(u);
        block_ops(list[i].kind)->backward(&call, &grads);
        call_ended(u, i, true, start);
    }
}

/* Walk over the convolutions of `n` images: where each one's transformed filter lies, and, with
 * `base`, make it. Returns the floats of all of them. */
static size_t prepare_filters(Unet *u, int n, float *base, const float *weights)
{
    size_t floats = 0;
    for (int i = 0; i < u->topology.count; i++) {
        Block *block = &u->topology.list[i];
        const BlockOps *ops = block_ops(block->kind);
        ConvDims dims;
        for (int k = 0, param; ops->conv && ops->conv(&dims, &param, block, &u->config, k, n);
             k++) {
            const Param *filter = &u->topology.params.list[block->param + param];
            block->prepared[k] = floats;
            if (base) conv_prepare(base + floats, weights + filter->offset, &dims);
            floats += block_piece(conv_prepared_size(&dims));
        }
    }
    return floats;
}

bool unet_prepare(Unet *u, const float *weights, Err *err)
{
    assert(u->reserved > 0);
    if (!u->prepared.base) {
        size_t bytes = prepare_filters(u, u->reserved, NULL, NULL) * sizeof(float);
        if (!arena_init(&u->prepared, bytes, "the transformed filters", err)) return false;
    }
    prepare_filters(u, u->reserved, (float *)u->prepared.base, weights);
    return true;
}

void unet_unprepare(Unet *u)
{
    arena_release(&u->prepared);
}
