/*
 * survey.c - estimates the cost of a query by the index alone: its series, their blocks, and the
 * size of these. No sample is decoded.
 *
 * If matchers select few series, all of them are visited, as they would be read. If they select
 * many, that would take as long as a query: of each part, and of the head, a sample is visited,
 * spread evenly over the selected series (in label order, so that each metric has some), and
 * scaled up.
 */
#include "tsdb/read/select_private.h"

#include <roaring/roaring.h>
#include <string.h>

/* --- what rules apply to ---------------------------------------------------------------------- */

/*
 * Surveys what rules of retention would remove and rules of downsampling replace, by the index
 * alone. Each series is visited once, as a query that reads all of it would do; what the rules in
 * force hide is included.
 */

struct rules_survey {
    const struct tsdb_limits *limits;
    int64_t now_ms;
    struct series_cost *list; /* by rule */
};

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
add_of_rule(const struct rules_survey *s, const struct store_query *q, uint32_t index,
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
        add_of_rule(s, q, series_rules_index(limits->retention_rules, rule), 0, from_ms,
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
        add_of_rule(s, q, first + series_rules_index(level->rules, rule), level->resolution_ms,
                    from_ms, end_ms);
        from_ms = end_ms + 1;
    }
}

static enum err
survey_tenant(const struct rules_survey *s, struct store_view *view, struct bytes tenant,
              struct query_control *control, struct why *why)
{
    struct matcher_set all = {NULL, 0};
    /* The least age of a sample that a rule applies to; INT64_MAX if none may. */
    int64_t age_ms = series_rules_least_age_ms(s->limits->retention_rules, tenant);
    for (uint32_t i = 0; i < s->limits->level_count; i++) {
        int64_t of_level_ms = series_rules_least_age_ms(s->limits->levels[i].rules, tenant);
        if (of_level_ms < age_ms) age_ms = of_level_ms;
    }
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
    while ((e = series_set_next(&q->set, &labels, why)) == OK && labels.at != NULL)
        survey_series(s, q, tenant, labels);
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

/* --- what a query costs ----------------------------------------------------------------------- */

enum {
    SERIES_COUNTED_MAX = 4096, /* in all parts and the head; with more, some are visited */
    SPOTS = 48,                /* places in a part: about as many pages of rows are read */
    SERIES_OF_SPOT = 8,        /* at each place: neighbours are on the same page */
};

static void
add_items(const struct store_query *q, struct series_cost *to)
{
    const struct interleave *m = &q->interleave;
    to->series += m->item_count > 0;
    for (uint32_t i = 0; i < m->item_count; i++) {
        struct series_cost c = interleave_item_cost(&m->items[i], q->min_ms, q->max_ms);
        to->blocks += c.blocks;
        to->samples += c.samples;
        to->bytes += c.bytes;
    }
}

/* Adds the cost of series `number` of the source. */
static enum err
look_at(struct store_query *q, struct query_source *s, uint32_t number, struct series_cost *to,
        struct why *why)
{
    enum err e;
    if (source_is_head(s)) {
        lock_take(&q->head->lock);
        e = query_head_from_ms(q, s, number, &q->from_ms);
        lock_drop(&q->head->lock);
        if (e) return e;
        interleave_reset(&q->interleave, q->from_ms, q->max_ms, false);
        e = query_add_head(q, s, number, why);
    } else {
        struct bytes labels;
        bool ruled = q->rules != NULL;
        s->number = number;
        e = row_read(s->rows, number, ruled ? &labels : NULL, &s->blocks, &s->block_count, why);
        if (e) return e;
        q->from_ms = ruled ? query_from_ms(q, labels) : q->min_ms;
        interleave_reset(&q->interleave, q->from_ms, q->max_ms, false);
        e = query_add_blocks(q, s);
    }
    if (e == OK) add_items(q, to);
    return e;
}

static uint64_t
scaled(uint64_t value, uint64_t all, uint64_t looked_at)
{
    return (uint64_t)((double)value * (double)all / (double)looked_at + 0.5);
}

static enum err
count_some_of(struct store_query *q, struct query_source *s, struct series_cost *ret,
              struct why *why)
{
    struct series_cost found = {.series = 0};
    uint64_t count = roaring_bitmap_get_cardinality(s->matched), looked_at = 0;
    uint64_t spots = count <= SPOTS * SERIES_OF_SPOT ? 1 : SPOTS;
    uint64_t each = spots == 1 ? count : SERIES_OF_SPOT;
    enum err e = source_is_head(s) ? OK : row_reader_new(&s->index, q->budget, &s->rows);
    *ret = found;
    for (uint64_t i = 0; i < spots && e == OK; i++) {
        uint64_t rank = i * count / spots;
        uint32_t number;
        for (uint64_t k = 0; k < each && e == OK; k++) {
            if (!roaring_bitmap_select(s->matched, (uint32_t)(rank + k), &number)) break;
            looked_at++;
            e = look_at(q, s, number, &found, why);
        }
        if (e == OK) e = query_control_check(q->control, why);
    }
    if (e || looked_at == 0) return e;
    *ret = (struct series_cost){
        scaled(found.series, count, looked_at), scaled(found.blocks, count, looked_at),
        scaled(found.samples, count, looked_at), scaled(found.bytes, count, looked_at)};
    return OK;
}

/* A control without the limits of the query, whose cost is not known. */
static struct query_control
control_of(const struct query_control *given)
{
    struct query_control control = {.env = NULL};
    if (given == NULL) return control;
    control.env = given->env;
    control.deadline_ns = given->deadline_ns;
    control.is_gone = given->is_gone;
    control.gone_context = given->gone_context;
    control.budget = given->budget;
    /* Relaxed: the flag carries nothing but itself. */
    const char *canceled = atomic_load_explicit(&given->canceled, memory_order_relaxed);
    atomic_store_explicit(&control.canceled, canceled, memory_order_relaxed);
    return control;
}

enum err
store_survey(struct view *view, const struct query_request *request, struct series_survey *ret,
             struct why *why)
{
    struct store_view *of = (struct store_view *)view;
    struct query_control control = control_of(request->control);
    struct query_request texts = *request;
    struct series_survey survey = {.exact = false};
    struct store_query *q;
    texts.control = &control;
    texts.hints = (struct query_hints){.limit = 0};
    texts.partial = false;
    texts.kind = SELECT_SAMPLES;
    enum err e = query_open(of, &texts, QUERY_TEXTS, &q, why);
    if (e) return e;
    survey.guess = series_set_cost(&q->set);
    uint64_t selected = 0;
    for (uint32_t i = 0; i < q->source_count && texts.set_count > 0; i++)
        selected += roaring_bitmap_get_cardinality(q->sources[i].matched);
    bool few = selected <= SERIES_COUNTED_MAX;
    if (!few) {
        /* Most series are in nearly all parts, so the largest source counts: labels are not
         * compared. */
        for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
            struct series_cost c;
            e = count_some_of(q, &q->sources[i], &c, why);
            if (e) break;
            if (c.series > survey.cost.series) survey.cost.series = c.series;
            survey.cost.blocks += c.blocks;
            survey.cost.samples += c.samples;
            survey.cost.bytes += c.bytes;
        }
    }
    series_set_free(&q->set);
    if (few && e == OK) { /* all series */
        struct bytes labels;
        e = query_open(of, &texts, QUERY_SAMPLES, &q, why);
        if (e) return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the query") : e;
        while ((e = series_set_next(&q->set, &labels, why)) == OK && labels.at != NULL)
            add_items(q, &survey.cost);
        series_set_free(&q->set);
        survey.exact = true;
    }
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for the query");
    if (e == OK) *ret = survey;
    return e;
}
