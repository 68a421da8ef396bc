/*
 * replica_merge.c - see replica_merge.h for the rules.
 *
 * As long as the current replica has no gap, its batches are returned as they come, up to a gap.
 * The other replicas are read only when there is a gap: their samples up to the last returned one
 * are skipped then. They need not be read to begin with the first replica, either, if that has a
 * sample within its first gap after the beginning: no other has an earlier one.
 *
 * If a rule needs two samples of a replica and its batch has one left, that is copied (struct
 * kept_sample) and the next batch read. So the result does not depend on the sizes of batches.
 *
 * Invariants:
 *
 * 1. `at` is at most the count of the batch; a replica that is drained has no more batches.
 * 2. `gap_count` is at most REPLICA_GAPS, and `gap_at` is below it.
 * 3. Between batches `current` is NULL at the beginning and after a marker, and a replica
 *    otherwise.
 * 4. Only the first batch of a replica after a change leaves out samples, or forgets a reset hint.
 */
#include "views/replica_merge.h"

#include <assert.h>

#include "base/array.h"

void
replica_merge_init(struct replica_merge *m,
                   enum err (*batch)(void *from, struct sample_batch *ret_batch, struct why *why),
                   const struct query_request *request, struct budget *budget)
{
    *m = (struct replica_merge){
        .budget = budget,
        .batch = batch,
        .min_ms = request->min_ms,
        .max_ms = request->max_ms,
        .times_only = request->kind == SELECT_TIMES,
    };
    arena_init(&m->kept, budget, 0, 0);
}

void
replica_merge_fini(struct replica_merge *m)
{
    array_free(m->budget, m->replicas, m->capacity);
    arena_fini(&m->kept);
}

void
replica_merge_clear(struct replica_merge *m)
{
    m->count = 0;
    m->now = (struct replica_course){.current = NULL};
    arena_reset(&m->kept);
}

enum err
replica_merge_add(struct replica_merge *m, void *from)
{
    if (!array_reserve(m->budget, &m->replicas, &m->capacity, m->count + 1)) return ERR_NOMEM;
    m->replicas[m->count++] = (struct replica){.from = from};
    return OK;
}

/* --- gaps ------------------------------------------------------------------------------------- */

/* Returns the distance of a later time, for any two of int64_t. */
static uint64_t
time_since(int64_t before_ms, int64_t t_ms)
{
    return (uint64_t)t_ms - (uint64_t)before_ms;
}

static bool
is_marker(const struct sample_batch *b, uint32_t i)
{
    return b->kind == SAMPLE_FLOAT ? b->value_bits[i] == STALE_NAN_BITS
                                   : b->histograms[i].sum_bits == STALE_NAN_BITS;
}

/* The first time of a sample, or of a window with its samples. */
static int64_t
begin_of(const struct sample_batch *b, uint32_t i)
{
    if (!sample_batch_has_windows(b)) return b->times_ms[i];
    struct rollup r = sample_batch_window(b, i);
    return rollup_begin_ms(&r);
}

/* The mean gap between the samples of a window; 0 if it is not a window of several. */
static uint64_t
gap_within(const struct sample_batch *b, uint32_t i)
{
    if (!sample_batch_has_windows(b)) return 0;
    struct rollup r = sample_batch_window(b, i);
    return r.count < 2 ? 0 : time_since(r.first_ms, r.last_ms) / (r.count - 1);
}

static void
add_gap(struct replica *r, uint64_t gap_ms)
{
    r->gaps_ms[r->gap_at] = gap_ms;
    r->gap_at = (r->gap_at + 1) % REPLICA_GAPS;
    if (r->gap_count == 0 || gap_ms < r->gap_ms_low) r->gap_ms_low = gap_ms;
    r->gap_count += r->gap_count < REPLICA_GAPS;
}

/* Notes the gap before a sample or a window that was returned or skipped, and the mean gap within a
 * window. */
static void
note_gap(struct replica *r, const struct sample_batch *b, uint32_t i)
{
    bool marker = is_marker(b, i);
    bool has_several = sample_batch_has_windows(b) && sample_batch_window(b, i).count > 1;
    if (r->has_before && !marker) add_gap(r, time_since(r->before_ms, begin_of(b, i)));
    if (has_several) add_gap(r, gap_within(b, i));
    r->has_before = !marker;
    r->before_ms = b->times_ms[i];
}

/* Returns the interval of a replica of which at least one gap is known. Also sets gap_ms_low, which
 * mostly suffices to recognize silence. */
static uint64_t
find_interval(struct replica *r)
{
    uint64_t sorted[REPLICA_GAPS];
    assert(r->gap_count > 0);
    assert(r->gap_count <= REPLICA_GAPS); /* invariant 2 */
    for (uint32_t i = 0; i < r->gap_count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > r->gaps_ms[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = r->gaps_ms[i];
    }
    r->gap_ms_low = sorted[0];
    return sorted[(r->gap_count - 1) / 2];
}

/* Says whether a gap is more than twice the interval. */
static bool
is_beyond_two(uint64_t gap_ms, uint64_t interval_ms)
{
    return gap_ms > 0 && (gap_ms - 1) / 2 >= interval_ms;
}

/* --- the next sample of a replica ------------------------------------------------------------- */

/* Gives windows of a batch the times and values of their last samples, or of lone markers. */
static enum err
take_windows(struct replica_merge *m, struct sample_batch *b, struct why *why)
{
    bool is_float = b->rollups != NULL;
    int64_t *times_ms = arena_alloc(&m->kept, b->count * sizeof *times_ms);
    uint64_t *bits = is_float ? arena_alloc(&m->kept, b->count * sizeof *bits) : NULL;
    struct histogram *lasts = is_float ? NULL : arena_alloc(&m->kept, b->count * sizeof *lasts);
    if (times_ms == NULL || (bits == NULL && lasts == NULL))
        return why_set(why, ERR_NOMEM, "not enough memory for the query");
    for (uint32_t i = 0; i < b->count; i++) {
        struct rollup x = sample_batch_window(b, i);
        times_ms[i] = x.count > 0 ? x.last_ms : x.stale_ms;
        if (is_float) {
            bits[i] = x.count > 0 ? x.last_bits : STALE_NAN_BITS;
            continue;
        }
        lasts[i] = b->histogram_rollups[i].last;
        if (x.count == 0) lasts[i].sum_bits = STALE_NAN_BITS;
    }
    b->times_ms = times_ms;
    b->value_bits = bits;
    b->histograms = lasts;
    return OK;
}

/* Reads a batch unless a sample is left. Afterwards there is one, or the replica is drained. */
static enum err
fill_batch(struct replica_merge *m, struct replica *r, struct why *why)
{
    assert(r->at <= r->batch.count); /* invariant 1 */
    if (r->drained || r->at < r->batch.count) return OK;
    r->at = 0;
    enum err e = m->batch(r->from, &r->batch, why);
    if (e) return e;
    r->drained = r->batch.count == 0;
    return sample_batch_has_windows(&r->batch) ? take_windows(m, &r->batch, why) : OK;
}

/* Afterwards the replica has a next sample, or is_over(). */
static enum err
fill_next(struct replica_merge *m, struct replica *r, struct why *why)
{
    return r->has_kept ? OK : fill_batch(m, r, why);
}

static bool
is_over(const struct replica *r)
{
    return r->drained && !r->has_kept;
}

/* Returns the batch of the next sample, and its index there. */
static const struct sample_batch *
next_sample(const struct replica *r, uint32_t *ret_at)
{
    *ret_at = r->has_kept ? 0 : r->at;
    return r->has_kept ? &r->kept.batch : &r->batch;
}

static int64_t
next_time(const struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = next_sample(r, &at);
    return b->times_ms[at];
}

static int64_t
next_begin(const struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = next_sample(r, &at);
    return begin_of(b, at);
}

static bool
has_marker_next(const struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = next_sample(r, &at);
    return is_marker(b, at);
}

static void
step_over(struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = next_sample(r, &at);
    note_gap(r, b, at);
    if (r->has_kept)
        r->has_kept = false;
    else
        r->at++;
}

/* Copies the next sample, the last one of its batch. */
static enum err
keep_next(struct replica_merge *m, struct replica *r, struct why *why)
{
    struct kept_sample *k = &r->kept;
    assert(!r->has_kept);
    assert(r->at + 1 == r->batch.count);
    k->batch = sample_batch_part(&r->batch, r->at, 1);
    k->t_ms = *k->batch.times_ms;
    k->batch.times_ms = &k->t_ms;
    if (k->batch.starts_ms != NULL) {
        k->start_ms = *k->batch.starts_ms;
        k->batch.starts_ms = &k->start_ms;
    }
    if (k->batch.kind == SAMPLE_FLOAT) {
        k->bits = *k->batch.value_bits;
        k->batch.value_bits = &k->bits;
        if (k->batch.rollups != NULL) {
            k->rollup = *k->batch.rollups;
            k->batch.rollups = &k->rollup;
        }
    } else {
        enum err e = histogram_copy(k->batch.histograms, &m->kept, &k->histogram);
        k->batch.histograms = &k->histogram;
        if (e == OK && k->batch.histogram_rollups != NULL) {
            e = histogram_rollup_copy(&m->kept, k->batch.histogram_rollups, &k->histogram_rollup);
            k->batch.histogram_rollups = &k->histogram_rollup;
        }
        if (e) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    }
    r->at++;
    r->has_kept = true;
    return OK;
}

/* Finds the time of the sample after the next one. *ret_any false: there is no such sample. */
static enum err
find_second(struct replica_merge *m, struct replica *r, bool *ret_any, int64_t *ret_ms,
            struct why *why)
{
    enum err e = OK;
    if (!r->has_kept && r->at + 1 == r->batch.count) e = keep_next(m, r, why);
    if (e == OK && r->has_kept) e = fill_batch(m, r, why);
    if (e) return e;
    uint32_t at = r->has_kept ? r->at : r->at + 1;
    *ret_any = at < r->batch.count;
    if (*ret_any) *ret_ms = begin_of(&r->batch, at);
    return OK;
}

/* The mean gap between the samples of a replica's next window; 0 if its next sample is not a window
 * of several. */
static uint64_t
gap_within_next(const struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = next_sample(r, &at);
    return gap_within(b, at);
}

/* Finds the gap after the next sample, or within the next window. *ret_any false: there is none. */
static enum err
find_next_gap(struct replica_merge *m, struct replica *r, bool *ret_any, uint64_t *ret_ms,
              struct why *why)
{
    int64_t second_ms;
    *ret_ms = gap_within_next(r);
    *ret_any = *ret_ms > 0;
    enum err e = *ret_any ? OK : find_second(m, r, ret_any, &second_ms, why);
    if (e == OK && *ret_any && *ret_ms == 0) *ret_ms = time_since(next_time(r), second_ms);
    return e;
}

/* Skips samples up to the last returned one. */
static enum err
pass_until_last(struct replica_merge *m, struct replica *r, struct why *why)
{
    for (;;) {
        enum err e = fill_next(m, r, why);
        if (e || is_over(r)) return e;
        if (m->now.last == NULL || next_begin(r) > m->now.last_ms) return OK;
        step_over(r);
    }
}

/* --- the choice of the current replica -------------------------------------------------------- */

/* The best replica so far. */
struct choice {
    struct replica *replica; /* NULL at first */
    int64_t t_ms;            /* time of its next sample */
};

/* Chooses the earliest; of several, the first. */
static void
choose_earliest(struct choice *choice, struct replica *r)
{
    int64_t t_ms = next_begin(r);
    if (choice->replica == NULL || t_ms < choice->t_ms) *choice = (struct choice){r, t_ms};
}

/* Finds how long a sample of the previous replica may be newer by its value than by its time. */
static enum err
find_wary(struct replica_merge *m, struct replica *before, struct replica *r, uint64_t *ret_ms,
          struct why *why)
{
    uint64_t interval_ms = before->gap_count > 0 ? find_interval(before) : 0;
    uint64_t own_ms = r->gap_count > 0 ? find_interval(r) : 0;
    if (interval_ms == 0 && own_ms == 0) {
        bool any;
        enum err e = find_next_gap(m, r, &any, &own_ms, why);
        if (e) return e;
        if (!any) own_ms = UINT64_MAX;
    }
    *ret_ms = own_ms > interval_ms ? own_ms : interval_ms;
    return OK;
}

/* Makes a replica current. */
static enum err
change_to(struct replica_merge *m, struct replica *r, struct why *why)
{
    struct replica_course *c = &m->now;
    assert(r >= m->replicas && r < m->replicas + m->count);
    c->current = r;
    c->is_chosen = true;
    if (c->last == NULL || c->last == r) return OK;
    c->is_changed = true;
    return find_wary(m, c->last, r, &c->wary_ms, why);
}

/* Says whether a replica's first sample comes after `earliest_ms` by no more than its second comes
 * after the first. */
static enum err
is_there_from(struct replica_merge *m, struct replica *r, int64_t earliest_ms, bool *ret,
              struct why *why)
{
    int64_t first_ms = next_begin(r);
    uint64_t gap_ms;
    bool any;
    *ret = first_ms == earliest_ms;
    if (*ret) return OK;
    enum err e = find_next_gap(m, r, &any, &gap_ms, why);
    if (e == OK && any) *ret = time_since(earliest_ms, first_ms) <= gap_ms;
    return e;
}

/* Chooses by the first samples of all replicas. */
static enum err
begin_with_any(struct replica_merge *m, struct why *why)
{
    struct choice earliest = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        enum err e = fill_next(m, &m->replicas[i], why);
        if (e) return e;
        if (!is_over(&m->replicas[i])) choose_earliest(&earliest, &m->replicas[i]);
    }
    m->now.is_over = earliest.replica == NULL;
    for (uint32_t i = 0; i < m->count && !m->now.is_over; i++) {
        struct replica *r = &m->replicas[i];
        bool there = false;
        enum err e = is_over(r) ? OK : is_there_from(m, r, earliest.t_ms, &there, why);
        if (e) return e;
        if (there) return change_to(m, r, why);
    }
    return OK;
}

static enum err
begin_series(struct replica_merge *m, struct why *why)
{
    struct replica *first = &m->replicas[0];
    bool there = false;
    enum err e = fill_next(m, first, why);
    if (e == OK && !is_over(first)) e = is_there_from(m, first, m->min_ms, &there, why);
    if (e) return e;
    return there ? change_to(m, first, why) : begin_with_any(m, why);
}

/* After a marker: chooses the earliest sample that is not a marker. */
static enum err
begin_again(struct replica_merge *m, struct why *why)
{
    struct choice earliest = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        struct replica *r = &m->replicas[i];
        enum err e = pass_until_last(m, r, why);
        while (e == OK && !is_over(r) && has_marker_next(r)) {
            step_over(r);
            e = fill_next(m, r, why);
        }
        if (e) return e;
        if (!is_over(r)) choose_earliest(&earliest, r);
    }
    m->now.is_ended = false;
    m->now.is_over = earliest.replica == NULL;
    return m->now.is_over ? OK : change_to(m, earliest.replica, why);
}

/* A gap of the current replica. */
struct gap {
    int64_t from_ms; /* the last returned sample; newer samples fill the gap */
    int64_t until_ms;
    bool at_end;          /* it goes on until the end of time, `until_ms` included */
    bool is_known;        /* interval_ms is known */
    uint64_t interval_ms; /* interval of the current replica */
};

static bool
is_in_gap(const struct gap *gap, int64_t t_ms)
{
    return gap->at_end || t_ms < gap->until_ms;
}

/* Says whether a replica fills the gap. */
static enum err
look_at_gap(struct replica_merge *m, struct replica *r, const struct gap *gap, bool *ret_fills,
            struct why *why)
{
    enum err e = pass_until_last(m, r, why);
    while (e == OK && !is_over(r) && next_begin(r) <= gap->from_ms) {
        step_over(r);
        e = fill_next(m, r, why);
    }
    *ret_fills = e == OK && !is_over(r) && is_in_gap(gap, next_begin(r));
    if (!*ret_fills || gap->is_known || gap->at_end) return e;
    int64_t second_ms = next_time(r);
    if (gap_within_next(r) == 0) e = find_second(m, r, ret_fills, &second_ms, why);
    *ret_fills = *ret_fills && is_in_gap(gap, second_ms);
    return e;
}

/* Chooses a replica that fills the gap. One with a sample within two intervals is preferred to one
 * with a marker. */
static enum err
choose_in_gap(struct replica_merge *m, const struct gap *gap, struct replica **ret, struct why *why)
{
    struct choice earliest = {.replica = NULL}, alive = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        struct replica *r = &m->replicas[i];
        bool fills;
        if (r == m->now.current) continue;
        enum err e = look_at_gap(m, r, gap, &fills, why);
        if (e) return e;
        if (!fills) continue;
        choose_earliest(&earliest, r);
        if (!has_marker_next(r)) choose_earliest(&alive, r);
    }
    bool soon = alive.replica != NULL && gap->is_known &&
                !is_beyond_two(time_since(m->now.last_ms, alive.t_ms), gap->interval_ms);
    *ret = soon ? alive.replica : earliest.replica;
    return OK;
}

/* Finds a replica that fills the gap before the next sample of the current one, if that is silent;
 * or NULL. */
static enum err
find_filling(struct replica_merge *m, struct replica **ret, struct why *why)
{
    struct replica *r = m->now.current;
    struct gap gap = {.from_ms = m->now.last_ms, .at_end = is_over(r)};
    gap.until_ms = gap.at_end ? m->max_ms : next_begin(r);
    *ret = NULL;
    if (gap.until_ms <= gap.from_ms) return OK;
    uint64_t silent_ms = time_since(gap.from_ms, gap.until_ms) + gap.at_end;
    if (r->gap_count > 0 && !is_beyond_two(silent_ms, r->gap_ms_low)) return OK;
    /* Finds the interval that decides whether the gap is a silence. */
    enum err e = OK;
    gap.is_known = r->gap_count > 0;
    if (gap.is_known)
        gap.interval_ms = find_interval(r);
    else if (!gap.at_end)
        e = find_next_gap(m, r, &gap.is_known, &gap.interval_ms, why);
    if (e || (gap.is_known && !is_beyond_two(silent_ms, gap.interval_ms))) return e;
    if (gap.is_known && gap.interval_ms > FILLED_INTERVAL_MS_MAX)
        gap.from_ms = (int64_t)((uint64_t)gap.from_ms + 2 * gap.interval_ms);
    return choose_in_gap(m, &gap, ret, why);
}

/* Finds a replica with a sample until the marker of the current one; or NULL. */
static enum err
find_alive(struct replica_merge *m, struct replica **ret, struct why *why)
{
    int64_t marker_ms = next_time(m->now.current);
    struct choice earliest = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        struct replica *r = &m->replicas[i];
        if (r == m->now.current) continue;
        enum err e = pass_until_last(m, r, why);
        while (e == OK && !is_over(r) && has_marker_next(r) && next_time(r) <= marker_ms) {
            step_over(r);
            e = fill_next(m, r, why);
        }
        if (e) return e;
        if (!is_over(r) && next_time(r) <= marker_ms) choose_earliest(&earliest, r);
    }
    *ret = earliest.replica;
    return OK;
}

/* --- the result ------------------------------------------------------------------------------- */

static double
count_of(const struct histogram *h)
{
    return h->kind == SAMPLE_HISTOGRAM_INT ? (double)h->count : bits_double(h->count);
}

static double
value_of(const struct sample_batch *b, uint32_t i)
{
    if (b->kind == SAMPLE_FLOAT) return bits_double(b->value_bits[i]);
    return count_of(&b->histograms[i]);
}

static bool
is_gauge(const struct sample_batch *b, uint32_t i)
{
    return b->kind != SAMPLE_FLOAT && b->histograms[i].reset_hint == RESET_GAUGE;
}

/* Says whether the next sample may be an older value of a counter than the last returned one. */
static bool
is_left_out(const struct replica_merge *m)
{
    const struct replica_course *c = &m->now;
    uint32_t i;
    const struct sample_batch *b = next_sample(c->current, &i);
    if (!c->is_changed || !c->has_value || b->kind != c->kind) return false;
    if (sample_batch_has_windows(b)) return false;
    if (b->kind == SAMPLE_FLOAT && m->times_only) return false;
    if (c->is_gauge || is_gauge(b, i)) return false;
    return time_since(c->value_ms, b->times_ms[i]) < c->wary_ms &&
           (c->may_be_new || value_of(b, i) < c->value);
}

/* Afterwards the next sample of the current replica is the next one of the series, or it is over.
 */
static enum err
find_next(struct replica_merge *m, struct why *why)
{
    struct replica_course *c = &m->now;
    enum err e = OK;
    while (e == OK && !c->is_over) {
        struct replica *other = NULL;
        if (c->current == NULL) e = c->is_ended ? begin_again(m, why) : begin_series(m, why);
        if (e == OK && !c->is_over) e = fill_next(m, c->current, why);
        if (e || c->is_over) return e;
        if (!c->is_chosen) e = find_filling(m, &other, why);
        if (e == OK && other == NULL && is_over(c->current)) {
            c->is_over = true;
            return OK;
        }
        if (e == OK && other == NULL && has_marker_next(c->current)) {
            e = find_alive(m, &other, why);
        } else if (e == OK && other == NULL && is_left_out(m)) {
            step_over(c->current);
            c->is_chosen = false;
            continue;
        }
        if (e) return e;
        if (other == NULL) return OK;
        e = change_to(m, other, why);
    }
    return e;
}

/* Says whether the last of `count` samples is less than the one before it of its replica, or the
 * first.
 */
static bool
may_be_new(const struct replica_course *c, const struct sample_batch *b, uint32_t i, uint32_t count)
{
    if (count > 1) return value_of(b, i) < value_of(b, i - 1);
    bool is_second = c->has_value && c->last == c->current && c->kind == b->kind;
    return !is_second || value_of(b, i) < c->value;
}

/* Notes `count` returned samples, of which `last` is the last. */
static void
note_given(struct replica_merge *m, const struct sample_batch *b, uint32_t last, uint32_t count)
{
    struct replica_course *c = &m->now;
    bool is_new = may_be_new(c, b, last, count);
    c->last = c->current;
    c->last_ms = b->times_ms[last];
    c->is_chosen = c->is_changed = false;
    c->is_ended = is_marker(b, last);
    if (c->is_ended) {
        c->current = NULL;
        return;
    }
    c->has_value = true;
    c->kind = b->kind;
    c->is_gauge = is_gauge(b, last);
    c->value_ms = c->last_ms;
    c->value = value_of(b, last);
    c->may_be_new = is_new;
}

/* Finds the same window of another replica, as the item of a batch. *ret is NULL if it has none. */
static enum err
find_window(struct replica_merge *m, struct replica *r, const struct sample_batch *of,
            const struct rollup *window, const struct sample_batch **ret, uint32_t *ret_at,
            struct why *why)
{
    int64_t end_ms = rollup_window_end(window->last_ms, of->resolution_ms);
    int64_t start_ms = end_ms - of->resolution_ms;
    *ret = NULL;
    enum err e = fill_next(m, r, why);
    while (e == OK && !is_over(r) && next_time(r) <= start_ms) {
        step_over(r);
        e = fill_next(m, r, why);
    }
    if (e || is_over(r) || next_time(r) > end_ms) return e;
    const struct sample_batch *b = next_sample(r, ret_at);
    bool is_same = (of->rollups == NULL ? b->histogram_rollups != NULL : b->rollups != NULL) &&
                   b->resolution_ms == of->resolution_ms;
    if (is_same && sample_batch_window(b, *ret_at).count > 0) *ret = b;
    return OK;
}

/* Copies of windows that may be those of other replicas. */
struct chosen_windows {
    struct rollup *floats;
    struct histogram_rollup *histograms;
};

/* Chooses the i-th window: that of the batch, or one of a replica with more samples in it. */
static enum err
choose_window(struct replica_merge *m, const struct replica *current, const struct sample_batch *b,
              uint32_t i, struct chosen_windows *to, struct why *why)
{
    const struct rollup own = sample_batch_window(b, i);
    bool is_stale = own.is_stale;
    uint64_t most = own.count + (own.count < 32 ? 1 : own.count / 16);
    if (to->floats != NULL)
        to->floats[i] = b->rollups[i];
    else
        to->histograms[i] = b->histogram_rollups[i];
    for (uint32_t k = 0; k < m->count && own.count > 0; k++) {
        const struct sample_batch *other = NULL;
        uint32_t at;
        if (&m->replicas[k] == current) continue;
        enum err e = find_window(m, &m->replicas[k], b, &own, &other, &at, why);
        if (e) return e;
        if (other == NULL) continue;
        const struct rollup x = sample_batch_window(other, at);
        is_stale &= x.is_stale;
        if (x.count <= most) continue;
        most = x.count;
        if (to->floats != NULL)
            to->floats[i] = x;
        else if (histogram_rollup_copy(&m->kept, &other->histogram_rollups[at], &to->histograms[i]))
            return why_set(why, ERR_NOMEM, "not enough memory for the query");
    }
    if (to->floats != NULL)
        to->floats[i].is_stale &= is_stale;
    else
        to->histograms[i].is_stale &= is_stale;
    return OK;
}

/* Replaces windows by those of replicas with more samples. */
static enum err
choose_windows(struct replica_merge *m, const struct replica *current, struct sample_batch *b,
               struct why *why)
{
    struct chosen_windows to = {NULL, NULL};
    if (b->rollups != NULL)
        to.floats = arena_alloc(&m->kept, b->count * sizeof *to.floats);
    else
        to.histograms = arena_alloc(&m->kept, b->count * sizeof *to.histograms);
    if (to.floats == NULL && to.histograms == NULL)
        return why_set(why, ERR_NOMEM, "not enough memory for the query");
    for (uint32_t i = 0; i < b->count; i++) {
        enum err e = choose_window(m, current, b, i, &to, why);
        if (e) return e;
    }
    b->rollups = to.floats;
    b->histogram_rollups = to.histograms;
    return OK;
}

enum err
replica_merge_batch(struct replica_merge *m, struct sample_batch *ret, struct why *why)
{
    *ret = (struct sample_batch){.count = 0};
    assert(m->count > 0);
    if (m->count == 1) return m->batch(m->replicas[0].from, ret, why);
    enum err e = find_next(m, why);
    if (e || m->now.is_over) return e;
    struct replica *r = m->now.current;
    assert(r != NULL); /* find_next() has chosen it */
    uint32_t from, count = 1;
    const struct sample_batch *b = next_sample(r, &from);
    assert(from < b->count); /* invariant 1 */
    bool alone = r->has_kept || is_marker(b, from);
    bool new_hint = m->now.is_changed && b->kind != SAMPLE_FLOAT && !sample_batch_has_windows(b);
    step_over(r);
    if (!alone && !new_hint) {
        /* Counts samples from the next one on, up to a marker or a silence. */
        uint32_t i = from + 1;
        for (; i < b->count && !is_marker(b, i); i++) {
            uint64_t gap_ms = time_since(b->times_ms[i - 1], begin_of(b, i));
            if (r->gap_count == 0 ||
                (is_beyond_two(gap_ms, r->gap_ms_low) && is_beyond_two(gap_ms, find_interval(r))))
                break;
            note_gap(r, b, i);
        }
        count = i - from;
        assert(count <= b->count - from); /* invariant 1 */
        r->at = from + count;
    }
    *ret = sample_batch_part(b, from, count);
    if (new_hint) {
        /* Clears the reset hint, which is about the previous histogram of the same replica. */
        m->histogram = *ret->histograms;
        if (m->histogram.reset_hint != RESET_GAUGE) m->histogram.reset_hint = RESET_UNKNOWN;
        ret->histograms = &m->histogram;
    }
    note_given(m, b, from + count - 1, count);
    if (sample_batch_has_windows(ret)) {
        e = choose_windows(m, r, ret, why);
        if (e) return e;
        /* Notes the last sample of windows that may be those of other replicas. */
        const struct rollup last = sample_batch_window(ret, ret->count - 1);
        if (last.count > 0) {
            m->now.last_ms = m->now.value_ms = last.last_ms;
            m->now.value = ret->rollups != NULL
                               ? bits_double(last.last_bits)
                               : count_of(&ret->histogram_rollups[ret->count - 1].last);
        }
    }
    assert((m->now.current == NULL) == m->now.is_ended); /* invariant 3 */
    assert(!m->now.is_changed);                          /* invariant 4 */
    return OK;
}
