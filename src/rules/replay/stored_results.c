/*
 * stored_results.c - see stored_results.h; and past_look(), which reads back the samples that rules
 * wrote.
 *
 * A table of labels, and one array of samples of all series in the order of the view. A histogram
 * is kept as its hash: two different ones have the same hash once in 2^64. Usually nothing is
 * stored: then there is neither table nor array.
 *
 * Invariants:
 *  1. `ends` rises; the samples of a series are those between the end of the previous one and its
 *     own.
 *  2. Times of a series do not fall.
 */
#include "rules/replay/stored_results.h"

#include <assert.h>

#include "base/array.h"
#include "base/search.h"
#include "model/thinned.h"
#include "rules/group/evaluate.h"

enum {
    MATCHERS_MAX = 128,       /* limit per query; requests of remote read have 256 at most */
    MATCHED_BYTES_MAX = 4096, /* size of a label; matchers and requests have limits, too */
};

/* --- search for stored results ---------------------------------------------------------------- */

/* Says whether the query has a matcher for a label. For labels that are too many or too long, the
 * series are filtered here: so samples of a rule can be read regardless of the number of labels it
 * sets. */
static bool
has_matcher(const struct past_look *look, uint32_t i)
{
    struct bytes name = look->labels[i].name;
    size_t size = name.size + look->labels[i].value.size;
    return bytes_equal_text(name, "__name__") ||
           (i < MATCHERS_MAX - 1 && size <= MATCHED_BYTES_MAX);
}

static enum err
make_matchers(const struct past_look *look, struct budget *budget, struct matcher **matchers,
              uint32_t *count, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < look->label_count; i++) {
        struct label label = look->labels[i];
        if (!has_matcher(look, i)) continue;
        e = matcher_new(MATCH_EQUAL, label.name, label.value, budget, &matchers[*count], why);
        *count += e == OK;
    }
    return e;
}

static bool
has_others(const struct past_look *look, struct bytes series)
{
    for (uint32_t i = 0; i < look->label_count; i++) {
        struct label label = look->labels[i];
        if (has_matcher(look, i)) continue;
        if (!bytes_equal(labels_get(series, label.name), label.value)) return false;
    }
    return true;
}

enum err
past_look(const struct rules_past *past, const struct past_look *look, struct why *why)
{
    struct evaluating ev = {.g = past->group, .host = past->host, .terms = past->terms};
    struct matcher *matchers[MATCHERS_MAX];
    struct matcher_set matched = {matchers, 0};
    struct view *view = past->view, *own = NULL;
    struct series_set *set = NULL;
    struct budget budget;
    struct query_control control;
    struct bytes labels;
    enum err e = make_matchers(look, ev.g->memory, matchers, &matched.count, why);
    budget_init(&budget, "rule", 0, ev.host->memory);
    look_control(&ev, &budget, &control);
    struct query_request request = {
        .tenant = ev.g->tenant,
        .sets = &matched,
        .set_count = 1,
        .min_ms = look->min_ms,
        .max_ms = look->max_ms,
        .stored = look->stored,
        .unmerged = look->stored,
        .control = &control,
    };
    if (e == OK && view == NULL) {
        e = ev.terms->open(ev.terms->open_context, &control, &own, why);
        view = own;
    }
    if (e == OK) e = view_select(view, &request, &set, why);
    while (e == OK && (e = series_set_next(set, &labels, why)) == OK && labels.at != NULL) {
        if (has_others(look, labels)) e = look->each(look->context, set, labels);
    }
    if (e == OK && look->stored && thinned_to(&control) > 0) {
        struct why sentence;
        thinned_say(thinned_to(&control), &sentence);
        e = why_set(why, ERR_UNSUPPORTED,
                    "results that are stored cannot be compared, only overwritten: %s",
                    sentence.text);
    }
    query_control_warn(&control, set);
    series_set_free(set);
    view_free(own);
    for (uint32_t i = 0; i < matched.count; i++) {
        matcher_free(matchers[i]);
    }
    return e;
}

/* --- results of a recording rule -------------------------------------------------------------- */

void
stored_results_init(struct stored_results *r, struct budget *budget, uint64_t seed)
{
    *r = (struct stored_results){.ends = NULL};
    kept_series_init(&r->series, budget, seed);
}

void
stored_results_fini(struct stored_results *r)
{
    struct budget *budget = r->series.budget;
    array_free(budget, r->ends, r->end_capacity);
    array_free(budget, r->samples, r->capacity);
    kept_series_fini(&r->series);
}

struct replay_value
value_of_histogram(const struct histogram *h)
{
    if (h->sum_bits == STALE_NAN_BITS) return (struct replay_value){.bits = STALE_NAN_BITS};
    return (struct replay_value){.is_histogram = true, .bits = histogram_hash(h)};
}

static enum err
stored_results_add_series(void *context, struct series_set *set, struct bytes labels)
{
    struct stored_results *r = context;
    struct budget *budget = r->series.budget;
    struct sample_batch batch = {.count = 0};
    size_t ends = (size_t)r->series.count + 1;
    const uint32_t first = r->count;
    bool is_new;
    enum err e = array_reserve(budget, &r->ends, &r->end_capacity, ends) ? OK : ERR_NOMEM;
    if (e == OK) e = kept_series_add(&r->series, labels, &is_new);
    if (e) return why_set(r->why, ERR_NOMEM, "not enough memory for stored results");
    while ((e = series_set_batch(set, &batch, r->why)) == OK && batch.count > 0) {
        if (!array_reserve(budget, &r->samples, &r->capacity, (size_t)r->count + batch.count))
            return why_set(r->why, ERR_NOMEM, "not enough memory for stored results");
        for (uint32_t i = 0; i < batch.count; i++) {
            struct replay_value value = batch.kind == SAMPLE_FLOAT
                                            ? (struct replay_value){.bits = batch.value_bits[i]}
                                            : value_of_histogram(&batch.histograms[i]);
            bool is_first = r->count == first;
            assert(is_first ||
                   r->samples[r->count - 1].t_ms <= batch.times_ms[i]); /* invariant 2 */
            r->samples[r->count++] = (struct stored_sample){batch.times_ms[i], value};
        }
    }
    assert(is_new);
    r->ends[r->series.count - 1] = r->count; /* invariant 1 */
    return e;
}

enum err
stored_results_read(struct stored_results *r, const struct rules_past *past,
                    const struct label *labels, uint32_t label_count, int64_t min_ms,
                    int64_t max_ms, struct why *why)
{
    struct past_look look = {
        .labels = labels,
        .label_count = label_count,
        .min_ms = min_ms,
        .max_ms = max_ms,
        .stored = true,
        .each = stored_results_add_series,
        .context = r,
    };
    r->why = why;
    return past_look(past, &look, why);
}

void
stored_results_seek(struct stored_results *r, struct bytes labels)
{
    uint32_t index;
    r->from = r->to = 0;
    if (!kept_series_find(&r->series, labels, &index)) return;
    r->from = index == 0 ? 0 : r->ends[index - 1];
    r->to = r->ends[index];
    assert(r->from <= r->to && r->to <= r->count); /* invariant 1 */
}

const struct replay_value *
stored_results_at(const struct stored_results *r, int64_t t_ms)
{
    uint32_t at = search_first(i, r->from, r->to, r->samples[i].t_ms >= t_ms);
    return at < r->to && r->samples[at].t_ms == t_ms ? &r->samples[at].value : NULL;
}
