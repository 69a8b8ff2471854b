/*
 * ddpm eval: figures of a model and of its samples, for people or as JSON. Each part fills a
 * section of one report; what a signal or a failing part cuts short is in it too, marked as
 * partial.
 */
#include "base/parallel.h"
#include "cmd/command.h"
#include "cmd/eval_check.h"
#include "cmd/eval_classifier.h"
#include "cmd/eval_features.h"
#include "cmd/eval_images.h"
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

/* Whether there is anything in the report to lose. */
static bool has_figures(const Json *report)
{
    for (const Json *section = json_first(report); section; section = json_next(section))
        if (json_type(section) == JSON_OBJECT)
            for (const Json *c = json_first(section); c; c = json_next(c))
                if (json_type(c) == JSON_OBJECT) return true;
    return false;
}

static bool print(const EvalRun *r, Err *err)
{
    if (r->options.json) return command_print_json(r->report, err);
    if (!json_complete(r->report, err)) return false;
    eval_report_print(stdout, r->report);
    return true;
}

/* The hours of the parts before the one that failed are not lost with it. */
static int fail(EvalRun *r, const Err *err)
{
    Err ignored;
    eval_run_partial(r, NULL);
    if (has_figures(r->report)) print(r, &ignored);
    return command_fail("eval", err);
}

static int evaluate(EvalRun *r, Err *err)
{
    interrupt_outlive_writes();
    if (r->options.work.threads > 0) parallel_setup(r->options.work.threads);
    interrupt_install();
    if (!eval_check(&r->options, err) || !eval_run_open(r, err) || !eval_images_read(r, err))
        return command_fail("eval", err);
    bool ok = run_parts(r, err);
    eval_run_end(r);
    if (!ok) return fail(r, err);
    if (interrupt_signal() != 0) eval_run_partial(r, NULL);
    if (!print(r, err)) return command_fail("eval", err);
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
