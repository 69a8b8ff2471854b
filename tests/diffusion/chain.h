/*
 * What the tests of this layer share: a schedule with its own arena, a refusal that must name
 * something, a closed-form stand-in for a network, comparisons of doubles.
 */
#ifndef DDPM_TESTS_DIFFUSION_CHAIN_H
#define DDPM_TESTS_DIFFUSION_CHAIN_H

#include "diffusion/schedule.h"
#include "support.h"

#include <math.h>

typedef struct {
    Arena arena;
    Schedule schedule;
} Chain;

static inline DiffusionConfig chain_config(ScheduleKind kind, int T)
{
    return (DiffusionConfig){
        .timesteps = T, .schedule = kind, .beta_start = 1e-4, .beta_end = 0.02};
}

static inline Arena chain_arena(size_t bytes)
{
    Arena arena;
    Err err;
    if (!arena_init(&arena, bytes, "test arena", &err)) fail_msg("%s", err.text);
    return arena;
}

static inline Chain chain_new(DiffusionConfig config)
{
    Chain chain = {.arena = chain_arena(schedule_bytes(config.timesteps))};
    schedule_init(&chain.schedule, &chain.arena, &config);
    return chain;
}

/* The linear chain of 1000 steps of Ho et al. 2020. */
static inline Chain chain_linear(void)
{
    return chain_new(chain_config(SCHEDULE_LINEAR, 1000));
}

static inline Chain chain_respaced(const Schedule *full, const int *timesteps, int count)
{
    Chain chain = {.arena = chain_arena(schedule_bytes(count))};
    schedule_respace(&chain.schedule, &chain.arena, full, timesteps, count);
    return chain;
}

static inline void chain_release(Chain *chain)
{
    arena_release(&chain->arena);
}

/* A check has said no with this kind and a text that holds `part`. */
static inline void assert_refused(bool accepted, const Err *err, const char *part)
{
    assert_false(accepted);
    assert_int_equal(err->kind, ERR_USAGE);
    if (!strstr(err->text, part)) fail_msg("\"%s\" does not say \"%s\"", err->text, part);
}

/* What tests/fixtures' samplers and likelihood were made with in place of a network. */
static inline double toy_model(double x, int t)
{
    return tanh(0.7 * x + t / 1000.0);
}

#endif
