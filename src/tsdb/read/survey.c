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

/* --- all series ------------------------------------------------------------------------------- */

static enum err
count_all(struct store_view *view, const struct query_request *request, struct series_survey *ret,
          struct why *why)
{
    struct store_query *q;
    struct bytes labels;
    enum err e = query_open(view, request, QUERY_SAMPLES, &q, why);
    if (e) return e;
    while ((e = series_set_next(&q->set, &labels, why)) == OK && labels.at != NULL) {
        add_items(q, &ret->cost);
    }
    series_set_free(&q->set);
    ret->exact = true;
    return e;
}

/* --- some series ------------------------------------------------------------------------------ */

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

/* Most series are in nearly all parts, so the largest source counts: labels are not compared. */
static enum err
count_some(struct store_query *q, struct series_cost *to, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
        struct series_cost c;
        e = count_some_of(q, &q->sources[i], &c, why);
        if (e) break;
        if (c.series > to->series) to->series = c.series;
        to->blocks += c.blocks;
        to->samples += c.samples;
        to->bytes += c.bytes;
    }
    return e;
}

/* --- the survey ------------------------------------------------------------------------------- */

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

static uint64_t
selected(const struct store_query *q)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < q->source_count; i++) {
        count += roaring_bitmap_get_cardinality(q->sources[i].matched);
    }
    return count;
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
    texts.partial = texts.chunks = false;
    enum err e = query_open(of, &texts, QUERY_TEXTS, &q, why);
    if (e) return e;
    survey.guess = query_guess(q);
    bool few = texts.set_count == 0 || selected(q) <= SERIES_COUNTED_MAX;
    if (!few) e = count_some(q, &survey.cost, why);
    series_set_free(&q->set);
    if (few) e = count_all(of, &texts, &survey, why);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for the query");
    if (e == OK) *ret = survey;
    return e;
}
