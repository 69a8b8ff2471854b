#include "cmd/bench_layers.h"

#include "model/unet.h"

#include <stdio.h>

/* A line of a table. */
typedef struct {
    const char *name;
    double forward, backward; /* seconds */
    double flop, bytes;       /* what it is measured by is not 0 */
} Line;

/* Where lines go. */
typedef struct {
    bool json;    /* else to stdout */
    Json *list;   /* NULL if there was no memory for it, too */
    double whole; /* seconds of the step */
    const BenchPeaks *peaks;
} Table;

static void begin(Table *table, Json *json, BenchKind kind, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s_%s", bench_names[kind], what);
    table->json = json != NULL;
    if (json) {
        table->list = json_new_list();
        json_set(json, key, table->list);
    } else {
        printf("\n%-6s %-25s %11s %11s %8s %14s %8s\n", bench_names[kind], what, "forward ms",
               "backward ms", "share", "rate", "of peak");
    }
}

static void put_json(const Table *table, const Line *line, double rate, double of_peak)
{
    Json *object = json_new_object();
    json_set_string(object, "name", line->name);
    json_set_number(object, "forward_ms", 1e3 * line->forward);
    json_set_number(object, "backward_ms", 1e3 * line->backward);
    if (rate > 0) {
        json_set_number(object, line->flop > 0 ? "gflops" : "gb_per_s", 1e-9 * rate);
        json_set_number(object, "share_of_peak", of_peak);
    }
    json_add(table->list, object);
}

static void put(const Table *table, Line line)
{
    double seconds = line.forward + line.backward;
    bool counts = line.flop > 0;
    double work = counts ? line.flop : line.bytes;
    double rate = seconds > 0 ? work / seconds : 0;
    double of_peak = rate / (counts ? table->peaks->gemm : table->peaks->copy);
    if (table->json) {
        put_json(table, &line, rate, of_peak);
        return;
    }
    printf("%-32s %11.3f %11.3f %7.1f%%", line.name, 1e3 * line.forward, 1e3 * line.backward,
           100 * seconds / table->whole);
    if (rate > 0)
        printf(" %7.1f %-6s %7.0f%%", 1e-9 * rate, counts ? "GFLOP/s" : "GB/s", 100 * of_peak);
    putchar('\n');
}

/* What is left of the step, as its own line, so that all lines add up to it. */
static void end(const Table *table, const char *rest, double sum)
{
    put(table, (Line){.name = rest, .forward = table->whole - sum});
    if (!table->json)
        printf("%-32s %11.3f %11s %7.1f%%\n", "the whole step", 1e3 * table->whole, "", 100.0);
}

static bool blocks(Table *table, BenchKind kind, const Bench *bench, const ModelConfig *model,
                   Err *err)
{
    Unet *unet = unet_new(model, true, err);
    if (!unet) return false;
    double sum = 0, passes = kind == BENCH_TRAIN ? 3 : 1;
    for (int i = 0; i < bench->blocks; i++) {
        const Block *block = &unet_topology(unet)->list[i];
        double macs = block_ops(block->kind)->macs(block, model) * bench->images;
        put(table,
            (Line){block->name, bench->forward[i], bench->backward[i], 2 * passes * macs, 0});
        sum += bench->forward[i] + bench->backward[i];
    }
    end(table, kind == BENCH_TRAIN ? "drawing, loss, optimiser" : "between the blocks", sum);
    unet_free(unet);
    return true;
}

static bool kernels(Table *table, BenchKind kind, const Config *config, Err *err)
{
    BenchKernels alone;
    double sum = 0;
    if (!bench_kernels(&alone, kind, config, err)) return false;
    for (int i = 0; i < alone.count; i++) {
        const BenchKernel *k = &alone.list[i];
        put(table, (Line){k->name, k->backward ? 0 : k->seconds, k->backward ? k->seconds : 0,
                          k->flop, k->bytes});
        sum += k->seconds;
    }
    end(table, "all else", sum);
    return true;
}

bool bench_layers(Json *json, BenchKind kind, const Bench *bench, const Config *config,
                  const BenchPeaks *peaks, Err *err)
{
    Table table = {.whole = bench->best, .peaks = peaks};
    begin(&table, json, kind, "blocks");
    if (!blocks(&table, kind, bench, &config->model, err)) return false;
    begin(&table, json, kind, "kernels");
    if (!kernels(&table, kind, config, err)) return false;
    if (!json) putchar('\n');
    return true;
}
