/*
 * measure.c - measures the time and memory of operators, if a plan is measured.
 *
 * A measured vector wraps each operator. It reads the clock, and makes the budget of its operator
 * that of the evaluation while the operator works. An operator returns memory to the budget that it
 * took it from, since its measured vector makes all calls of it; shards charge the operator that
 * they are shards of. Without a measured plan there are no measured vectors.
 *
 * Invariants:
 *
 *  1. Measurements nest: measure_end() finds the operator that the last measuring_start() has set.
 *  2. While an operator is measured, ev->at is its node of the plan.
 */
#include <assert.h>

#include "promql/eval/plan/plan.h"
#include "sys/env.h"

struct measured_vector {
    struct vector vector; /* first */
    struct vector *of;
    struct plan_figures *figures;
};

static int64_t
now_ns(const struct evaluation *ev)
{
    bool has_clock = ev->control != NULL && ev->control->env != NULL;
    return has_clock ? env_monotonic_ns(ev->control->env) : 0;
}

void
measuring_start(struct evaluation *ev, struct plan_figures *figures, struct measuring *m)
{
    *m = (struct measuring){ev->at, ev->budget, now_ns(ev)};
    ev->at = figures;
    ev->budget = &figures->budget;
}

void
measure_end(struct evaluation *ev, const struct measuring *m)
{
    assert(ev->at != NULL); /* invariant 2 */
    ev->at->spent_ns += now_ns(ev) - m->begun_ns;
    ev->at = m->outer;
    ev->budget = m->outer_budget;
}

void
measure_account(struct plan_figures *figures, const struct series_set *set)
{
    struct series_cost c;
    figures->known &= series_set_spent(set, &c);
    if (figures->known) series_cost_add(&figures->cost, &c);
}

void
measure_resolution(struct plan_figures *figures, int64_t resolution_ms)
{
    int64_t most_ms = atomic_load_explicit(&figures->resolution_ms, memory_order_relaxed);
    while (resolution_ms > most_ms &&
           !atomic_compare_exchange_weak_explicit(&figures->resolution_ms, &most_ms, resolution_ms,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static enum err
measured_next(struct vector *v, struct column **ret_column)
{
    struct measured_vector *x = (struct measured_vector *)v;
    struct measuring m;
    measuring_start(v->ev, x->figures, &m);
    enum err e = vector_next(x->of, ret_column);
    assert(v->ev->at == x->figures);              /* invariant 1 */
    assert(v->ev->budget == &x->figures->budget); /* invariant 1 */
    measure_end(v->ev, &m);
    x->figures->series_given += e == OK && *ret_column != NULL;
    return e;
}

static void
measured_free(struct vector *v)
{
    struct measured_vector *x = (struct measured_vector *)v;
    struct measuring m;
    measuring_start(v->ev, x->figures, &m);
    vector_free(x->of);
    assert(v->ev->at == x->figures); /* invariant 1 */
    measure_end(v->ev, &m);
}

enum err
vector_measured_new(struct evaluation *ev, struct plan_figures *figures, struct vector *of,
                    struct vector **ret_vector)
{
    static const struct vector_ops ops = {measured_next, measured_free};
    struct measured_vector *x = vector_alloc(ev, sizeof *x, &ops, NULL);
    if (x == NULL) {
        struct measuring m;
        measuring_start(ev, figures, &m);
        vector_free(of);
        measure_end(ev, &m);
        return eval_no_memory(ev);
    }
    x->vector = *of;
    x->vector.ops = &ops;
    x->vector.bytes = sizeof *x;
    x->vector.of = NULL; /* is freed while it is measured */
    x->of = of;
    x->figures = figures;
    *ret_vector = &x->vector;
    return OK;
}
