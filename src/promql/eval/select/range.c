/*
 * range.c - calls of functions of range vectors.
 *
 * A window slides over the samples of a series from step to step (range_buffer.c). As long as these
 * are floats alone, many windows are evaluated at a time, and where they begin and end is found
 * once for all series with the same times (window_floats.c).
 *
 * Invariants:
 *
 *  1. At most one of a set and a subquery is read, none if a subquery has no steps.
 *  2. Summaries are not asked for where start times matter: a summary has none.
 *  3. Windows of a cut end before the last step, and their samples are in the buffer.
 */
#include "promql/eval/select/range.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/select/window.h"

enum { ARGUMENTS_MAX = 2 };

struct range_vector {
    struct maker made; /* first */
    const struct node *call;
    struct text_span at; /* position that notes name */
    const struct window_kind *kind;
    const struct float_windows_kind *floats_kind;
    struct float_windows windows; /* the windows that are evaluated at a time */
    struct cuts cuts;             /* windows of earlier series */
    enum function_id id;
    struct vector *subquery; /* vector of an expression: its steps are the samples */
    struct range_buffer samples;
    double *scratch; /* memory for functions that sort */
    uint32_t scratch_capacity;
    struct rolled_work rolled_work;
    bool keeps_name;
    int64_t range_ms;
    int64_t offset_ms;
    int64_t before_ms; /* windows reach this far before and after the range */
    int64_t after_ms;
    int64_t hint_ms; /* samples this much earlier are read for the hints of the first ones */
    enum extent extent;
    bool fixed; /* by @: all steps have the time `at_ms` */
    int64_t at_ms;
    const double *scalars[ARGUMENTS_MAX];
    uint32_t scalar_count;
};

static int64_t
window_end(const struct range_vector *r, uint32_t step)
{
    int64_t t = r->fixed ? r->at_ms : grid_time(&r->made.vector.grid, step);
    return time_before(t, r->offset_ms);
}

/* --- windows ---------------------------------------------------------------------------------- */

/* False: the window has histograms alone, which the function ignores. */
static bool
has_samples(const struct range_vector *r, const struct sample_window *w)
{
    if (!r->kind->floats_only) return true;
    if (w->count == 0) return false;
    if (w->histogram_count > 0) {
        notes_add_quoted(&w->ev->notes, PROMQL_INFO, r->at,
                         "ignored histograms in a range containing both floats and histograms for "
                         "metric name ",
                         labels_get(w->labels, bytes_of("__name__", 8)));
    }
    return true;
}

static enum err
fill_step(struct range_vector *r, uint32_t step, struct sample_window *w)
{
    struct evaluation *ev = r->made.vector.ev;
    struct range_buffer *s = &r->samples;
    struct operand result = {0, NULL};
    double scalars[ARGUMENTS_MAX];
    assert(s->begin < s->end || s->histogram_begin < s->histogram_end); /* not empty */
    /* The arrays are NULL without samples. */
    bool floats = s->count > 0;
    w->times_ms = floats ? s->times_ms + s->begin : NULL;
    w->values = floats ? s->values + s->begin : NULL;
    w->starts_ms = floats && s->starts == STARTS_USED ? s->starts_ms + s->begin : NULL;
    w->weights = floats && s->takes_summaries ? s->weights + s->begin : NULL;
    w->rolled = s->begin < s->rolled_end ? s->rolled + s->begin : NULL;
    w->count = s->end - s->begin;
    w->histograms = s->histogram_count > 0 ? s->histograms + s->histogram_begin : NULL;
    w->histogram_count = s->histogram_end - s->histogram_begin;
    for (uint32_t k = 0; k < r->scalar_count; k++)
        scalars[k] = r->scalars[k][step];
    w->scalars = scalars;
    uint64_t weight = 0;
    for (uint32_t i = 0; i < w->histogram_count; i++)
        weight += w->histograms[i].h->weight;
    enum err e = eval_work(ev, w->count + weight);
    if (e) return e;
    eval_count(ev, &r->made.vector.grid, step, window_weight(w) + weight);
    if (!array_reserve(ev->budget, &r->scratch, &r->scratch_capacity, w->count))
        return eval_no_memory(ev);
    w->scratch = r->scratch;
    if (!has_samples(r, w)) return OK;
    bool given = (w->rolled != NULL && w->count > 0) || s->has_histogram_windows
                     ? rolled_evaluate(w, r->id, &r->rolled_work, &result)
                     : r->kind->function(w, &result);
    if (!given) return w->failed == ERR_NOMEM ? eval_no_memory(ev) : w->failed;
    /* A histogram of the window may be dropped at the next step. */
    if (result.histogram != NULL && w->result != result.histogram) {
        result.histogram = fhist_keep(&r->made.arena, result.histogram);
        if (result.histogram == NULL) return eval_no_memory(ev);
    }
    return maker_put(&r->made, step, result.value, result.histogram);
}

/* --- many windows at a time ------------------------------------------------------------------- */

static bool
takes_many(const struct range_vector *r)
{
    return r->floats_kind->least > 0 && r->extent == EXTENT_PLAIN && !r->fixed &&
           !r->samples.looks_at_starts && !r->samples.takes_summaries;
}

/* Fills a cut from its key on. */
static void
fill_cut(const struct range_vector *r, struct window_cut *cut)
{
    const struct cut_key *key = &cut->key;
    const int64_t *times_ms = r->samples.times_ms;
    uint32_t begin = key->begin, end = key->end, n = key->time_count;
    uint32_t most = r->made.vector.grid.count - key->step;
    int64_t last_ms = n > 0 ? times_ms[n - 1] : INT64_MIN;
    if (most > CUT_WINDOWS_MAX) most = CUT_WINDOWS_MAX;
    cut->samples = cut->most = 0;
    memset(cut->present, 0, sizeof cut->present);
    for (cut->count = 0; cut->count < most; cut->count++) {
        uint32_t i = cut->count;
        int64_t end_ms = window_end(r, key->step + i), begin_ms = end_ms - r->range_ms;
        if (!key->at_end && last_ms <= end_ms) break;
        while (begin < n && times_ms[begin] <= begin_ms)
            begin++;
        if (begin == n && key->at_end) break;
        if (end < begin) end = begin;
        while (end < n && times_ms[end] <= end_ms)
            end++;
        cut->begins[i] = begin;
        cut->ends[i] = end;
        cut->samples += end - begin;
        if (end - begin > cut->most) cut->most = end - begin;
        cut->stretches[i] = (struct cut_stretch){0, NAN};
        if (end - begin >= r->floats_kind->least) bits_set(cut->present, key->step % 64 + i);
        if (end - begin > 1 && r->floats_kind->stretch != NULL) {
            cut->stretches[i] =
                r->floats_kind->stretch(times_ms + begin, end - begin, end_ms, r->range_ms);
        }
    }
    assert(begin <= n); /* invariant 3; slide() moves the end to the beginning if it is before */
    assert(end <= n);
    cut->last_begin = begin;
    cut->last_end = end;
}

/* Finds the windows from `step` on as long as the buffer has all their samples; slide() has found
 * the first one. Without any, no step from here on has samples. */
static enum err
find_windows(struct range_vector *r, uint32_t step)
{
    struct range_buffer *s = &r->samples;
    bool known;
    assert(s->histogram_count == 0); /* floats alone */
    const struct cut_key key = {s->times_ms, s->count, s->begin, s->end, step, s->at_end};
    struct window_cut *cut = cuts_find(&r->cuts, &key, &known);
    if (cut == NULL) return eval_no_memory(r->made.vector.ev);
    if (!known) fill_cut(r, cut);
    r->windows = (struct float_windows){.cut = cut,
                                        .times_ms = s->times_ms,
                                        .values = s->values,
                                        .first_end_ms = window_end(r, step),
                                        .step_ms = r->made.vector.grid.step_ms,
                                        .range_ms = r->range_ms};
    s->begin = cut->last_begin;
    s->end = cut->last_end;
    assert(s->end <= s->count); /* invariant 3, also of a cut that another series found */
    return OK;
}

/* Evaluates the windows that were found, into the column. */
static enum err
put_windows(struct range_vector *r, uint32_t step)
{
    const struct window_cut *cut = r->windows.cut;
    struct evaluation *ev = r->made.vector.ev;
    uint64_t *present = r->made.column.present + step / 64;
    assert(cut->count > 0);
    assert(cut->count <= r->made.vector.grid.count - step); /* invariant 3 */
    enum err e = range_buffer_hold(&r->samples, cut->most, 0);
    if (e) return e;
    float_windows_evaluate(&r->windows, r->id, r->made.column.values + step);
    for (size_t i = 0; i < bits_words(step % 64 + cut->count); i++)
        present[i] |= cut->present[i];
    if (r->made.vector.grid.counts) {
        ev->samples += cut->samples;
        for (uint32_t i = 0; i < cut->count; i++)
            ev->step_samples[step + i] += cut->ends[i] - cut->begins[i];
    }
    return eval_work(ev, cut->samples);
}

/* Reads some batches more than the first window needs, which is the whole of most series. */
static enum err
read_ahead(struct range_vector *r)
{
    enum { AHEAD_SAMPLES = 4096 };
    struct range_buffer *s = &r->samples;
    int64_t last_ms = window_end(r, r->made.vector.grid.count - 1);
    while (!s->at_end && s->count < AHEAD_SAMPLES && s->histogram_count == 0 &&
           s->rolled_end == 0 && s->starts != STARTS_USED && !range_buffer_has_past(s, last_ms)) {
        enum err e = range_buffer_read(s);
        if (e) return e;
    }
    return OK;
}

/* Evaluates steps as long as there are floats alone; *step is the first one that is left. */
static enum err
fill_from_floats(struct range_vector *r, uint32_t *step)
{
    while (*step < r->made.vector.grid.count) {
        int64_t end_ms = window_end(r, *step);
        enum err e = read_ahead(r);
        if (e == OK) e = range_buffer_slide(&r->samples, end_ms - r->range_ms, end_ms);
        if (e || r->samples.histogram_count > 0 || r->samples.rolled_end > 0 ||
            r->samples.starts == STARTS_USED)
            return e;
        e = find_windows(r, *step);
        if (e) return e;
        if (r->windows.cut->count == 0) {
            *step = r->made.vector.grid.count;
            return OK;
        }
        e = put_windows(r, *step);
        if (e) return e;
        *step += r->windows.cut->count;
    }
    return OK;
}

/* --- columns ---------------------------------------------------------------------------------- */

static enum err
fill_column(struct range_vector *r, struct bytes labels)
{
    enum err e = OK;
    uint32_t first = 0;
    struct range_buffer *s = &r->samples;
    uint32_t steps = r->made.vector.grid.count;
    range_buffer_restart(s);
    column_clear(&r->made.column, steps);
    arena_reset(&r->made.arena);
    if (takes_many(r)) e = fill_from_floats(r, &first);
    for (uint32_t i = first; i < steps && e == OK; i++) {
        if (s->rolled_end > 0 && s->begin >= s->rolled_end) {
            range_buffer_drop_floats(s, s->begin);
            if (takes_many(r)) e = fill_from_floats(r, &i);
            if (e || i == steps) break;
        }
        struct sample_window w = {
            .id = r->id,
            .end_ms = window_end(r, i),
            .range_ms = r->range_ms,
            .extent = r->extent,
            .ev = r->made.vector.ev,
            .at = r->at,
            .labels = labels,
            .arena = &r->made.arena,
            .histogram_starts = s->looks_at_starts,
            .step_time_ms = grid_time(&r->made.vector.grid, i),
        };
        w.start_ms = w.end_ms - r->range_ms;
        e = range_buffer_slide(s, w.start_ms - r->before_ms, w.end_ms + r->after_ms);
        if (e == OK && (s->begin < s->end || s->histogram_begin < s->histogram_end))
            e = fill_step(r, i, &w);
        else if (s->at_end && s->begin == s->count && s->histogram_begin == s->histogram_count &&
                 !r->fixed)
            break;
    }
    return e;
}

/* Goes to the next series; *ret_labels has none at the end, and *ret_drops_name is that of its
 * column. */
static enum err
next_series(struct range_vector *r, struct bytes *ret_labels, bool *ret_drops_name)
{
    struct range_buffer *s = &r->samples;
    assert(s->set == NULL || r->subquery == NULL); /* invariant 1 */
    *ret_drops_name = false;
    if (s->set != NULL)
        return eval_next_series(r->made.vector.ev, s->set, r->made.vector.one_name, ret_labels);
    s->column = NULL;
    enum err e = r->subquery == NULL ? OK : vector_next(r->subquery, &s->column);
    if (e) return e;
    *ret_labels = bytes_of(NULL, 0);
    if (s->column == NULL) return OK;
    *ret_labels = s->column->labels.at == NULL ? bytes_of("", 0) : s->column->labels;
    *ret_drops_name = s->column->drops_name;
    return OK;
}

static bool
ends_with(struct bytes text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.at + text.size - size, end, size) == 0;
}

/* Notes rate() and increase() of a metric that does not look like a counter. */
static void
note_non_counter(struct range_vector *r, struct bytes labels)
{
    struct evaluation *ev = r->made.vector.ev;
    struct text_span at = r->at;
    struct bytes name = labels_get(labels, bytes_of("__name__", 8));
    if ((r->id != FUNCTION_RATE && r->id != FUNCTION_INCREASE) || name.size == 0) return;
    bool any_float = false;
    for (bits_each(i, r->made.column.present, r->made.vector.grid.count)) {
        any_float |= column_histogram(&r->made.column, i) == NULL;
        if (any_float) break;
    }
    if (!any_float) return;
    if (ev->features.type_and_unit_labels) {
        struct bytes type = labels_get(labels, bytes_of("__type__", 8));
        if (bytes_equal_text(type, "counter") || bytes_equal_text(type, "histogram")) return;
        notes_add_type(&ev->notes, at, type, name);
    } else if (!ends_with(name, "_total") && !ends_with(name, "_sum") &&
               !ends_with(name, "_count") && !ends_with(name, "_bucket")) {
        notes_add_quoted(&ev->notes, PROMQL_INFO, at,
                         "metric might not be a counter, name does not end in "
                         "_total/_sum/_count/_bucket: ",
                         name);
    }
}

static enum err
range_next(struct vector *v, struct column **ret_column)
{
    struct range_vector *r = (struct range_vector *)v;
    for (;;) {
        struct column source = {0};
        enum err e = next_series(r, &source.labels, &source.drops_name);
        struct bytes labels = source.labels;
        *ret_column = NULL;
        if (e) return e;
        if (labels.at == NULL) return OK;
        e = fill_column(r, labels);
        if (e) return e;
        if (bits_count(r->made.column.present, v->grid.count) == 0) continue;
        note_non_counter(r, labels);
        r->made.column.labels = r->made.column.source = labels;
        r->made.column.drops_name = source.drops_name;
        if (!r->keeps_name) {
            e = eval_other_metric(v->ev, &source, &r->made.labels, &r->made.column);
            if (e) return e;
        }
        *ret_column = &r->made.column;
        return OK;
    }
}

static void
range_free(struct vector *v)
{
    struct range_vector *r = (struct range_vector *)v;
    eval_free_set(v->ev, r->samples.set);
    vector_free(r->subquery);
    range_buffer_fini(&r->samples);
    rolled_work_fini(&r->rolled_work, v->ev->budget);
    array_free(v->ev->budget, r->scratch, r->scratch_capacity);
    cuts_fini(&r->cuts);
    maker_free(v);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Blocks are a day long at most: if windows are long and few, most blocks lie in one as a whole. */
static bool
is_worth_summaries(const struct range_vector *r)
{
    enum { LONG_MS = 2 * 60 * 60 * 1000, FEW = 8 };
    const struct grid *g = &r->made.vector.grid;
    return r->kind->takes_summaries && r->extent == EXTENT_PLAIN && !r->samples.looks_at_starts &&
           r->range_ms >= LONG_MS && (r->fixed || g->count <= FEW || g->step_ms >= LONG_MS);
}

static struct query_hints
hints_of(const struct range_vector *r)
{
    const struct grid *g = &r->made.vector.grid;
    return (struct query_hints){
        .shard = r->made.vector.ev->shard,
        .shard_count = r->made.vector.ev->shard_count,
        .rollups = rolled_use(r->id),
        /* With both, histograms are not summarized. */
        .summaries = is_worth_summaries(r) ? SUMMARY_COUNT | SUMMARY_EXTREMES : 0,
        .windows = {.first_ms = window_end(r, 0),
                    .last_ms = window_end(r, g->count - 1),
                    .step_ms = r->fixed ? 0 : g->step_ms,
                    .range_ms = r->range_ms},
    };
}

static enum err
request_of(const struct range_vector *r, const struct plan_node *x, const struct node *range,
           struct matcher_set *set, struct query_request *ret)
{
    struct evaluation *ev = r->made.vector.ev;
    *ret = (struct query_request){
        .tenant = ev->tenant,
        .sets = set,
        .set_count = 1,
        .min_ms = window_end(r, 0) - r->range_ms - r->before_ms - r->hint_ms + 1,
        .max_ms = window_end(r, r->made.vector.grid.count - 1) + r->after_ms,
        .kind = r->kind->times_only && r->extent == EXTENT_PLAIN ? SELECT_TIMES : SELECT_SAMPLES,
        .hints = hints_of(r),
        .control = ev->control,
        .budget = ev->budget,
    };
    return node_matchers(ev, range->range.selector, x->pushed, set);
}

static enum err
open_selector(struct range_vector *r, const struct plan_node *x, const struct node *range)
{
    struct evaluation *ev = r->made.vector.ev;
    struct matcher_set set;
    struct query_request request;
    enum err e = request_of(r, x, range, &set, &request);
    struct range_buffer *s = &r->samples;
    s->takes_summaries = request.hints.summaries != 0;
    s->hints_from_ms = window_end(r, 0) - r->range_ms;
    assert(!s->takes_summaries || !s->looks_at_starts); /* invariant 2 */
    if (e == OK) e = eval_select(ev, &request, &s->set);
    if (e == OK) r->made.vector.cost = series_set_cost(s->set);
    return e;
}

static enum err
open_subquery(struct range_vector *r, const struct plan_node *x)
{
    struct evaluation *ev = r->made.vector.ev;
    struct vector *of;
    if (x->refused.at != NULL) return plan_refuse(ev, x);
    if (x->of == NULL) return OK; /* no steps: nothing is evaluated */
    enum err e = vector_new(ev, x->of, &of);
    if (e == OK) e = vector_joined_new(ev, of, &r->subquery);
    if (e) return e;
    r->samples.grid = &r->subquery->grid;
    r->made.vector.one_name = r->subquery->one_name;
    return OK;
}

/* Refuses `anchored` and `smoothed` for functions that do not support them. */
static enum err
set_extent(struct range_vector *r, const struct node *selector)
{
    struct evaluation *ev = r->made.vector.ev;
    const char *name = r->call->call.function->name;
    r->extent = selector->selector.extent;
    if (r->extent == EXTENT_ANCHORED && !r->kind->takes_anchored) {
        return eval_fail(ev,
                         "anchored modifier can only be used with: changes, delta, increase, rate, "
                         "resets - not with %s",
                         name);
    }
    if (r->extent == EXTENT_SMOOTHED && !r->kind->takes_smoothed) {
        return eval_fail(
            ev, "smoothed modifier can only be used with: delta, increase, rate - not with %s",
            name);
    }
    r->samples.counted_only = selector->selector.counted_only;
    /* The hint of the first sample in the range depends on the one before. Samples of the whole
     * look-back are read for it only if a warning depends on the hint. */
    if (r->extent == EXTENT_PLAIN && r->kind->gives_hints)
        r->hint_ms = r->samples.counted_only ? ev->lookback_ms : 1;
    if (r->extent != EXTENT_PLAIN) r->before_ms = ev->lookback_ms;
    if (r->extent == EXTENT_SMOOTHED) r->after_ms = ev->lookback_ms;
    return OK;
}

/* Finds the range and the times of its ends. */
static enum err
range_settle(struct range_vector *r, const struct node *node)
{
    struct evaluation *ev = r->made.vector.ev;
    bool is_subquery = node->kind == NODE_SUBQUERY;
    const struct shift *shift =
        is_subquery ? &node->subquery.shift : &node->range.selector->selector.shift;
    const struct duration *range = is_subquery ? &node->subquery.range : &node->range.range;
    enum err e = duration_value(ev, range, true, &r->range_ms);
    if (e == OK) e = duration_value(ev, &shift->offset, false, &r->offset_ms);
    if (e) return e;
    r->fixed = shift->at != AT_NONE;
    r->at_ms = shift_at_ms(ev, shift);
    return is_subquery ? OK : set_extent(r, node->range.selector);
}

static enum err
open_range(struct range_vector *r, const struct plan_node *x)
{
    const struct node *range = call_range(x->node);
    enum err e = range_settle(r, range);
    if (e) return e;
    if (x->of != NULL) return open_subquery(r, x->of);
    r->made.vector.one_name = selector_names_one(range->range.selector);
    r->made.vector.by_labels = true;
    return open_selector(r, x, range);
}

enum err
range_request(struct evaluation *ev, const struct plan_node *x, struct matcher_set *set,
              struct query_request *ret)
{
    enum function_id id = (enum function_id)(x->node->call.function - functions);
    struct range_vector r = {.made.vector = {.ev = ev, .grid = x->grid},
                             .call = x->node,
                             .kind = window_kind_of(id),
                             .id = id};
    const struct node *range = call_range(x->node);
    enum err e = range_settle(&r, range);
    return e ? e : request_of(&r, x, range, set, ret);
}

enum err
vector_range_new(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    static const struct vector_ops ops = {range_next, range_free};
    const struct node *call = x->node;
    const struct plan_node *scalar = plan_scalars(x->first);
    const struct function *f = call->call.function;
    enum function_id id = (enum function_id)(f - functions);
    struct range_vector *r = maker_alloc(ev, sizeof *r, &ops, NULL, &x->grid);
    if (r == NULL) return eval_no_memory(ev);
    const struct node *first = node_inside(call->call.arguments[0]);
    r->at = first->type == VALUE_MATRIX ? first->at : argument_at(call, call->call.arguments[0]);
    if (first->kind == NODE_SUBQUERY)
        r->at = (struct text_span){0, r->at.end}; /* Prometheus does not know where it begins */
    r->made.vector.each_once = true;
    r->call = call;
    r->kind = window_kind_of(id);
    r->floats_kind = float_windows_kind_of(id);
    r->id = id;
    r->samples.ev = ev;
    r->samples.looks_at_starts = ev->features.start_timestamps && r->kind->takes_starts;
    r->samples.finds_deltas = r->kind->takes_starts;
    cuts_init(&r->cuts, ev->budget);
    r->keeps_name = x->kind == PLAN_RANGE_SAMPLE;
    enum err e =
        r->kind->function == NULL ? eval_fail(ev, "function %s is not supported", f->name) : OK;
    for (uint32_t i = 0; i < call->call.argument_count && e == OK; i++) {
        if (call->call.arguments[i]->type == VALUE_MATRIX) {
            e = open_range(r, x);
        } else {
            double *values;
            e = scalar_values(ev, scalar, &values);
            assert(r->scalar_count < ARGUMENTS_MAX); /* functions.def has no more */
            r->scalars[r->scalar_count++] = values;
            scalar = plan_scalars(scalar->next);
        }
    }
    return vector_give(&r->made.vector, e, ret_vector);
}
