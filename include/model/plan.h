/*
 * The memory plan: tensors whose lifetimes do not meet share memory. Time is counted in calls of
 * blocks, forward and then backward.
 */
#ifndef DDPM_MODEL_PLAN_H
#define DDPM_MODEL_PLAN_H

#include "base/err.h"

#include <stddef.h>

typedef struct {
    size_t floats;
    int first, last; /* the first and the last call that uses it, both included */
    size_t offset;   /* where it lies: filled by plan_place, a multiple of 16 floats */
} PlanTensor;

/* Give each tensor a place such that no two that live at the same time overlap: the largest first,
 * each at the lowest place that is free during its life. *total is the floats of the whole. */
bool plan_place(size_t *total, PlanTensor *tensors, int count, Err *err);

#endif
