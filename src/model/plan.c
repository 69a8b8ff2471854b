#include "model/plan.h"

#include "base/memory.h"

#include <stdlib.h>

static size_t rounded(const PlanTensor *t)
{
    return memory_round(t->floats * sizeof(float)) / sizeof(float);
}

static int by_size_then_age(const void *a, const void *b)
{
    const PlanTensor *p = *(PlanTensor *const *)a, *q = *(PlanTensor *const *)b;
    if (p->floats != q->floats) return p->floats < q->floats ? 1 : -1;
    return p->first != q->first ? (p->first > q->first) - (p->first < q->first) : (p > q) - (p < q);
}

static bool live_together(const PlanTensor *a, const PlanTensor *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which `tensor` overlaps none of the placed ones that live with it: either 0
 * or the end of one of them. */
static size_t lowest_place(const PlanTensor *tensor, PlanTensor *const *placed, int count)
{
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        const PlanTensor *other = placed[i];
        bool overlaps = live_together(tensor, other) && at < other->offset + rounded(other) &&
                        other->offset < at + rounded(tensor);
        if (overlaps) {
            at = other->offset + rounded(other);
            i = -1;
        }
    }
    return at;
}

bool plan_place(size_t *total, PlanTensor *tensors, int count, Err *err)
{
    PlanTensor **order = memory_new((size_t)count, sizeof *order, "the memory plan", err);
    if (!order) return false;
    for (int i = 0; i < count; i++) order[i] = &tensors[i];
    qsort(order, (size_t)count, sizeof *order, by_size_then_age);
    *total = 0;
    for (int i = 0; i < count; i++) {
        order[i]->offset = lowest_place(order[i], order, i);
        size_t end = order[i]->offset + rounded(order[i]);
        *total = end > *total ? end : *total;
    }
    free(order);
    return true;
}
