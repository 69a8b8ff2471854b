/*
 * Each kernel has memory of its own, all zeros: no kernel's time depends on the values.
 */
#include "train/bench_kernels.h"

#include "base/clock.h"
#include "base/gemm.h"
#include "model/kernels.h"
#include "nn/pointwise.h"
#include "train/optimiser.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT = 3, REPEAT_PEAK = 10 };

typedef enum { FORWARD, BACKWARD, BACKWARD_WEIGHT, PASSES } Pass;

static const char *const NAMES[KERNEL_KINDS][PASSES] = {
    [KERNEL_CONV] = {"3x3 convolution", "3x3 convolution, input", "3x3 convolution, filter"},
    [KERNEL_NORM] = {"group norm, SiLU", "group norm, SiLU", NULL},
    [KERNEL_DROPOUT] = {"dropout", "dropout", NULL},
    [KERNEL_ATTENTION] = {"attention", "attention", NULL},
    [KERNEL_LINEAR] = {"linear", "linear, input", "linear, weight"},
};

/* ---- each kind of kernel ---- */

static float *take(Arena *arena, size_t floats)
{
    return arena_take(arena, floats * sizeof(float));
}

/* A run of one kernel in one direction. */
typedef struct {
    const Kernel *kernel;
    Pass pass;
    bool prepared; /* filters are transformed beforehand */
    double seconds;
} Run;

static double best_of(int repeat, void (*call)(void *context), void *context)
{
    double best = HUGE_VAL;
    call(context);
    for (int i = 0; i < repeat; i++) {
        double start = clock_seconds();
        call(context);
        best = fmin(best, clock_seconds() - start);
    }
    return best;
}

typedef struct {
    const Run *run;
    float *x, *y, *w, *dw, *bias, *prepared, *scratch;
} ConvCall;

static void conv_call(void *context)
{
    const ConvCall *c = context;
    const ConvDims *d = &c->run->kernel->conv;
    if (c->run->pass == FORWARD)
        conv_forward(c->y, c->x, c->w, c->prepared, (ConvAdd){.bias = c->bias}, d, c->scratch);
    else if (c->run->pass == BACKWARD)
        conv_backward_input(c->x, c->y, c->w, d, c->scratch);
    else
        conv_backward_weight(c->dw, c->bias, c->y, c->x, d, c->scratch);
}

static bool time_conv(Run *run, Err *err)
{
    const ConvDims *d = &run->kernel->conv;
    size_t n = (size_t)d->n, c_out = (size_t)d->c_out, filter = 9 * (size_t)d->c_in * c_out;
    size_t x = n * (size_t)d->h * (size_t)d->w * (size_t)d->c_in;
    size_t y = n * (size_t)conv_out_height(d) * (size_t)conv_out_width(d) * c_out;
    size_t prepared = run->prepared ? conv_prepared_size(d) : 0, scratch = conv_scratch(d);
    Arena arena;
    size_t floats = block_piece(x) + block_piece(y) + 2 * block_piece(filter) + block_piece(c_out) +
                    block_piece(prepared) + block_piece(scratch);
    if (!arena_init(&arena, floats * sizeof(float), "a convolution", err)) return false;
    ConvCall call = {.run = run, .x = take(&arena, x), .y = take(&arena, y)};
    call.w = take(&arena, filter);
    call.dw = take(&arena, filter);
    call.bias = take(&arena, c_out);
    call.scratch = take(&arena, scratch);
    if (prepared > 0) {
        call.prepared = take(&arena, prepared);
        conv_prepare(call.prepared, call.w, d);
    }
    run->seconds = best_of(REPEAT, conv_call, &call);
    arena_release(&arena);
    return true;
}

typedef struct {
    const Run *run;
    GroupNormInput x;
    GroupNormGrads grads;
    GroupNormParams params;
    float *y, *dy, *stats, *scratch;
} NormCall;

/* The backward pass makes y again, as in the blocks. */
static void norm_call(void *context)
{
    const NormCall *c = context;
    const GroupNormDims *d = &c->run->kernel->norm;
    if (c->run->pass == FORWARD)
        group_norm_forward(c->y, c->stats, c->x, c->params, d, c->scratch);
    else
        group_norm_backward(c->grads, c->y, c->dy, c->x, c->stats, c->params, d, c->scratch);
}

static bool time_norm(Run *run, Err *err)
{
    const GroupNormDims *d = &run->kernel->norm;
    size_t pixels = (size_t)d->n * (size_t)d->pixels, c = (size_t)(d->c_a + d->c_b);
    size_t a = pixels * (size_t)d->c_a, b = pixels * (size_t)d->c_b;
    size_t stats = 2 * (size_t)d->n * (size_t)d->groups, scratch = group_norm_scratch(d);
    Arena arena;
    size_t floats = 2 * (block_piece(a) + block_piece(b) + block_piece(a + b)) +
                    4 * block_piece(c) + block_piece(stats) + block_piece(scratch);
    if (!arena_init(&arena, floats * sizeof(float), "a group norm", err)) return false;
    NormCall call = {.run = run, .y = take(&arena, a + b), .dy = take(&arena, a + b)};
    call.x = (GroupNormInput){take(&arena, a), b > 0 ? take(&arena, b) : NULL};
    call.grads = (GroupNormGrads){.da = take(&arena, a),
                                  .db = b > 0 ? take(&arena, b) : NULL,
                                  .dgamma = take(&arena, c),
                                  .dbeta = take(&arena, c)};
    call.params = (GroupNormParams){.gamma = take(&arena, c), .beta = take(&arena, c)};
    call.stats = take(&arena, stats);
    call.scratch = take(&arena, scratch);
    run->seconds = best_of(REPEAT, norm_call, &call);
    arena_release(&arena);
    return true;
}

typedef struct {
    const Run *run;
    uint32_t *mask;
    float *x;
} DropoutCall;

/* Image after image, where the blocks drop what is in the cache. Backward, from what the
 * convolution read, made again, and from its gradient. */
static void dropout_call(void *context)
{
    const DropoutCall *c = context;
    const DropoutDims *d = &c->run->kernel->dropout;
    size_t words = dropout_words(d->size);
    int times = c->run->pass == BACKWARD ? 2 : 1;
    if (c->run->pass == FORWARD)
        dropout_draw(c->mask, d->n, d->size, d->rate, (RngKey){.stream = RNG_DROPOUT});
#pragma omp parallel for schedule(static)
    for (int i = 0; i < d->n; i++)
        for (int k = 0; k < times; k++)
            dropout_apply(c->x + (size_t)i * d->size, c->mask + (size_t)i * words, 0, d->size,
                          dropout_scale(d->rate));
}

static bool time_dropout(Run *run, Err *err)
{
    const DropoutDims *d = &run->kernel->dropout;
    size_t n = (size_t)d->n, words = n * dropout_words(d->size);
    Arena arena;
    size_t floats = block_piece(n * d->size) + block_piece(words);
    if (!arena_init(&arena, floats * sizeof(float), "dropout", err)) return false;
    DropoutCall call = {.run = run, .x = take(&arena, n * d->size)};
    call.mask = (uint32_t *)take(&arena, words);
    run->seconds = best_of(REPEAT, dropout_call, &call);
    arena_release(&arena);
    return true;
}

typedef struct {
    const Run *run;
    float *q, *k, *v, *o, *dq, *dk, *dv, *d_o, *scratch;
} AttentionCall;

static void attention_call(void *context)
{
    const AttentionCall *c = context;
    const AttentionDims *d = &c->run->kernel->attention;
    if (c->run->pass == FORWARD)
        attention_forward(c->o, c->q, c->k, c->v, d, c->scratch);
    else
        attention_backward(c->dq, c->dk, c->dv, c->d_o, c->q, c->k, c->v, d, c->scratch);
}

static bool time_attention(Run *run, Err *err)
{
    const AttentionDims *d = &run->kernel->attention;
    size_t size = (size_t)d->n * (size_t)d->tokens * (size_t)d->c, scratch = attention_scratch(d);
    Arena arena;
    size_t floats = 8 * block_piece(size) + block_piece(scratch);
    if (!arena_init(&arena, floats * sizeof(float), "attention", err)) return false;
    AttentionCall call = {.run = run, .scratch = take(&arena, scratch)};
    float **arrays[] = {&call.q,  &call.k,  &call.v,  &call.o,
                        &call.dq, &call.dk, &call.dv, &call.d_o};
    for (int i = 0; i < 8; i++) *arrays[i] = take(&arena, size);
    run->seconds = best_of(REPEAT, attention_call, &call);
    arena_release(&arena);
    return true;
}

typedef struct {
    const Run *run;
    float *x, *y, *w, *bias;
} LinearCall;

static void linear_call(void *context)
{
    const LinearCall *c = context;
    const LinearDims *d = &c->run->kernel->linear;
    if (c->run->pass == FORWARD)
        linear_forward(c->y, c->x, c->w, c->bias, false, d);
    else if (c->run->pass == BACKWARD)
        linear_backward_input(c->x, c->y, c->w, false, d);
    else
        linear_backward_weight(c->w, c->bias, c->y, c->x, d);
}

static bool time_linear(Run *run, Err *err)
{
    const LinearDims *d = &run->kernel->linear;
    size_t in = (size_t)d->in, out = (size_t)d->out, rows = (size_t)d->rows;
    Arena arena;
    size_t floats =
        block_piece(rows * in) + block_piece(rows * out) + block_piece(in * out) + block_piece(out);
    if (!arena_init(&arena, floats * sizeof(float), "a linear layer", err)) return false;
    LinearCall call = {run, take(&arena, rows * in), take(&arena, rows * out),
                       take(&arena, in * out), take(&arena, out)};
    run->seconds = best_of(REPEAT, linear_call, &call);
    arena_release(&arena);
    return true;
}

/* ---- over the network ---- */

/* The passes over its data that a norm has to make: statistics and result read x, the result is
 * written; backward, the result is made again (2), and sums and gradient read x and dy each. */
static double norm_bytes(const GroupNormDims *d, Pass pass)
{
    double floats = (double)d->n * d->pixels * (d->c_a + d->c_b);
    return sizeof(float) * floats * (pass == FORWARD ? 3 : 2 + 5);
}

static double dropout_bytes(const DropoutDims *d, Pass pass)
{
    double floats = (double)d->n * (double)d->size;
    return sizeof(float) * floats * (pass == FORWARD ? 2 : 4);
}

typedef double Table[KERNEL_KINDS][PASSES];

typedef struct {
    Table seconds, flop, bytes;
} Sums;

static bool add_kernel(Sums *sums, const Kernel *kernel, Pass pass, bool prepared, Err *err)
{
    static bool (*const timers[KERNEL_KINDS])(Run *, Err *) = {
        [KERNEL_CONV] = time_conv,       [KERNEL_NORM] = time_norm,
        [KERNEL_DROPOUT] = time_dropout, [KERNEL_ATTENTION] = time_attention,
        [KERNEL_LINEAR] = time_linear,
    };
    Run run = {.kernel = kernel, .pass = pass, .prepared = prepared};
    KernelKind kind = kernel->kind;
    if (!NAMES[kind][pass]) return true;
    if (!timers[kind](&run, err)) return false;
    bool twice = kind == KERNEL_ATTENTION && pass == BACKWARD;
    sums->seconds[kind][pass] += run.seconds;
    sums->flop[kind][pass] += (twice ? 4 : 2) * kernel_macs(kernel);
    if (kind == KERNEL_NORM) sums->bytes[kind][pass] += norm_bytes(&kernel->norm, pass);
    if (kind == KERNEL_DROPOUT) sums->bytes[kind][pass] += dropout_bytes(&kernel->dropout, pass);
    return true;
}

static bool add_block(Sums *sums, const Unet *unet, int index, BenchKind kind, int n, Err *err)
{
    Kernel kernels[BLOCK_MAX_KERNELS];
    const Block *block = &unet_topology(unet)->list[index];
    int count = block_kernels(kernels, block, unet_config(unet), n);
    int passes = kind == BENCH_TRAIN ? PASSES : FORWARD + 1;
    for (int i = 0; i < count; i++)
        for (int pass = 0; pass < passes; pass++) {
            /* nobody asks for the image's gradient; samples are drawn without dropout */
            if (block->kind == BLOCK_CONV_IN && pass == BACKWARD) continue;
            if (kernels[i].kind == KERNEL_DROPOUT && kind == BENCH_SAMPLE) continue;
            if (!add_kernel(sums, &kernels[i], (Pass)pass, kind == BENCH_SAMPLE, err)) return false;
        }
    return true;
}

/* ---- the optimiser ---- */

typedef struct {
    Optimised arrays;
    size_t n;
} OptimiserCall;

static void optimiser_call(void *context)
{
    OptimiserCall *c = context;
    double scale = clip_factor(gradient_norm(c->arrays.gradients, c->n), 1);
    optimiser_update(c->arrays, c->n, (AdamStep){.scale = scale, .rate = 1e-4}, &(double){0.999});
}

/* Time goes with the size, beyond what caches hold. */
static bool time_optimiser(BenchKernel *out, size_t parameters, Err *err)
{
    enum { MOST = 1 << 23 };
    OptimiserCall call = {.n = parameters < MOST ? parameters : MOST};
    Arena arena;
    if (!arena_init(&arena, 5 * block_piece(call.n) * sizeof(float), "the optimiser", err))
        return false;
    Optimised *o = &call.arrays;
    float **arrays[] = {&o->w, &o->adam_m, &o->adam_v, &o->gradients, &o->ema[0]};
    o->emas = 1;
    for (int i = 0; i < 5; i++) *arrays[i] = take(&arena, call.n);
    double scale = (double)parameters / (double)call.n;
    /* the norm reads the gradients; the update reads and writes all five */
    double bytes = (1 + 5 + 5) * sizeof(float) * (double)parameters;
    *out = (BenchKernel){.name = "clip, Adam, EMA",
                         .backward = true,
                         .seconds = scale * best_of(REPEAT, optimiser_call, &call),
                         .bytes = bytes};
    arena_release(&arena);
    return true;
}

static void list_kernels(BenchKernels *out, const Sums *sums, double batches)
{
    *out = (BenchKernels){0};
    for (int kind = 0; kind < KERNEL_KINDS; kind++)
        for (int pass = 0; pass < PASSES; pass++) {
            if (!(sums->seconds[kind][pass] > 0)) continue;
            out->list[out->count++] = (BenchKernel){.name = NAMES[kind][pass],
                                                    .backward = pass != FORWARD,
                                                    .seconds = batches * sums->seconds[kind][pass],
                                                    .flop = batches * sums->flop[kind][pass],
                                                    .bytes = batches * sums->bytes[kind][pass]};
        }
}

bool bench_kernels(BenchKernels *out, BenchKind kind, const Config *config, Err *err)
{
    Sums sums = {0};
    int n = trainer_micro_batch(config);
    double batches = kind == BENCH_TRAIN ? (double)config->train.batch_size / n : 1;
    Unet *unet = unet_new(&config->model, true, err);
    bool ok = unet != NULL;
    for (int i = 0; ok && i < unet_topology(unet)->count; i++)
        ok = add_block(&sums, unet, i, kind, n, err);
    if (ok) list_kernels(out, &sums, batches);
    if (ok && kind == BENCH_TRAIN)
        ok = time_optimiser(&out->list[out->count++], unet_params(unet)->floats, err);
    unet_free(unet);
    return ok;
}

/* ---- the machine ---- */

enum { SIDE = 1024 };

typedef struct {
    float *a, *b, *c;
} GemmCall;

static void gemm_call(void *context)
{
    const GemmCall *call = context;
    gemm_parallel(call->c, call->a, call->b, gemm_dims(SIDE, SIDE, SIDE, false, false, 0));
}

enum { COPY_CHUNKS = 128, COPY_CHUNK = 1 << 20 };

typedef struct {
    unsigned char *to, *from;
} CopyCall;

static void copy_call(void *context)
{
    const CopyCall *call = context;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < COPY_CHUNKS; i++)
        memcpy(call->to + (size_t)i * COPY_CHUNK, call->from + (size_t)i * COPY_CHUNK, COPY_CHUNK);
}

bool bench_peaks(BenchPeaks *peaks, Err *err)
{
    Arena arena;
    size_t matrix = (size_t)SIDE * SIDE * sizeof(float), bytes = (size_t)COPY_CHUNKS * COPY_CHUNK;
    if (!arena_init(&arena, 3 * matrix + 2 * bytes, "the machine's limits", err)) return false;
    GemmCall product = {arena_take(&arena, matrix), arena_take(&arena, matrix),
                        arena_take(&arena, matrix)};
    CopyCall copy = {arena_take(&arena, bytes), arena_take(&arena, bytes)};
    peaks->gemm = 2.0 * SIDE * SIDE * SIDE / best_of(REPEAT_PEAK, gemm_call, &product);
    peaks->copy = 2.0 * (double)bytes / best_of(REPEAT_PEAK, copy_call, &copy);
    arena_release(&arena);
    return true;
}
