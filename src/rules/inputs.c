/*
 * inputs.c - whether what a group reads is there: a sender's backlog arrives in order, series by
 * series, so a series that has a sample after some time has all before. Asked are those that were
 * there before the gap. One that was marked stale since then will have no more; and one whose last
 * sample is so young that the next one is not due yet has all there is.
 */
#include "rules/evaluate_private.h"
#include "sys/env.h"

enum { LATE_MS = 2000 }; /* by which samples may come after their time */

/* Series of one selector, in label order, as the index knows them. */
struct input_side {
    struct query_control control;
    struct series_set *set;
    struct bytes labels; /* at hand; `at` NULL: no more */
};

static enum err
side_begin(struct input_side *s, const struct evaluating *ev, struct budget *budget,
           const struct matcher_set *selector, int64_t min_ms, int64_t max_ms, struct why *why)
{
    if (min_ms > max_ms) return OK; /* it has none */
    look_control(ev, budget, &s->control);
    struct query_request request = {
        .tenant = ev->g->tenant,
        .sets = selector,
        .set_count = 1,
        .min_ms = min_ms,
        .max_ms = max_ms,
        .hints = {.labels_only = true},
        .control = &s->control,
    };
    enum err e = view_select(ev->view, &request, &s->set, why);
    return e ? e : series_set_next(s->set, &s->labels, why);
}

/* Of a series that has nothing after the time: whether no more is to come for now. */
static enum err
is_complete(const struct evaluating *ev, struct bytes labels, int64_t from_ms, int64_t now_ms,
            bool *ret, struct why *why)
{
    struct series_end end;
    enum err e = past_series_end(ev, labels, from_ms, now_ms, &end, why);
    *ret = end.is_stale;
    if (e || end.before_ms == INT64_MIN) return e;
    int64_t interval_ms = end.last_ms - end.before_ms;
    if (interval_ms > ev->terms->lookback_ms) interval_ms = ev->terms->lookback_ms;
    *ret |= now_ms - end.last_ms < interval_ms + LATE_MS;
    return OK;
}

/* Whether all series of before the gap have something after `t_ms`. */
static enum err
look_at_selector(const struct evaluating *ev, const struct matcher_set *selector, int64_t gap_ms,
                 int64_t t_ms, int64_t now_ms, enum input *ret, struct why *why)
{
    struct budget budget;
    struct input_side before = {.set = NULL}, after = {.set = NULL};
    int64_t from_ms = gap_ms - ev->terms->lookback_ms;
    budget_init(&budget, "rule", 0, ev->host->memory);
    enum err e = side_begin(&before, ev, &budget, selector, from_ms, gap_ms, why);
    if (e == OK) e = side_begin(&after, ev, &budget, selector, t_ms + 1, now_ms, why);
    *ret = INPUT_UNKNOWN;
    if (e == OK && before.labels.at == NULL && after.labels.at != NULL) *ret = INPUT_THERE;
    while (e == OK && *ret != INPUT_LACKING && before.labels.at != NULL) {
        int order = after.labels.at == NULL ? -1 : labels_compare(before.labels, after.labels);
        if (order > 0) {
            e = series_set_next(after.set, &after.labels, why);
            continue;
        }
        bool complete = true;
        if (order < 0) e = is_complete(ev, before.labels, from_ms, now_ms, &complete, why);
        *ret = complete ? INPUT_THERE : INPUT_LACKING;
        if (e == OK) e = series_set_next(before.set, &before.labels, why);
    }
    series_set_free(before.set);
    series_set_free(after.set);
    return e;
}

enum err
input_is_there(const struct rules_past *past, enum rule_kind kind, int64_t gap_ns, int64_t at_ns,
               int64_t now_ns, enum input *ret, struct why *why)
{
    struct group *g = past->group;
    struct evaluating ev = {.g = g, .host = past->host, .terms = past->terms};
    struct query_control control;
    look_control(&ev, past->host->memory, &control);
    enum err e = past->terms->open(past->terms->open_context, &control, &ev.view, why);
    enum input all = INPUT_UNKNOWN;
    uint32_t number = 0, waited_for = 0; /* selectors */
    for (uint32_t i = 0; e == OK && all != INPUT_LACKING && i < g->text.rule_count; i++) {
        uint32_t count;
        const struct matcher_set *sets = promql_selectors(g->rules[i].tree, &count);
        for (uint32_t k = 0; e == OK && all != INPUT_LACKING && k < count; k++) {
            enum input one = INPUT_UNKNOWN;
            bool recorded = atomic_load_explicit(&g->recorded[number++], memory_order_relaxed);
            if (recorded || g->rules[i].text->kind != kind) continue;
            waited_for++;
            e = look_at_selector(&ev, &sets[k], gap_ns / NS_PER_MS - g->query_offset_ms,
                                 at_ns / NS_PER_MS - g->query_offset_ms, now_ns / NS_PER_MS, &one,
                                 why);
            if (one != INPUT_UNKNOWN) all = one;
        }
    }
    *ret = waited_for == 0 ? INPUT_THERE : all;
    view_free(ev.view);
    return e;
}
