/*
 * rules_in_force.c - see head.h. The configurations of the last grace are combined to one
 * object each time that they change, so that a query pins all of them with one reference.
 */
#include "tsdb/head/head.h"

#include <assert.h>
#include <string.h>

bool
rules_configured_equal(const struct rules_configured *a, const struct rules_configured *b)
{
    bool none = series_rules_count(a->rules) == 0 && series_rules_count(b->rules) == 0;
    return none || (a->kept_ms == b->kept_ms && series_rules_equal(a->rules, b->rules));
}

void
rules_in_force_forget(struct rules_in_force *f, uint32_t from)
{
    for (uint32_t i = from; i < f->former_count; i++) {
        series_rules_unref(f->former[i].was.rules);
    }
    if (from < f->former_count) f->former_count = from;
}

void
rules_in_force_fini(struct rules_in_force *f)
{
    rules_in_force_forget(f, 0);
    series_rules_unref(f->now.rules);
    series_rules_unref(f->all);
    *f = (struct rules_in_force){.all = NULL};
}

static int64_t
longer(int64_t a_ms, int64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0) return 0;
    return a_ms > b_ms ? a_ms : b_ms;
}

void
rules_in_force_combine(struct rules_in_force *f)
{
    struct series_rules *former[SERIES_RULES_FORMER_MAX], *all = NULL;
    bool hides = series_rules_count(f->now.rules) > 0;
    f->kept_ms = f->now.kept_ms;
    for (uint32_t i = 0; i < f->former_count; i++) {
        former[i] = f->former[i].was.rules;
        hides &= series_rules_count(former[i]) > 0;
        f->kept_ms = longer(f->kept_ms, f->former[i].was.kept_ms);
    }
    if (hides && f->former_count == 0) all = series_rules_ref(f->now.rules);
    if (hides && f->former_count > 0) {
        enum err e = series_rules_with(f->now.rules, former, f->former_count, NULL, &all);
        err_ignore(e, "nothing is hidden until the next change");
    }
    series_rules_unref(f->all);
    f->all = all;
}

void
rules_in_force_add_former(struct rules_in_force *f, const struct rules_former *former)
{
    assert(f->former_count < SERIES_RULES_FORMER_MAX);
    f->former[f->former_count] = *former;
    series_rules_ref(former->was.rules);
    f->former_count++;
}

static void
remove_former(struct rules_in_force *f, uint32_t at)
{
    series_rules_unref(f->former[at].was.rules);
    f->former_count--;
    memmove(&f->former[at], &f->former[at + 1], (f->former_count - at) * sizeof f->former[0]);
}

/* Makes room for one more. The two oldest become one that keeps all, as long as the younger. */
static void
make_room(struct rules_in_force *f)
{
    if (f->former_count < SERIES_RULES_FORMER_MAX) return;
    struct rules_former *last = &f->former[f->former_count - 2];
    int64_t kept_ms = longer(last[0].was.kept_ms, last[1].was.kept_ms);
    remove_former(f, f->former_count - 1);
    series_rules_unref(last->was.rules);
    last->was = (struct rules_configured){NULL, kept_ms};
}

bool
rules_in_force_change(struct rules_in_force *f, const struct rules_configured *next, int64_t now_ms,
                      int64_t now_ns)
{
    struct rules_former left = {f->now, now_ms, now_ns};
    if (rules_configured_equal(&f->now, next)) {
        bool differs = f->now.kept_ms != next->kept_ms; /* without rules, it may */
        f->now.kept_ms = next->kept_ms;
        if (differs) rules_in_force_combine(f); /* which ends merges, and cached results */
        return false;
    }
    make_room(f);
    memmove(&f->former[1], &f->former[0], f->former_count * sizeof f->former[0]);
    f->former[0] = left; /* with the reference of `now` */
    f->former_count++;
    f->now = (struct rules_configured){series_rules_ref(next->rules), next->kept_ms};
    /* One that is configured again has its grace when it is replaced again. */
    for (uint32_t i = f->former_count; i-- > 1;) {
        if (rules_configured_equal(&f->former[i].was, next)) remove_former(f, i);
    }
    rules_in_force_combine(f);
    return true;
}

void
rules_in_force_begin(struct rules_in_force *f, const struct rules_configured *first)
{
    rules_in_force_fini(f);
    f->now = (struct rules_configured){series_rules_ref(first->rules), first->kept_ms};
    rules_in_force_combine(f);
}
