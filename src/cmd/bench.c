/*
 * ddpm bench: images a second, for people or as JSON.
 */
#include "train/bench.h"

#include "base/file.h"
#include "base/gemm.h"
#include "base/parallel.h"
#include "cmd/bench_layers.h"
#include "cmd/bench_options.h"
#include "cmd/command.h"
#include "cmd/describe.h"
#include "cmd/progress.h"
#include "train/trainer.h"

#include <sys/resource.h>

typedef struct {
    BenchOptions options;
    char name[FILE_PATH]; /* the config's file name */
    Config config;
    BenchPeaks peaks;
    Json *json; /* what --json prints, or NULL */
    Progress progress;
} Report;

/* The most that the process has had until now, in MiB. */
static double peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
    return (double)usage.ru_maxrss / 1048576; /* bytes there, KiB elsewhere */
#else
    return (double)usage.ru_maxrss / 1024;
#endif
}

/* `shapes` needs no data.path, and no data is read. */
static bool read_config(Report *r, Err *err)
{
    const BenchOptions *o = &r->options;
    Config *c = &r->config;
    if (!config_options_read(c, r->name, &o->config, err)) return false;
    if (o->batch > 0) c->train.batch_size = c->train.micro_batch = o->batch;
    c->data.format = DATA_SHAPES;
    return config_check(c, err);
}

static bool describe(Report *r, Err *err)
{
    Unet *unet = unet_new(&r->config.model, true, err);
    if (!unet) return false;
    if (r->options.json) {
        r->json = json_new_object();
        json_set_string(r->json, "config", r->name);
        json_set_number(r->json, "batch", r->config.train.batch_size);
        json_set_number(r->json, "micro_batch", trainer_micro_batch(&r->config));
        json_set_number(r->json, "repeat", r->options.repeat);
        json_set_number(r->json, "threads", parallel_threads());
        json_set_string(r->json, "blas_core", gemm_core_name());
        json_set_number(r->json, "parameters", (double)unet_params(unet)->parameters);
        json_set_number(r->json, "gflop_per_image", 2e-9 * unet_macs(unet));
    } else {
        int threads = parallel_threads();
        printf("%s: ", r->name);
        describe_network(stdout, unet);
        printf("%d thread%s, BLAS's kernels for %s\n", threads, threads > 1 ? "s" : "",
               gemm_core_name());
    }
    unet_free(unet);
    return !r->options.json || json_complete(r->json, err);
}

static void set_figure(Json *json, const char *kind, const char *figure, double value)
{
    char key[64];
    snprintf(key, sizeof key, "%s_%s", kind, figure);
    json_set_number(json, key, value);
}

static void report(Report *r, BenchKind kind, const Bench *b)
{
    const char *name = bench_names[kind];
    double best = b->images / b->best, median = b->images / b->median;
    double gflops = 1e-9 * b->flop / b->best, memory = peak_memory();
    if (r->json) {
        set_figure(r->json, name, "images_per_s", best);
        set_figure(r->json, name, "images_per_s_median", median);
        set_figure(r->json, name, "gflops", gflops);
        json_set_number(r->json, "peak_memory_mib", memory);
    } else {
        printf("%-6s  %d images a step  best %.4g images/s  median %.4g images/s  %.4g GFLOP/s  "
               "peak memory %.0f MiB\n",
               name, b->images, best, median, gflops, memory);
    }
}

static void on_step(void *context, int steps_done)
{
    Report *r = context;
    progress_update(&r->progress, steps_done, "");
}

/* Once, and after the first steps, so that the memory it takes is not counted as theirs. */
static bool measure_peaks(Report *r, Err *err)
{
    if (r->peaks.gemm > 0) return true;
    if (!bench_peaks(&r->peaks, err)) return false;
    double gflops = 1e-9 * r->peaks.gemm, copy = 1e-9 * r->peaks.copy;
    if (r->json) {
        json_set_number(r->json, "sgemm_gflops", gflops);
        json_set_number(r->json, "copy_gb_per_s", copy);
    } else {
        printf("peaks of this machine: SGEMM %.4g GFLOP/s, copy %.4g GB/s\n", gflops, copy);
    }
    return true;
}

static bool layers(Report *r, BenchKind kind, const Bench *bench, Err *err)
{
    if (!r->options.layers) return true;
    return measure_peaks(r, err) && bench_layers(r->json, kind, bench, &r->config, &r->peaks, err);
}

static bool measure(Report *r, BenchKind kind, Err *err)
{
    Bench bench;
    int repeat = r->options.repeat;
    progress_init(&r->progress, bench_names[kind], "steps", 0, repeat + 1, r->options.work.quiet);
    bool ok = bench_run(&bench, kind, &r->config, repeat, on_step, r, err);
    progress_release(&r->progress);
    if (!ok) return false;
    report(r, kind, &bench);
    ok = layers(r, kind, &bench, err);
    fflush(stdout);
    bench_release(&bench);
    return ok;
}

static bool measure_all(Report *r, Err *err)
{
    int only = r->options.only;
    for (int kind = BENCH_TRAIN; kind <= BENCH_SAMPLE; kind++)
        if ((only < 0 || only == kind) && !measure(r, (BenchKind)kind, err)) return false;
    return true;
}

int cmd_bench(int argc, char **argv)
{
    Report r = {0};
    Err err;
    bool help;
    if (!bench_options_parse(&r.options, &help, argc, argv, &err))
        return command_fail("bench", &err);
    if (help) {
        options_help(stdout, &bench_options_table);
        return command_finish("bench");
    }
    if (r.options.work.threads > 0) parallel_setup(r.options.work.threads);
    bool ok = read_config(&r, &err) && describe(&r, &err) && measure_all(&r, &err) &&
              (!r.json || command_print_json(r.json, &err));
    json_free(r.json);
    return ok ? command_finish("bench") : command_fail("bench", &err);
}
