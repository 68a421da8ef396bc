/*
 * selector.c - instant vectors of the store.
 *
 * At each step a series has the value of the last sample that is not older than the look-back,
 * unless that is a staleness marker. With `smoothed` the value is interpolated between the samples
 * before and after the step. Batches are read once, in order; steps are filled as soon as the
 * sample after the time that they look back from is known.
 *
 * The last sample of a window is its only value, and only from the window's end on: steps in it
 * have the last value that was known when it began, while the window shows that the series is
 * alive.
 *
 * Invariants:
 *
 *  1. Steps before `step` are decided. Steps from it on look back from the first sample of the
 *     batch or later, once the sample before the batch has been used.
 *  2. `before` and, after a batch, the last sample are kept: they are no views of the batch.
 *  3. With `smoothed`, samples are interpolated only if both are floats or both are histograms.
 */
#include <assert.h>

#include "base/array.h"
#include "base/text/time_text.h"
#include "model/usage.h"
#include "promql/eval/select/range.h"

/* A sample that later steps may look back to. A histogram is a view of its batch until it
 * is kept. */
struct last_sample {
    int64_t t_ms;
    int64_t start_ms;
    int64_t known_ms;      /* the end of its window; t_ms if it is not of one */
    int64_t resolution_ms; /* of its window; 0 if it is not of one */
    bool is_there;         /* false for staleness markers */
    double value;
    const struct histogram *stored;
    const struct fhist *h;
};

struct selector_vector {
    struct maker made; /* first */
    const struct node *node;
    struct series_set *set;
    struct bytes labels; /* labels of the series being read */
    struct query_request request;
    int64_t offset_ms;
    enum sample_part part;
    struct last_sample before; /* sample before the last one, for its hint */
    uint64_t *mixed; /* bits: with `smoothed`, a float is on one side of the step and a histogram on
                        the other */
    uint32_t mixed_until;       /* `mixed` is decided for steps before this one */
    struct noted_levels older;  /* of notes that values are older */
    struct noted_levels hidden; /* of notes that series are not shown */
};

/* The time that step `i` looks back from. */
static int64_t
reference(const struct selector_vector *s, uint32_t i)
{
    return time_before(grid_time(&s->made.vector.grid, i), s->offset_ms);
}

static struct last_sample
sample_of(const struct sample_batch *b, uint32_t i)
{
    int64_t t_ms = b->times_ms[i];
    struct last_sample last = {.t_ms = t_ms, .known_ms = t_ms, .is_there = true};
    if (b->starts_ms != NULL) last.start_ms = b->starts_ms[i];
    if (b->kind == SAMPLE_FLOAT) {
        last.value = bits_double(b->value_bits[i]);
        last.is_there = b->value_bits[i] != STALE_NAN_BITS;
    } else {
        last.stored = &b->histograms[i];
        last.is_there = last.stored->sum_bits != STALE_NAN_BITS;
    }
    return last;
}

static bool
is_histogram(const struct last_sample *x)
{
    return x->stored != NULL || x->h != NULL;
}

static struct fhist *
made_of(struct selector_vector *s, const struct histogram *stored)
{
    void *memory = arena_alloc(&s->made.arena, fhist_bytes_of(stored));
    return memory == NULL ? NULL : fhist_of(memory, stored);
}

/* Copies a histogram to the arena, where it lives as long as the column. */
static enum err
selector_keep(struct selector_vector *s, struct last_sample *x)
{
    if (x->stored == NULL) return OK;
    struct fhist *h = made_of(s, x->stored);
    if (h == NULL) return eval_no_memory(s->made.vector.ev);
    x->stored = NULL;
    x->h = h;
    return OK;
}

/* Keeps the last sample, whose hint then depends on the sample before. */
static enum err
keep_last(struct selector_vector *s, struct last_sample *last)
{
    struct last_sample *before = &s->before;
    if (last->stored == NULL) return OK;
    struct fhist *h = made_of(s, last->stored);
    if (h == NULL) return eval_no_memory(s->made.vector.ev);
    if (h->hint == RESET_UNKNOWN && before->is_there && is_histogram(before)) {
        enum err e = selector_keep(s, before);
        if (e) return e;
        if (s->node->selector.counted_only)
            fhist_hint_reset(h, before->h);
        else
            fhist_hint(h, before->h);
    }
    last->stored = NULL;
    last->h = h;
    return OK;
}

static enum err
selector_put_histogram(struct selector_vector *s, uint32_t step, const struct fhist *h)
{
    struct vector *v = &s->made.vector;
    if (h->weight > 0)
        eval_count(v->ev, &v->grid, step, h->weight - 1); /* selector_next() counts one */
    return maker_put(&s->made, step, 0, h);
}

static enum err
selector_put(struct selector_vector *s, uint32_t step, struct last_sample *x)
{
    struct evaluation *ev = s->made.vector.ev;
    if (s->part == PART_INFO_TIME && is_histogram(x)) {
        buf_put_text(&ev->error, "this should be an info metric, with float samples: ");
        labels_print(&ev->error, s->labels);
        return ERR_INPUT;
    }
    if (s->part == PART_TIME || s->part == PART_INFO_TIME) {
        column_set(&s->made.column, step, (double)x->t_ms / 1000);
    } else if (s->part == PART_START) {
        column_set(&s->made.column, step, (double)x->start_ms / 1000);
    } else if (is_histogram(x)) {
        enum err e = keep_last(s, x);
        return e ? e : selector_put_histogram(s, step, x->h);
    } else {
        column_set(&s->made.column, step, x->value);
    }
    return OK;
}

/* Gives the last sample to the steps that look back from before `until_ms`. */
static enum err
selector_fill(struct selector_vector *s, uint32_t *step, int64_t until_ms, struct last_sample *last)
{
    uint32_t count = s->made.vector.grid.count;
    for (; *step < count; (*step)++) {
        int64_t t = reference(s, *step);
        if (t >= until_ms) break;
        if (!last->is_there || last->t_ms <= t - s->made.vector.ev->lookback_ms) continue;
        enum err e = selector_put(s, *step, last);
        if (e) return e;
    }
    return OK;
}

/* --- smoothed --------------------------------------------------------------------------------- */

/* True for functions of the value; others use the last sample. */
static bool
is_smoothed(const struct selector_vector *s)
{
    return s->node->selector.extent == EXTENT_SMOOTHED &&
           (s->part == PART_VALUE || s->part == PART_PRESENCE);
}

static enum err
put_between(struct selector_vector *s, uint32_t step, const struct last_sample *a,
            const struct last_sample *b, int64_t t_ms)
{
    struct evaluation *ev = s->made.vector.ev;
    assert(is_histogram(a) == is_histogram(b)); /* invariant 3 */
    if (!is_histogram(a)) {
        column_set(&s->made.column, step,
                   interpolated(a->t_ms, a->value, b->t_ms, b->value, t_ms, false));
        return OK;
    }
    assert(a->stored == NULL); /* invariant 2 */
    assert(b->stored == NULL); /* invariant 2 */
    if (fhist_is_custom(a->h) != fhist_is_custom(b->h)) {
        note_mixed_schemas(ev, s->node->at, s->labels);
        return OK;
    }
    struct fhist before = *a->h, after = *b->h, *h;
    struct histogram_point x = {.t_ms = a->t_ms, .h = &before};
    struct histogram_point y = {.t_ms = b->t_ms, .h = &after};
    bool is_counter = before.hint != RESET_GAUGE || after.hint != RESET_GAUGE;
    if (interpolated_histogram(ev, &s->made.arena, &x, &y, t_ms, is_counter, s->node->at, s->labels,
                               &h))
        return eval_no_memory(ev);
    return h == NULL ? OK : selector_put_histogram(s, step, h);
}

/* Marks the steps that see both `a` and `b`, of different kinds, as mixed. */
static void
mark_mixed(struct selector_vector *s, const struct last_sample *a, const struct last_sample *b)
{
    int64_t lookback_ms = s->made.vector.ev->lookback_ms;
    for (; s->mixed_until < s->made.vector.grid.count; s->mixed_until++) {
        int64_t t = reference(s, s->mixed_until);
        if (a->t_ms <= t - lookback_ms) break;
        if (b->t_ms <= t + lookback_ms) bits_set(s->mixed, s->mixed_until);
    }
}

/* Fills the steps from the time of sample `a` to before that of `b`. */
static enum err
smooth(struct selector_vector *s, uint32_t *step, const struct last_sample *a,
       const struct last_sample *b)
{
    struct evaluation *ev = s->made.vector.ev;
    for (; *step < s->made.vector.grid.count; (*step)++) {
        int64_t t = reference(s, *step);
        enum err e = OK;
        if (b->is_there && t >= b->t_ms) break;
        bool before = a->is_there && a->t_ms > t - ev->lookback_ms;
        bool after = b->is_there && b->t_ms <= t + ev->lookback_ms;
        if (!before) continue;
        if (after && is_histogram(a) != is_histogram(b)) continue; /* mixed */
        if (a->t_ms == t || !after) {
            struct last_sample copy = *a;
            if (is_histogram(a) && a->t_ms != t) {
                struct fhist *carried = fhist_keep(&s->made.arena, a->h);
                if (carried == NULL) return eval_no_memory(ev);
                carried->hint = RESET_UNKNOWN; /* a hint is about consecutive samples */
                copy.h = carried;
            }
            e = selector_put(s, *step, &copy);
        } else {
            e = put_between(s, *step, a, b, t);
        }
        if (e) return e;
    }
    return OK;
}

/* --- downsampled samples ---------------------------------------------------------------------- */

static void
note_older(struct selector_vector *s, int64_t resolution_ms)
{
    char text[TIME_TEXT_BYTES];
    if (!noted_levels_add(&s->older, resolution_ms)) return;
    time_print_duration(resolution_ms, text);
    notes_add(&s->made.vector.ev->notes, PROMQL_INFO, s->node->at,
              "samples are downsampled to %s; values are up to %s older", text, text);
}

static void
note_hidden(struct selector_vector *s, int64_t resolution_ms)
{
    char text[TIME_TEXT_BYTES];
    if (!noted_levels_add(&s->hidden, resolution_ms)) return;
    notes_add(&s->made.vector.ev->notes, PROMQL_INFO, s->node->at,
              "samples are downsampled to %s; series that begin in a window are shown from its "
              "end on",
              time_print_duration(resolution_ms, text));
}

/* The first sample of a window that has samples; of a histogram a view of the batch. */
static struct last_sample
first_of_window(const struct sample_batch *b, uint32_t i)
{
    struct last_sample first = {.t_ms = sample_batch_window(b, i).first_ms, .is_there = true};
    if (b->rollups != NULL)
        first.value = bits_double(b->rollups[i].first_bits);
    else
        first.stored = &b->histogram_rollups[i].first;
    return first;
}

/* The last sample of a window, or only the time of its marker. */
static struct last_sample
end_of_window(const struct sample_batch *b, uint32_t i)
{
    const struct rollup r = sample_batch_window(b, i);
    struct last_sample last = {
        .t_ms = rollup_end_ms(&r),
        .known_ms = rollup_window_end(rollup_end_ms(&r), b->resolution_ms),
        .resolution_ms = b->resolution_ms,
        .is_there = !r.is_stale,
    };
    if (b->rollups != NULL)
        last.value = bits_double(r.last_bits);
    else if (r.count > 0)
        last.stored = &b->histogram_rollups[i].last;
    return last;
}

/* Interpolates between the first and the last sample of a window. */
static enum err
smooth_in_window(struct selector_vector *s, const struct sample_batch *b, uint32_t i,
                 uint32_t *step, struct last_sample *last)
{
    const struct rollup r = sample_batch_window(b, i);
    if (r.count == 0) return OK; /* markers do not end a line */
    struct last_sample first = first_of_window(b, i), second = end_of_window(b, i);
    second.t_ms = r.last_ms;
    second.is_there = true;
    enum err e = selector_keep(s, &first);
    if (e == OK) e = selector_keep(s, &second);
    if (e) return e;
    if (last->is_there && is_histogram(last) != is_histogram(&first)) mark_mixed(s, last, &first);
    e = smooth(s, step, last, &first);
    s->before = *last;
    *last = first;
    if (r.count == 1) return e;
    for (; *step < s->made.vector.grid.count && e == OK; (*step)++) {
        int64_t t = reference(s, *step);
        if (t >= second.t_ms) break;
        if (t > first.t_ms) note_older(s, b->resolution_ms);
        e = put_between(s, *step, last, &second, t);
    }
    s->before = (struct last_sample){.is_there = false};
    *last = second;
    return e;
}

/* Fills the steps before the end of a window, which has samples, with the value before it. */
static enum err
fill_in_window(struct selector_vector *s, const struct rollup *r, const struct last_sample *now,
               uint32_t *step, struct last_sample *last)
{
    int64_t lookback_ms = s->made.vector.ev->lookback_ms, reach_ms = lookback_ms;
    if (reach_ms < last->resolution_ms) reach_ms = last->resolution_ms;
    if (reach_ms < now->resolution_ms) reach_ms = now->resolution_ms;
    enum err e = OK;
    for (; *step < s->made.vector.grid.count && e == OK; (*step)++) {
        int64_t t = reference(s, *step);
        if (t >= now->known_ms) break;
        /* The samples of a window, which has some, must show that the series is alive. */
        if (t < r->first_ms || r->last_ms <= t - lookback_ms) continue;
        if (r->is_stale && t >= r->stale_ms) continue;
        if (!last->is_there || last->known_ms <= t - reach_ms) {
            note_hidden(s, now->resolution_ms);
            continue;
        }
        note_older(s, now->resolution_ms);
        e = selector_put(s, *step, last);
    }
    return e;
}

/* Fills the steps before the samples of a window, or before its marker. A marker before its first
 * sample is forgotten, so in the window the series may have been away. */
static enum err
fill_until_begin(struct selector_vector *s, const struct rollup *r, int64_t resolution_ms,
                 uint32_t *step, struct last_sample *last)
{
    int64_t begin_ms = rollup_begin_ms(r);
    int64_t start_ms = time_before(rollup_window_end(begin_ms, resolution_ms), resolution_ms);
    enum err e = selector_fill(s, step, start_ms + 1, last);
    uint32_t first = *step;
    if (e == OK) e = selector_fill(s, step, begin_ms, last);
    if (r->count > 0 && bits_next(s->made.column.present, first, *step) < *step)
        note_older(s, resolution_ms);
    return e;
}

/* Fills the steps before the end of a window. The sample before its last one is not known. */
static enum err
fill_until_end(struct selector_vector *s, const struct sample_batch *b, uint32_t i, uint32_t *step,
               struct last_sample *last)
{
    const struct rollup r = sample_batch_window(b, i);
    struct last_sample now = end_of_window(b, i);
    enum err e = fill_until_begin(s, &r, b->resolution_ms, step, last);
    if (e == OK && r.count > 0) e = fill_in_window(s, &r, &now, step, last);
    s->before = (struct last_sample){.is_there = false};
    *last = now;
    return e;
}

static enum err
fill_from_rollups(struct selector_vector *s, const struct sample_batch *b, uint32_t *step,
                  struct last_sample *last)
{
    const struct rollup end = sample_batch_window(b, b->count - 1);
    /* A window ends in the range that was asked for, and not only before it. */
    bool is_in = rollup_window_end(rollup_end_ms(&end), b->resolution_ms) >= s->request.min_ms;
    enum err e = is_in ? rolled_check(s->made.vector.ev, s->set, b) : OK;
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        e = is_smoothed(s) ? smooth_in_window(s, b, i, step, last)
                           : fill_until_end(s, b, i, step, last);
    }
    if (e == OK) e = keep_last(s, last);
    assert(e || last->stored == NULL); /* invariant 2 */
    return e;
}

/* --- columns ---------------------------------------------------------------------------------- */

/* The index of the first time after `t_ms`, from `i` on; it is mostly near. */
static uint32_t
first_after(const int64_t *times_ms, uint32_t i, uint32_t count, int64_t t_ms)
{
    uint32_t jump = 1;
    while (jump <= count - i && times_ms[i + jump - 1] <= t_ms) {
        i += jump;
        jump *= 2;
    }
    uint32_t end = jump <= count - i ? i + jump - 1 : count;
    return search_first(k, i, end, times_ms[k] > t_ms);
}

/* Fills the steps before the last sample of the batch. */
static enum err
selector_fill_from_floats(struct selector_vector *s, const struct sample_batch *b, uint32_t *step,
                          struct last_sample *last)
{
    uint32_t steps = s->made.vector.grid.count, n = b->count, next = 0;
    int64_t lookback_ms = s->made.vector.ev->lookback_ms;
    enum err e = selector_fill(s, step, b->times_ms[0], last);
    assert(e || *step == steps || reference(s, *step) >= b->times_ms[0]); /* invariant 1 */
    for (; e == OK && *step < steps; (*step)++) {
        int64_t t = reference(s, *step);
        if (t >= b->times_ms[n - 1]) break;
        next = first_after(b->times_ms, next, n, t);
        uint32_t i = next - 1;
        bool is_there = b->value_bits[i] != STALE_NAN_BITS && b->times_ms[i] > t - lookback_ms;
        if (!is_there) continue;
        if (s->part == PART_VALUE || s->part == PART_PRESENCE) {
            column_set(&s->made.column, *step, bits_double(b->value_bits[i]));
        } else {
            struct last_sample x = sample_of(b, i);
            e = selector_put(s, *step, &x);
        }
    }
    s->before = n > 1 ? sample_of(b, n - 2) : *last;
    *last = sample_of(b, n - 1);
    return e;
}

static enum err
fill_batch(struct selector_vector *s, const struct sample_batch *b, uint32_t *step,
           struct last_sample *last)
{
    bool smoothed = is_smoothed(s);
    enum err e = OK;
    assert(b->count > 0);
    if (sample_batch_has_windows(b)) return fill_from_rollups(s, b, step, last);
    if (b->kind == SAMPLE_FLOAT && !smoothed) return selector_fill_from_floats(s, b, step, last);
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        struct last_sample now = sample_of(b, i);
        if (smoothed) {
            if (!now.is_there) continue;
            e = selector_keep(s, &now);
            if (last->is_there && is_histogram(last) != is_histogram(&now))
                mark_mixed(s, last, &now);
            if (e == OK) e = smooth(s, step, last, &now);
        } else {
            e = selector_fill(s, step, now.t_ms, last);
        }
        s->before = *last;
        *last = now;
    }
    if (e == OK) e = selector_keep(s, &s->before);
    if (e == OK) e = keep_last(s, last);
    assert(e || s->before.stored == NULL); /* invariant 2 */
    assert(e || last->stored == NULL);     /* invariant 2 */
    return e;
}

static enum err
selector_fill_column(struct selector_vector *s)
{
    struct evaluation *ev = s->made.vector.ev;
    struct last_sample last = {.is_there = false}, none = {.is_there = false};
    uint32_t step = 0;
    column_clear(&s->made.column, s->made.vector.grid.count);
    arena_reset(&s->made.arena);
    s->before = last;
    for (;;) {
        struct sample_batch b;
        enum err e = series_set_batch(s->set, &b, &ev->why);
        if (e) return e;
        if (b.count == 0) break;
        e = fill_batch(s, &b, &step, &last);
        if (e) return e;
    }
    if (!is_smoothed(s)) return selector_fill(s, &step, INT64_MAX, &last);
    enum err e = smooth(s, &step, &last, &none);
    if (e == OK) {
        size_t words = bits_words(s->made.vector.grid.count);
        bool any = false;
        for (size_t w = 0; w < words; w++) {
            s->made.column.present[w] &= ~s->mixed[w];
            any |= s->mixed[w] != 0;
            s->mixed[w] = 0;
        }
        s->mixed_until = 0;
        if (any) note_mixed_samples(s->made.vector.ev, s->node->at, s->labels);
    }
    return e;
}

static enum err
selector_next(struct vector *v, struct column **ret_column)
{
    struct selector_vector *s = (struct selector_vector *)v;
    *ret_column = NULL;
    for (;;) {
        enum err e = eval_next_series(v->ev, s->set, v->one_name, &s->labels);
        if (e || s->labels.at == NULL) return e;
        e = selector_fill_column(s);
        if (e) return e;
        if (bits_count(s->made.column.present, v->grid.count) == 0) continue;
        for (bits_each(i, s->made.column.present, v->grid.count))
            eval_count(v->ev, &v->grid, i, 1);
        s->made.column.labels = s->made.column.source = s->labels;
        *ret_column = &s->made.column;
        return OK;
    }
}

static void
selector_free(struct vector *v)
{
    struct selector_vector *s = (struct selector_vector *)v;
    eval_free_set(v->ev, s->set);
    maker_free(v);
}

bool
selector_names_one(const struct node *n)
{
    for (uint32_t i = 0; i < n->selector.matcher_count; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        if (m->type == MATCH_EQUAL && bytes_equal_text(m->name, "__name__")) return true;
    }
    return false;
}

enum err
eval_select(struct evaluation *ev, const struct query_request *request, struct series_set **ret_set)
{
    struct query_request r = *request;
    r.partial = ev->control != NULL && ev->control->partial;
    r.shows_warnings = ev->control != NULL && ev->control->shows_warnings;
    usage_note(&r);
    enum err e = view_select(ev->view, &r, ret_set, &ev->why);
    if (e == OK) query_control_warn(ev->control, *ret_set); /* it may be freed after the result */
    return e;
}

void
eval_free_set(const struct evaluation *ev, struct series_set *set)
{
    if (ev->at != NULL && set != NULL) measure_account(ev->at, set);
    query_control_warn(ev->control, set);
    series_set_free(set);
}

enum err
eval_next_series(struct evaluation *ev, struct series_set *set, bool has_name,
                 struct bytes *ret_labels)
{
    enum err e = series_set_next(set, ret_labels, &ev->why);
    if (e == OK && !has_name && ret_labels->at != NULL)
        usage_note_series(ev->control, ev->tenant, *ret_labels);
    return e;
}

enum err
selector_request(struct evaluation *ev, const struct plan_node *x, struct matcher_set *set,
                 struct query_request *ret, int64_t *ret_offset_ms)
{
    const struct node *node = x->node;
    const struct grid *grid = &x->grid;
    int64_t after_ms = node->selector.extent == EXTENT_SMOOTHED ? ev->lookback_ms : 0, offset_ms;
    enum err e = duration_value(ev, &node->selector.shift.offset, false, &offset_ms);
    if (e == OK) e = node_matchers(ev, node, x->pushed, set);
    if (e) return e;
    *ret_offset_ms = offset_ms;
    *ret = (struct query_request){
        .tenant = ev->tenant,
        .sets = set,
        .set_count = 1,
        /* The sample just too old may decide the hint of a histogram. */
        .min_ms = time_before(grid->first_ms, offset_ms) - ev->lookback_ms,
        .max_ms = time_before(grid_time(grid, grid->count - 1), offset_ms) + after_ms,
        .hints = {.shard = ev->shard,
                  .shard_count = ev->shard_count,
                  .rollups = node->selector.extent == EXTENT_SMOOTHED ? ROLLUP_ENDS : ROLLUP_LAST},
        .control = ev->control,
        .budget = ev->budget,
    };
    return OK;
}

enum err
vector_selector_new(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    static const struct vector_ops ops = {selector_next, selector_free};
    const struct node *node = x->node;
    struct selector_vector *s = maker_alloc(ev, sizeof *s, &ops, NULL, &x->grid);
    if (s == NULL) return eval_no_memory(ev);
    s->made.vector.one_name = selector_names_one(node);
    s->made.vector.each_once = s->made.vector.by_labels = true;
    s->node = node;
    s->part = x->part;
    struct matcher_set set;
    enum err e = selector_request(ev, x, &set, &s->request, &s->offset_ms);
    if (e == OK && is_smoothed(s)) {
        s->mixed = arena_new(&ev->arena, bits_words(x->grid.count) * sizeof *s->mixed);
        if (s->mixed == NULL) e = eval_no_memory(ev);
    }
    if (node->selector.extent == EXTENT_PLAIN && (x->part == PART_PRESENCE || x->part == PART_TIME))
        s->request.kind = SELECT_TIMES;
    if (e == OK) {
        e = eval_select(ev, &s->request, &s->set);
        if (e == OK) s->made.vector.cost = series_set_cost(s->set);
    }
    return vector_give(&s->made.vector, e, ret_vector);
}
