/*
 * survey_rules.c - surveys what rules of retention would remove, by the index alone. Each series is
 * visited once, as a query that reads all of it would do; what the rules in force hide is included,
 * and counted apart from what queries return.
 */
#include "tsdb/read/select_private.h"

struct rules_survey {
    const struct series_rules *rules;
    struct series_rules *in_force; /* NULL: they hide nothing */
    int64_t now_ms;
    struct tsdb_rule_survey *list; /* by rule */
};

struct series_cost
survey_item(const struct interleave_item *item, int64_t min_ms, int64_t max_ms)
{
    if (min_ms > max_ms || item->max_ms < min_ms || item->min_ms > max_ms) {
        return (struct series_cost){.series = 0};
    }
    struct series_cost cost = interleave_item_cost(item, min_ms, max_ms);
    cost.bytes = cost.bytes * cost.samples / item->count;
    return cost;
}

static enum err
survey_series(void *context, struct store_query *q, struct bytes tenant, struct bytes labels,
              struct why *why)
{
    const struct rules_survey *s = context;
    int64_t age_ms, shown_age_ms, shown_from_ms = INT64_MIN;
    const struct series_rule *rule = series_rules_find(s->rules, tenant, labels, &age_ms);
    (void)why;
    if (rule == NULL) return OK;
    if (series_rules_find(s->in_force, tenant, labels, &shown_age_ms) != NULL) {
        shown_from_ms = s->now_ms - shown_age_ms;
    }
    struct tsdb_rule_survey *to = &s->list[series_rules_index(s->rules, rule)];
    int64_t until_ms = s->now_ms - age_ms - 1;
    bool any = false;
    for (uint32_t i = 0; i < q->interleave.item_count; i++) {
        const struct interleave_item *item = &q->interleave.items[i];
        struct series_cost cost = survey_item(item, INT64_MIN, until_ms);
        if (cost.samples == 0) continue;
        any = true;
        to->samples += cost.samples;
        to->bytes += cost.bytes;
        to->shown_samples += survey_item(item, shown_from_ms, until_ms).samples;
        if (item->min_ms < to->oldest_ms) to->oldest_ms = item->min_ms;
    }
    to->series += any;
    return OK;
}

static int64_t
rules_max_ms(void *context, struct bytes tenant)
{
    const struct rules_survey *s = context;
    int64_t least_ms = series_rules_least_age_ms(s->rules, tenant);
    return least_ms == INT64_MAX ? INT64_MIN : s->now_ms - least_ms - 1;
}

/* --- the walk --------------------------------------------------------------------------------- */

static enum err
walk_tenant(struct store_view *view, const struct series_walk *walk, struct bytes tenant,
            struct query_control *control, struct why *why)
{
    struct matcher_set all = {NULL, 0};
    struct query_request request = {.tenant = tenant,
                                    .sets = &all,
                                    .set_count = 1,
                                    .min_ms = INT64_MIN / 2,
                                    .max_ms = walk->max_ms(walk->context, tenant),
                                    .partial = true,
                                    .control = control};
    struct store_query *q;
    struct bytes labels;
    if (request.max_ms == INT64_MIN) return OK;
    enum err e = query_open(view, &request, QUERY_SAMPLES, &q, why);
    if (e) return e;
    while ((e = series_set_next(&q->set, &labels, why)) == OK && labels.at != NULL) {
        e = walk->each(walk->context, q, tenant, labels, why);
        if (e) break;
    }
    series_set_free(&q->set);
    return e;
}

enum err
store_walk(struct store_view *view, const struct series_walk *walk, struct query_control *control,
           struct why *why)
{
    struct head *head = view->head;
    enum err e = OK;
    lock_take(&head->lock);
    uint32_t count = head->tenant_count;
    lock_drop(&head->lock);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        lock_take(&head->lock);
        struct bytes tenant = head->tenants[i]->name; /* tenants are never removed */
        lock_drop(&head->lock);
        e = walk_tenant(view, walk, tenant, control, why);
    }
    return e;
}

/* --- the survey ------------------------------------------------------------------------------- */

enum err
rules_survey(struct head *head, const struct series_rules *rules, struct query_control *control,
             struct tsdb_rule_survey *ret, struct why *why)
{
    struct store_view *view;
    struct rules_survey s = {.rules = rules, .list = ret};
    struct budget *budget = control == NULL ? NULL : control->budget;
    for (uint32_t i = 0; i < series_rules_count(rules); i++) {
        ret[i] = (struct tsdb_rule_survey){.oldest_ms = INT64_MAX};
    }
    enum err e = store_view_open(head, VIEW_ALL, budget, &view, why);
    if (e) return e;
    s.in_force = view->rules; /* so that queries of the view find all */
    view->rules = NULL;
    lock_take(&head->lock);
    s.now_ms = retention_rules_now_ms(head);
    lock_drop(&head->lock);
    const struct series_walk walk = {rules_max_ms, survey_series, &s};
    if (s.now_ms != INT64_MIN) e = store_walk(view, &walk, control, why);
    store_view_unref(view);
    series_rules_unref(s.in_force);
    return e;
}
