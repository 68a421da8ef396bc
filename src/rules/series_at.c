/*
 * series_at.c - which series recording rules have at one evaluation, found by evaluating them
 * without writing anything. So a group knows which series the evaluation before its next one wrote,
 * and marks those stale that have ended: at a start, and before the first evaluation of a replay.
 *
 * Results that were recorded after the evaluation are hidden from it (as_of.h). Besides that, what
 * is found is what the rules give now. Input that came late may give a series that was not
 * recorded: if it has ended at the next evaluation, the series has a staleness marker alone. What a
 * rule that fails wrote before is not found: such series end without a marker.
 */
#include "rules/as_of.h"
#include "rules/evaluate_private.h"
#include "rules/relabelled.h"

enum { ARENA_BYTES_MAX = 1 << 30 };

static enum err
add_result(const struct rule_at_work *rule, struct promql_result *result, struct arena *arena,
           struct buf *labels, struct kept_series *to, struct buf *error)
{
    struct bytes metric;
    struct promql_point point;
    uint32_t count;
    struct label *over = record_labels(rule, arena, &count);
    enum err e = over == NULL ? ERR_NOMEM : OK;
    while (e == OK && promql_next_series(result, &metric)) {
        bool is_new = true;
        if (!asked_point(result, &point)) continue;
        buf_clear(labels);
        relabelled_put(labels, metric, over, count);
        e = buf_error(labels);
        if (e == OK) e = kept_series_add(to, buf_bytes(labels), &is_new);
        if (e || is_new) continue;
        buf_put_text(error, "vector contains metrics with the same labelset");
        e = ERR_INPUT;
    }
    return e;
}

static enum err
evaluate_at(const struct evaluating *ev, const struct rule_at_work *rule, int64_t t_ms,
            struct kept_series *to, struct buf *error, struct why *why)
{
    struct budget *memory = ev->host->memory;
    struct asked a = {.result = NULL};
    struct ask_times times = {.first_ms = t_ms, .last_ms = t_ms};
    struct arena arena;
    struct buf labels;
    arena_init(&arena, memory, ARENA_BYTES_MAX, 0);
    buf_init(&labels, memory, RULE_FILE_BYTES_MAX);
    enum err e = ask(ev, rule->tree, &times, &a, error, why);
    if (e == OK) {
        e = add_result(rule, a.result, &arena, &labels, to, error);
        if (e && e != ERR_INPUT) e = why_set(why, ERR_NOMEM, "not enough memory for the rule");
    }
    asked_end(&a);
    buf_fini(&labels);
    arena_fini(&arena);
    return e;
}

/* A rule that fails has none. */
static enum err
find_series(const struct evaluating *ev, const struct rule_at_work *rule, int64_t t_ms,
            struct kept_series *to, struct why *why)
{
    struct buf error;
    uint32_t limit = ev->g->text.limit;
    buf_init(&error, ev->host->memory, RULE_ERROR_BYTES_MAX);
    enum err e = evaluate_at(ev, rule, t_ms, to, &error, why);
    if (ask_failed(ev, e, &error) || (e == OK && limit > 0 && to->count > limit)) {
        e = OK;
        kept_series_fini(to);
        kept_series_init(to, ev->g->memory, ev->g->seed);
    }
    buf_fini(&error);
    return e;
}

/* Evaluates rule after rule, in views of what was there when its turn came at the slot. */
static enum err
find_all(struct evaluating *ev, struct view *view, struct as_of *as_of, struct why *why)
{
    struct group *g = ev->g;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        struct kept_series found;
        if (rule->text->kind != RULE_RECORDING) continue;
        as_of->first_rule = i;
        e = as_of_view_new(view, as_of, ev->host->memory, &ev->view, why);
        if (e) break;
        kept_series_init(&found, g->memory, g->seed);
        e = find_series(ev, rule, as_of->sample_ms, &found, why);
        view_free(ev->view);
        lock_take(&g->lock);
        struct kept_series before = rule->series;
        rule->series = found;
        lock_drop(&g->lock);
        kept_series_fini(&before);
    }
    return e;
}

enum err
group_series_at(const struct rules_past *past, int64_t slot, struct why *why)
{
    struct group *g = past->group;
    struct evaluating ev = {.g = g, .host = past->host, .terms = past->terms};
    int64_t at_ms = schedule_time_ns(&g->schedule, slot) / NS_PER_MS;
    struct recorded_names own;
    struct as_of as_of = {
        .at_ms = at_ms, .sample_ms = at_ms - g->query_offset_ms, .early = &g->early, .own = &own};
    struct query_control control;
    struct view *view = NULL;
    ask_control(&ev, past->host->memory, &control);
    recorded_names_init(&own, g->memory, g->seed);
    enum err e = OK;
    if (recorded_names_add(&own, g)) e = why_set(why, ERR_NOMEM, "not enough memory for the group");
    if (e == OK) e = past->terms->open(past->terms->open_context, &control, &view, why);
    if (e == OK) e = find_all(&ev, view, &as_of, why);
    view_free(view);
    recorded_names_fini(&own);
    g->series_slot = e == OK ? slot : -1;
    return e;
}
