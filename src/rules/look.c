/*
 * look.c - series of the store that have some labels, one after the other: what rules of this
 * server, or another one, wrote.
 */
#include "rules/evaluate_private.h"
#include "sys/env.h"

enum {
    MATCHERS_MAX = 128,       /* of a look; requests of remote read have 256 at most */
    MATCHED_BYTES_MAX = 4096, /* of a name or value; a matcher has a limit, and so has a request */
};

/* --- reading ---------------------------------------------------------------------------------- */

/* Series that have some labels, between two times. */
struct look {
    const struct label *labels; /* borrowed */
    uint32_t label_count;
    bool stored; /* as of struct past_look */
    struct budget budget;
    struct query_control control;
    struct view *view;
    struct series_set *set;
    struct matcher *matchers[MATCHERS_MAX];
    uint32_t matcher_count;
};

/* Whether the view is asked for a label, as it always is for the first one. For others that are too
 * many or too long, series are looked at as they come: what a rule wrote can be read however many
 * labels it sets. */
static bool
is_matched(const struct look *l, uint32_t i)
{
    const struct label *label = &l->labels[i];
    return i == 0 || (i < MATCHERS_MAX && label->name.size <= MATCHED_BYTES_MAX &&
                      label->value.size <= MATCHED_BYTES_MAX);
}

static enum err
make_matchers(struct look *l, struct budget *budget, struct why *why)
{
    for (uint32_t i = 0; i < l->label_count; i++) {
        const struct label *label = &l->labels[i];
        if (!is_matched(l, i)) continue;
        enum err e = matcher_new(MATCH_EQUAL, label->name, label->value, budget,
                                 &l->matchers[l->matcher_count], why);
        if (e) return e;
        l->matcher_count++;
    }
    return OK;
}

static enum err
look_begin(struct look *l, const struct evaluating *ev, int64_t min_ms, int64_t max_ms,
           struct why *why)
{
    struct matcher_set set = {l->matchers, 0};
    enum err e = make_matchers(l, ev->g->memory, why);
    if (e) return e;
    set.count = l->matcher_count;
    budget_init(&l->budget, "rule", 0, ev->host->memory);
    look_control(ev, &l->budget, &l->control);
    struct query_request request = {
        .tenant = ev->g->tenant,
        .sets = &set,
        .set_count = 1,
        .min_ms = min_ms,
        .max_ms = max_ms,
        .stored = l->stored,
        .unmerged = l->stored,
        .control = &l->control,
    };
    if (ev->view != NULL) return view_select(ev->view, &request, &l->set, why);
    e = ev->terms->open(ev->terms->open_context, &l->control, &l->view, why);
    return e ? e : view_select(l->view, &request, &l->set, why);
}

static bool
has_unmatched(const struct look *l, struct bytes series)
{
    for (uint32_t i = 0; i < l->label_count; i++) {
        const struct label *label = &l->labels[i];
        if (is_matched(l, i)) continue;
        if (!bytes_equal(labels_get(series, label->name), label->value)) return false;
    }
    return true;
}

/* The labels of the next series, a view; `at` NULL: there is none. */
static enum err
look_next(struct look *l, struct bytes *ret_series, struct why *why)
{
    enum err e;
    do {
        e = series_set_next(l->set, ret_series, why);
    } while (e == OK && ret_series->at != NULL && !has_unmatched(l, *ret_series));
    return e;
}

static void
look_end(struct look *l)
{
    series_set_free(l->set);
    view_free(l->view);
    for (uint32_t i = 0; i < l->matcher_count; i++) {
        matcher_free(l->matchers[i]);
    }
}

static struct evaluating
evaluating_of(const struct rules_past *past)
{
    return (struct evaluating){
        .g = past->group, .host = past->host, .terms = past->terms, .view = past->view};
}

enum err
past_look(const struct rules_past *past, const struct past_look *look, struct why *why)
{
    struct evaluating ev = evaluating_of(past);
    struct look l = {
        .labels = look->labels, .label_count = look->label_count, .stored = look->stored};
    struct bytes labels = {NULL, 0};
    enum err e = look_begin(&l, &ev, look->min_ms, look->max_ms, why);
    while (e == OK && (e = look_next(&l, &labels, why)) == OK && labels.at != NULL) {
        e = look->each(look->context, l.set, labels);
    }
    look_end(&l);
    return e;
}
