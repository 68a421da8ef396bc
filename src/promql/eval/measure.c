/*
 * measure.c - what operators take while they run, if a plan wants to know. A measured vector stands
 * before each: it looks at the clock, and while its operator works it is the budget of that
 * operator that memory is charged to. What an operator takes it gives back to the same, since all
 * it does it does behind its measured vector; shards are charged to the operator that they are of.
 * Where nothing is measured there is no such vector, and nothing of this runs.
 */
#include "promql/eval/eval.h"
#include "sys/env.h"

struct measured_vector {
    struct vector vector; /* first */
    struct vector *of;
    struct plan_node *node;
};

static int64_t
now_ns(const struct evaluation *ev)
{
    bool has_clock = ev->control != NULL && ev->control->env != NULL;
    return has_clock ? env_monotonic_ns(ev->control->env) : 0;
}

static void
begin(struct evaluation *ev, struct plan_node *node, struct measuring *m)
{
    *m = (struct measuring){ev->at, ev->budget, now_ns(ev)};
    ev->at = node;
    ev->budget = &node->budget;
}

bool
measure_begin(struct evaluation *ev, const struct node *node, struct measuring *m)
{
    struct plan_node *of = ev->plan == NULL ? NULL : plan_find(ev->plan, node);
    if (of == NULL) return false;
    begin(ev, of, m);
    return true;
}

void
measure_end(struct evaluation *ev, const struct measuring *m)
{
    ev->at->spent_ns += now_ns(ev) - m->begun_ns;
    ev->at = m->outer;
    ev->budget = m->outer_budget;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct measured_vector *x = (struct measured_vector *)v;
    struct measuring m;
    begin(v->ev, x->node, &m);
    enum err e = vector_next(x->of, ret_column);
    measure_end(v->ev, &m);
    x->node->series_given += e == OK && *ret_column != NULL;
    return e;
}

static void
measured_free(struct vector *v)
{
    struct measured_vector *x = (struct measured_vector *)v;
    struct measuring m;
    begin(v->ev, x->node, &m);
    vector_free(x->of);
    measure_end(v->ev, &m);
    mem_free(v->ev->budget, x, sizeof *x);
}

enum err
vector_measured_new(struct evaluation *ev, struct plan_node *node, struct vector *of,
                    struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, measured_free};
    struct measured_vector *x = mem_new(ev->budget, sizeof *x);
    if (x == NULL) {
        struct measuring m;
        begin(ev, node, &m);
        vector_free(of);
        measure_end(ev, &m);
        return eval_no_memory(ev);
    }
    x->vector = *of;
    x->vector.ops = &ops;
    x->of = of;
    x->node = node;
    *ret_vector = &x->vector;
    return OK;
}
