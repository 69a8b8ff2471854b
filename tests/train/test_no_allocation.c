/*
 * A step takes no memory: every allocator of the C library is counted, whoever calls it. The first
 * step is not looked at, in which OpenMP makes its threads.
 */
#include "base/parallel.h"
#include "data/dataset_open.h"
#include "model/network.h"
#include "train/generate.h"
#include "train/validation.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>

/* ---- the allocators ---- */

static atomic_bool counting;
static atomic_int allocations;

#if defined(__GLIBC__) && !SANITIZED

enum { COUNTED = true };

static void count_one(void)
{
    if (atomic_load(&counting)) atomic_fetch_add(&allocations, 1);
}

/* The C library's own names for what it does; shared libraries, too, call those defined here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    count_one();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_one();
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    count_one();
    return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count_one();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    count_one();
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

#else

/* A sanitizer's allocators stand where the C library's would. */
enum { COUNTED = false };

#endif

static void start_counting(void)
{
    atomic_store(&allocations, 0);
    atomic_store(&counting, true);
}

static int stop_counting(void)
{
    atomic_store(&counting, false);
    return atomic_load(&allocations);
}

/* Else no allocation at all might be the counter's fault. */
static void allocations_are_counted(void **state)
{
    (void)state;
    if (!COUNTED) skip();
    void *volatile blocks[5];
    void *aligned = NULL;
    start_counting();
    blocks[0] = malloc(10);
    blocks[1] = calloc(10, 10);
    blocks[2] = realloc(NULL, 10);
    blocks[3] = aligned_alloc(64, 64);
    assert_int_equal(posix_memalign(&aligned, 64, 64), 0);
    blocks[4] = aligned;
    int counted = stop_counting();
    for (int i = 0; i < 5; i++) free(blocks[i]);
    assert_int_equal(counted, 5);
    start_counting();
    char *shared = strdup("by another library"); /* the C library's, which calls malloc */
    counted = stop_counting();
    free(shared);
    assert_int_equal(counted, 1);
}

/* ---- steps ---- */

/* All that a step can do: dropout, flips, classes, micro-batches of two sizes. */
static Config everything(void)
{
    Config c = config_default();
    c.data.format = DATA_SHAPES;
    c.data.labels = c.data.flip = true;
    c.model = network_gray28();
    c.model.dropout = 0.1;
    c.model.num_classes = 10;
    c.train.batch_size = 5;
    c.train.micro_batch = 3;
    return c;
}

static void a_training_step_takes_no_memory(void **state)
{
    (void)state;
    if (!COUNTED) skip();
    Err err;
    Dataset set;
    StepReport report;
    Config c = everything();
    if (!config_check(&c, &err) || !dataset_open(&set, &c.data, DATASET_TRAIN, c.model.height,
                                                 c.model.width, c.model.channels, &err))
        fail_msg("%s", err.text);
    set.count = 7; /* so that an epoch ends in each step */
    Trainer *trainer = trainer_new(&c, &set, &err);
    if (!trainer) fail_msg("%s", err.text);
    trainer_step(trainer, &report);
    start_counting();
    for (int i = 0; i < 3; i++) trainer_step(trainer, &report);
    assert_int_equal(stop_counting(), 0);
    assert_true(report.applied);
    Validation validation; /* nor does looking at other images */
    start_counting();
    assert_true(validation_run(&validation, trainer, &c, &set, NULL, NULL));
    assert_int_equal(stop_counting(), 0);
    trainer_state(trainer)->weights[0] = NAN; /* nor does one that is not applied */
    start_counting();
    trainer_step(trainer, &report);
    assert_int_equal(stop_counting(), 0);
    assert_false(report.applied);
    trainer_free(trainer);
    dataset_release(&set);
}

/* Counting from the first step's end on. */
static bool after_step(void *context, int calls_done)
{
    (void)context;
    if (calls_done <= 2) start_counting(); /* heun makes two at once */
    return true;
}

static void sample(SamplerKind kind, Unet *unet, const float *weights, const Config *c)
{
    Err err;
    Generator generator;
    enum { BATCH = 3 };
    SamplerConfig config = {.kind = kind,
                            .steps = 4,
                            .eta = kind == SAMPLER_DDIM ? 0.5 : 0,
                            .variance = c->diffusion.variance,
                            .prediction = c->diffusion.prediction,
                            .clip = true};
    Conditioning classes = {.count = config_classes(c), .guidance = 3};
    if (!sampler_check(&config, &c->diffusion, &err) ||
        !generator_init(&generator, unet, weights, &c->diffusion, &config, &classes, BATCH, &err))
        fail_msg("%s", err.text);
    float *out = test_floats(BATCH * generator.size);
    assert_true(generator_batch(&generator, out, NULL, 0, BATCH, after_step, NULL));
    assert_int_equal(stop_counting(), 0);
    start_counting(); /* the next batch, a smaller one, from its start */
    assert_true(generator_batch(&generator, out, NULL, BATCH, BATCH - 1, NULL, NULL));
    assert_int_equal(stop_counting(), 0);
    free(out);
    generator_release(&generator);
}

static void a_sampling_step_takes_no_memory(void **state)
{
    (void)state;
    if (!COUNTED) skip();
    Err err;
    Config c = everything();
    Unet *unet = network_new(c.model, 6, UNET_SAMPLE);
    float *weights = network_random_weights(unet, 5);
    if (!unet_prepare(unet, weights, &err)) fail_msg("%s", err.text);
    for (int kind = 0; sampler_names[kind]; kind++) sample((SamplerKind)kind, unet, weights, &c);
    free(weights);
    unet_free(unet);
}

int main(void)
{
    parallel_setup(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_counted),
        cmocka_unit_test(a_training_step_takes_no_memory),
        cmocka_unit_test(a_sampling_step_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
