/*
 * survey_rules.c - surveys what rules of retention would remove and rules of downsampling replace,
 * by the index alone. Each series is visited once, as a query that reads all of it would do; what
 * the rules in force hide is included.
 */
#include <string.h>

#include "tsdb/read/select_private.h"

struct rules_survey {
    const struct tsdb_limits *limits;
    int64_t now_ms;
    struct series_cost *list; /* by rule */
};

/* --- a series --------------------------------------------------------------------------------- */

/* True if a level may replace what the item has. */
static bool
may_replace(int64_t resolution_ms, const struct interleave_item *item)
{
    if (item->type == PIECE_BLOCK || item->type == PIECE_BUNDLE) return true;
    if (item->type != PIECE_ROLLUPS) return false; /* in the head: it is young */
    int64_t finer_ms = item->block.ref->resolution_ms;
    return finer_ms < resolution_ms && resolution_ms % finer_ms == 0;
}

/* Adds what rule `index` applies to: the samples of a series from min_ms to max_ms. */
static void
add_items(const struct rules_survey *s, const struct store_query *q, uint32_t index,
          int64_t resolution_ms, int64_t min_ms, int64_t max_ms)
{
    struct series_cost *to = &s->list[index];
    bool any = false;
    for (uint32_t i = 0; i < q->interleave.item_count; i++) {
        const struct interleave_item *item = &q->interleave.items[i];
        if (min_ms > max_ms || item->max_ms < min_ms || item->min_ms > max_ms) continue;
        if (resolution_ms > 0 && !may_replace(resolution_ms, item)) continue;
        struct series_cost cost = interleave_item_cost(item, min_ms, max_ms);
        bool is_finer = resolution_ms > 0 && item->type == PIECE_ROLLUPS;
        any = true;
        to->blocks += cost.blocks;
        to->samples += is_finer ? 0 : cost.samples;
        to->bytes += cost.bytes * cost.samples / item->count;
    }
    to->series += any;
}

/* Each sample counts for the coarsest level that applies to its age, and for retention. */
static void
survey_series(const struct rules_survey *s, const struct store_query *q, struct bytes tenant,
              struct bytes labels)
{
    const struct tsdb_limits *limits = s->limits;
    int64_t age_ms, from_ms = INT64_MIN / 2;
    const struct series_rule *rule =
        series_rules_find(limits->retention_rules, tenant, labels, &age_ms);
    if (rule != NULL) {
        add_items(s, q, series_rules_index(limits->retention_rules, rule), 0, from_ms,
                  s->now_ms - age_ms - 1);
    }
    uint32_t first = tsdb_limits_rule_count(limits);
    for (uint32_t i = limits->level_count; i > 0; i--) {
        const struct tsdb_level *level = &limits->levels[i - 1];
        first -= series_rules_count(level->rules);
        rule = series_rules_find(level->rules, tenant, labels, &age_ms);
        if (rule == NULL) continue;
        int64_t until_ms = s->now_ms - age_ms; /* the end of the last window that is old enough: */
        int64_t end_ms = rollup_window_end(until_ms, level->resolution_ms);
        if (end_ms > until_ms) end_ms -= level->resolution_ms;
        if (end_ms < from_ms) continue;
        add_items(s, q, first + series_rules_index(level->rules, rule), level->resolution_ms,
                  from_ms, end_ms);
        from_ms = end_ms + 1;
    }
}

/* --- the survey ------------------------------------------------------------------------------- */

/* The least age of a sample that a rule applies to; INT64_MAX if none may. */
static int64_t
least_age_ms(const struct tsdb_limits *limits, struct bytes tenant)
{
    int64_t least_ms = series_rules_least_age_ms(limits->retention_rules, tenant);
    for (uint32_t i = 0; i < limits->level_count; i++) {
        int64_t age_ms = series_rules_least_age_ms(limits->levels[i].rules, tenant);
        if (age_ms < least_ms) least_ms = age_ms;
    }
    return least_ms;
}

static enum err
survey_tenant(const struct rules_survey *s, struct store_view *view, struct bytes tenant,
              struct query_control *control, struct why *why)
{
    struct matcher_set all = {NULL, 0};
    int64_t age_ms = least_age_ms(s->limits, tenant);
    struct query_request request = {.tenant = tenant,
                                    .sets = &all,
                                    .set_count = 1,
                                    .min_ms = INT64_MIN / 2,
                                    .max_ms = s->now_ms - age_ms,
                                    .partial = true,
                                    .control = control};
    struct store_query *q;
    struct bytes labels;
    if (age_ms == INT64_MAX) return OK;
    enum err e = query_open(view, &request, QUERY_SAMPLES, &q, why);
    if (e) return e;
    while ((e = series_set_next(&q->set, &labels, why)) == OK && labels.at != NULL) {
        survey_series(s, q, tenant, labels);
    }
    series_set_free(&q->set);
    return e;
}

enum err
rules_survey(struct head *head, const struct tsdb_limits *limits, struct query_control *control,
             struct series_cost *ret_list, struct why *why)
{
    struct store_view *view;
    struct rules_survey s = {.limits = limits, .list = ret_list};
    uint32_t count = tsdb_limits_rule_count(limits);
    if (count == 0) return OK;
    memset(ret_list, 0, count * sizeof *ret_list);
    struct budget *budget = control == NULL ? NULL : control->budget;
    enum err e = store_view_open(head, VIEW_ALL, budget, &view, why);
    if (e) return e;
    series_rules_unref(view->rules); /* so that queries of the view find all */
    view->rules = NULL;
    lock_take(&head->lock);
    s.now_ms = retention_rules_now_ms(head);
    uint32_t tenants = s.now_ms == INT64_MIN ? 0 : head->tenant_count;
    lock_drop(&head->lock);
    for (uint32_t i = 0; i < tenants && e == OK; i++) {
        lock_take(&head->lock);
        struct bytes tenant = head->tenants[i]->name; /* tenants are never removed */
        lock_drop(&head->lock);
        e = survey_tenant(&s, view, tenant, control, why);
    }
    store_view_unref(view);
    return e;
}
