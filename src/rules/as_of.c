/* as_of.c - see as_of.h. Series are cut where their names say; summaries, which have no times, are
 * not asked for. */
#include "rules/as_of.h"

struct as_of_view {
    struct view view; /* first: it is handed out */
    struct view *inner;
    struct budget *budget;
    struct as_of as_of;
};

struct as_of_set {
    struct series_set set; /* first */
    const struct as_of_view *of;
    struct series_set *below;
    int64_t last_ms; /* of the current series: later samples are hidden */
};

/* The last time at which samples of a series are visible. */
static int64_t
last_visible_ms(const struct as_of *a, struct bytes labels)
{
    struct bytes name = labels_get(labels, bytes_of_text("__name__"));
    const struct recorded_name *item = recorded_names_find(a->early, name);
    int64_t last_ms = item != NULL ? a->at_ms - item->offset_ms : INT64_MAX;
    item = recorded_names_find(a->own, name);
    if (item != NULL && item->last_rule >= a->first_rule && a->sample_ms <= last_ms) {
        last_ms = a->sample_ms - 1;
    }
    return last_ms;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct as_of_set *s = (struct as_of_set *)set;
    enum err e = series_set_next(s->below, ret_labels, why);
    if (e == OK && ret_labels->at != NULL) s->last_ms = last_visible_ms(&s->of->as_of, *ret_labels);
    return e;
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    const struct as_of_set *s = (const struct as_of_set *)set;
    enum err e = series_set_batch(s->below, ret_batch, why);
    if (e || ret_batch->count == 0) return e;
    uint32_t count = ret_batch->count;
    while (count > 0 && ret_batch->times_ms[count - 1] > s->last_ms)
        count--;
    if (count < ret_batch->count) *ret_batch = sample_batch_part(ret_batch, 0, count);
    return OK;
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    return series_set_warning(((struct as_of_set *)set)->below, index);
}

static void
set_free(struct series_set *set)
{
    struct as_of_set *s = (struct as_of_set *)set;
    series_set_free(s->below);
    mem_free(s->of->budget, s, sizeof *s);
}

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    const struct as_of_view *v = (const struct as_of_view *)view;
    struct query_request below = *request;
    struct as_of_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    *s = (struct as_of_set){.set.ops = &ops, .of = v, .last_ms = INT64_MAX};
    below.hints.summaries = 0;
    below.chunks = false;
    enum err e = view_select(v->inner, &below, &s->below, why);
    if (e)
        mem_free(v->budget, s, sizeof *s);
    else
        *ret_set = &s->set;
    return e;
}

static void
view_end(struct view *view)
{
    struct as_of_view *v = (struct as_of_view *)view;
    mem_free(v->budget, v, sizeof *v);
}

enum err
as_of_view_new(struct view *inner, const struct as_of *as_of, struct budget *budget,
               struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {.select = select_series, .free = view_end};
    struct as_of_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the rule");
    *v = (struct as_of_view){{&ops}, inner, budget, *as_of};
    *ret_view = &v->view;
    return OK;
}
