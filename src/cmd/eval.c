/*
 * ddpm eval: figures of a model and of its samples, for people or as JSON. Each part fills a
 * section of one report; what a signal cuts short is in it too, marked as partial.
 */
#include "base/parallel.h"
#include "cmd/command.h"
#include "cmd/eval_classifier.h"
#include "cmd/eval_features.h"
#include "cmd/eval_memorised.h"
#include "cmd/eval_model.h"
#include "cmd/eval_report.h"
#include "cmd/eval_samples.h"
#include "cmd/interrupt.h"

#include <stdlib.h>

/* A part, and whether it was asked for. */
typedef struct {
    bool asked;
    bool (*run)(EvalRun *run, Err *err);
} Part;

static bool run_parts(EvalRun *r, Err *err)
{
    const EvalOptions *o = &r->options;
    const Part parts[] = {{o->train_features, eval_train_features},
                          {o->nll, eval_nll},
                          {o->loss, eval_loss},
                          {eval_options_samples(o), eval_samples},
                          {o->memorised, eval_memorised},
                          {o->features != NULL, eval_features}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].asked && interrupt_signal() == 0 && !parts[i].run(r, err)) return false;
    return true;
}

static bool print(const EvalRun *r, Err *err)
{
    char *text;
    if (!r->options.json) {
        eval_report_print(stdout, r->report);
        return true;
    }
    if (!json_print(&text, r->report, JSON_INDENTED, err)) return false;
    puts(text);
    free(text);
    return true;
}

static int evaluate(EvalRun *r, Err *err)
{
    if (r->options.work.threads > 0) parallel_setup(r->options.work.threads);
    interrupt_install();
    if (!eval_run_open(r, err)) return command_fail("eval", err);
    bool ok = run_parts(r, err);
    eval_run_end(r);
    if (interrupt_signal() != 0) eval_run_partial(r);
    if (!ok || !print(r, err)) return command_fail("eval", err);
    int code = command_finish("eval");
    return interrupt_signal() != 0 && code == 0 ? interrupt_exit_code(interrupt_signal()) : code;
}

int cmd_eval(int argc, char **argv)
{
    EvalRun r = {0};
    Err err;
    bool help;
    if (!eval_options_parse(&r.options, &help, argc, argv, &err)) return command_fail("eval", &err);
    if (help) {
        options_help(stdout, &eval_options_table);
        return command_finish("eval");
    }
    int code = evaluate(&r, &err);
    eval_run_release(&r);
    return code;
}
