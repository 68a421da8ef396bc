/*
 * replica_merge.c - see replica_merge.h for the rules.
 *
 * As long as the current replica has no gap, its batches are given as they come, or as much of them
 * as comes before a gap. The others are not asked for samples until there is one: what they have
 * until the sample given last is passed then, at once. They need not be looked at to begin with the
 * first replica, either, if that has a sample within its first gap after the time begins: no other
 * has one before.
 *
 * Where a rule needs two samples of a replica and its batch has one left, that is copied (struct
 * kept_sample) and the next batch asked for. So it does not matter how samples come in batches.
 */
#include "views/replica_merge.h"

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
        .times_only = request->hints.times_only,
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

/* Of a time after another, any two of int64_t. */
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

/* It is past a sample. */
static void
note_gap(struct replica *r, int64_t t_ms, bool marker)
{
    if (r->has_before && !marker) {
        uint64_t gap_ms = time_since(r->before_ms, t_ms);
        r->gaps_ms[r->gap_at] = gap_ms;
        r->gap_at = (r->gap_at + 1) % REPLICA_GAPS;
        if (r->gap_count == 0 || gap_ms < r->gap_ms_low) r->gap_ms_low = gap_ms;
        r->gap_count += r->gap_count < REPLICA_GAPS;
    }
    r->has_before = !marker;
    r->before_ms = t_ms;
}

/* Its interval, of which at least one gap is known; all that is needed to tell a silence mostly is
 * that no gap was less than so much. */
static uint64_t
find_interval(struct replica *r)
{
    uint64_t sorted[REPLICA_GAPS];
    for (uint32_t i = 0; i < r->gap_count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > r->gaps_ms[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = r->gaps_ms[i];
    }
    r->gap_ms_low = sorted[0];
    return sorted[(r->gap_count - 1) / 2];
}

/* Is it more than twice as much? */
static bool
is_beyond_two(uint64_t gap_ms, uint64_t interval_ms)
{
    return gap_ms > 0 && (gap_ms - 1) / 2 >= interval_ms;
}

static bool
is_silence(struct replica *r, uint64_t gap_ms)
{
    return is_beyond_two(gap_ms, r->gap_ms_low) && is_beyond_two(gap_ms, find_interval(r));
}

/* --- samples at hand -------------------------------------------------------------------------- */

/* Its batch has a sample that is to come, or it is drained. */
static enum err
fill_batch(struct replica_merge *m, struct replica *r, struct why *why)
{
    if (r->drained || r->at < r->batch.count) return OK;
    r->at = 0;
    enum err e = m->batch(r->from, &r->batch, why);
    if (e == OK) r->drained = r->batch.count == 0;
    return e;
}

/* It has a sample at hand, or is_over(). */
static enum err
fill(struct replica_merge *m, struct replica *r, struct why *why)
{
    return r->has_kept ? OK : fill_batch(m, r, why);
}

static bool
is_over(const struct replica *r)
{
    return r->drained && !r->has_kept;
}

/* The batch of the sample at hand, which is that at *ret_at. */
static const struct sample_batch *
at_hand(const struct replica *r, uint32_t *ret_at)
{
    *ret_at = r->has_kept ? 0 : r->at;
    return r->has_kept ? &r->kept.batch : &r->batch;
}

static int64_t
time_at_hand(const struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = at_hand(r, &at);
    return b->times_ms[at];
}

static bool
has_marker_at_hand(const struct replica *r)
{
    uint32_t at;
    const struct sample_batch *b = at_hand(r, &at);
    return is_marker(b, at);
}

static void
step(struct replica *r)
{
    note_gap(r, time_at_hand(r), has_marker_at_hand(r));
    if (r->has_kept)
        r->has_kept = false;
    else
        r->at++;
}

/* The sample at hand, the last one of its batch. */
static enum err
keep(struct replica_merge *m, struct replica *r, struct why *why)
{
    struct kept_sample *k = &r->kept;
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
    } else {
        if (histogram_copy(k->batch.histograms, &m->kept, &k->histogram)) {
            return why_set(why, ERR_NOMEM, "not enough memory for the query");
        }
        k->batch.histograms = &k->histogram;
    }
    r->at++;
    r->has_kept = true;
    return OK;
}

/* The time of the sample after that at hand. *ret_any false: there is none. */
static enum err
find_second(struct replica_merge *m, struct replica *r, bool *ret_any, int64_t *ret_ms,
            struct why *why)
{
    enum err e = OK;
    if (!r->has_kept && r->at + 1 == r->batch.count) e = keep(m, r, why);
    if (e == OK && r->has_kept) e = fill_batch(m, r, why);
    if (e) return e;
    uint32_t at = r->has_kept ? r->at : r->at + 1;
    *ret_any = at < r->batch.count;
    if (*ret_any) *ret_ms = r->batch.times_ms[at];
    return OK;
}

/* To the first sample after what was given last. */
static enum err
pass_until_last(struct replica_merge *m, struct replica *r, struct why *why)
{
    for (;;) {
        enum err e = fill(m, r, why);
        if (e || is_over(r)) return e;
        if (m->now.last == NULL || time_at_hand(r) > m->now.last_ms) return OK;
        step(r);
    }
}

/* --- which one is current --------------------------------------------------------------------- */

/* Of those that were looked at, the one to choose. */
struct choice {
    struct replica *replica; /* NULL: none */
    int64_t t_ms;            /* of its sample at hand */
};

/* The earliest; of several, the first. */
static void
choose_earliest(struct choice *choice, struct replica *r)
{
    int64_t t_ms = time_at_hand(r);
    if (choice->replica == NULL || t_ms < choice->t_ms) *choice = (struct choice){r, t_ms};
}

/* How long a sample of the one before may be newer by its value than by its time. */
static enum err
find_wary(struct replica_merge *m, struct replica *before, struct replica *r, uint64_t *ret_ms,
          struct why *why)
{
    uint64_t interval_ms = before->gap_count > 0 ? find_interval(before) : 0;
    uint64_t own_ms = r->gap_count > 0 ? find_interval(r) : 0;
    if (interval_ms == 0 && own_ms == 0) {
        int64_t second_ms;
        bool any;
        enum err e = find_second(m, r, &any, &second_ms, why);
        if (e) return e;
        own_ms = any ? time_since(time_at_hand(r), second_ms) : UINT64_MAX;
    }
    *ret_ms = own_ms > interval_ms ? own_ms : interval_ms;
    return OK;
}

/* The current one from now on. */
static enum err
change_to(struct replica_merge *m, struct replica *r, struct why *why)
{
    struct replica_course *c = &m->now;
    c->current = r;
    c->is_chosen = true;
    if (c->last == NULL || c->last == r) return OK;
    c->is_changed = true;
    return find_wary(m, c->last, r, &c->wary_ms, why);
}

/* Is its first sample no later after `earliest_ms` than its second one after that? */
static enum err
is_there_from(struct replica_merge *m, struct replica *r, int64_t earliest_ms, bool *ret,
              struct why *why)
{
    int64_t first_ms = time_at_hand(r), second_ms = first_ms;
    bool any;
    *ret = first_ms == earliest_ms;
    if (*ret) return OK;
    enum err e = find_second(m, r, &any, &second_ms, why);
    if (e == OK && any) {
        *ret = time_since(earliest_ms, first_ms) <= time_since(first_ms, second_ms);
    }
    return e;
}

/* By the first samples of all. */
static enum err
begin_with_any(struct replica_merge *m, struct why *why)
{
    struct choice earliest = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        enum err e = fill(m, &m->replicas[i], why);
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
begin(struct replica_merge *m, struct why *why)
{
    struct replica *first = &m->replicas[0];
    bool there = false;
    enum err e = fill(m, first, why);
    if (e == OK && !is_over(first)) e = is_there_from(m, first, m->min_ms, &there, why);
    if (e) return e;
    return there ? change_to(m, first, why) : begin_with_any(m, why);
}

/* After a marker: with the earliest sample that is none. */
static enum err
begin_again(struct replica_merge *m, struct why *why)
{
    struct choice earliest = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        struct replica *r = &m->replicas[i];
        enum err e = pass_until_last(m, r, why);
        while (e == OK && !is_over(r) && has_marker_at_hand(r)) {
            step(r);
            e = fill(m, r, why);
        }
        if (e) return e;
        if (!is_over(r)) choose_earliest(&earliest, r);
    }
    m->now.is_ended = false;
    m->now.is_over = earliest.replica == NULL;
    return m->now.is_over ? OK : change_to(m, earliest.replica, why);
}

/* What the current one has not. */
struct gap {
    int64_t from_ms; /* the sample given last; what is newer fills it */
    int64_t until_ms;
    bool at_end;          /* it goes on until the end, of which `until_ms` is a part */
    bool is_known;        /* the interval is: */
    uint64_t interval_ms; /* of the current one */
};

static bool
is_in_gap(const struct gap *gap, int64_t t_ms)
{
    return gap->at_end || t_ms < gap->until_ms;
}

/* Does it fill the gap? */
static enum err
look_at_gap(struct replica_merge *m, struct replica *r, const struct gap *gap, bool *ret_fills,
            struct why *why)
{
    enum err e = pass_until_last(m, r, why);
    while (e == OK && !is_over(r) && time_at_hand(r) <= gap->from_ms) {
        step(r);
        e = fill(m, r, why);
    }
    *ret_fills = e == OK && !is_over(r) && is_in_gap(gap, time_at_hand(r));
    if (!*ret_fills || gap->is_known || gap->at_end) return e;
    int64_t second_ms;
    e = find_second(m, r, ret_fills, &second_ms, why);
    *ret_fills = *ret_fills && is_in_gap(gap, second_ms);
    return e;
}

/* A marker says that the series is gone: not if another has a sample as soon as it should. */
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
        if (!has_marker_at_hand(r)) choose_earliest(&alive, r);
    }
    bool soon = alive.replica != NULL && gap->is_known &&
                !is_beyond_two(time_since(m->now.last_ms, alive.t_ms), gap->interval_ms);
    *ret = soon ? alive.replica : earliest.replica;
    return OK;
}

/* The interval by which the gap is judged. */
static enum err
set_interval(struct replica_merge *m, struct replica *r, struct gap *gap, struct why *why)
{
    int64_t second_ms;
    gap->is_known = r->gap_count > 0;
    if (gap->is_known) gap->interval_ms = find_interval(r);
    if (gap->is_known || gap->at_end) return OK;
    enum err e = find_second(m, r, &gap->is_known, &second_ms, why);
    if (e == OK && gap->is_known) gap->interval_ms = time_since(gap->until_ms, second_ms);
    return e;
}

/* Who fills the gap before the next sample of the current one, if that is silent? NULL: none. */
static enum err
find_filling(struct replica_merge *m, struct replica **ret, struct why *why)
{
    struct replica *r = m->now.current;
    struct gap gap = {.from_ms = m->now.last_ms, .at_end = is_over(r)};
    gap.until_ms = gap.at_end ? m->max_ms : time_at_hand(r);
    *ret = NULL;
    if (gap.until_ms <= gap.from_ms) return OK;
    uint64_t silent_ms = time_since(gap.from_ms, gap.until_ms) + gap.at_end;
    if (r->gap_count > 0 && !is_beyond_two(silent_ms, r->gap_ms_low)) return OK;
    enum err e = set_interval(m, r, &gap, why);
    if (e || (gap.is_known && !is_beyond_two(silent_ms, gap.interval_ms))) return e;
    if (gap.is_known && gap.interval_ms > FILLED_INTERVAL_MS_MAX) {
        gap.from_ms = (int64_t)((uint64_t)gap.from_ms + 2 * gap.interval_ms);
    }
    return choose_in_gap(m, &gap, ret, why);
}

/* Who has a sample until the marker of the current one? NULL: none. */
static enum err
find_alive(struct replica_merge *m, struct replica **ret, struct why *why)
{
    int64_t marker_ms = time_at_hand(m->now.current);
    struct choice earliest = {.replica = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        struct replica *r = &m->replicas[i];
        if (r == m->now.current) continue;
        enum err e = pass_until_last(m, r, why);
        while (e == OK && !is_over(r) && has_marker_at_hand(r) && time_at_hand(r) <= marker_ms) {
            step(r);
            e = fill(m, r, why);
        }
        if (e) return e;
        if (!is_over(r) && time_at_hand(r) <= marker_ms) choose_earliest(&earliest, r);
    }
    *ret = earliest.replica;
    return OK;
}

/* --- what is given ---------------------------------------------------------------------------- */

static double
value_of(const struct sample_batch *b, uint32_t i)
{
    if (b->kind == SAMPLE_FLOAT) return bits_double(b->value_bits[i]);
    uint64_t count = b->histograms[i].count;
    return b->kind == SAMPLE_HISTOGRAM_INT ? (double)count : bits_double(count);
}

static bool
is_gauge(const struct sample_batch *b, uint32_t i)
{
    return b->kind != SAMPLE_FLOAT && b->histograms[i].reset_hint == RESET_GAUGE;
}

/* Of a counter it may be an older value than that given last. */
static bool
is_left_out(const struct replica_merge *m)
{
    const struct replica_course *c = &m->now;
    uint32_t i;
    const struct sample_batch *b = at_hand(c->current, &i);
    if (!c->is_changed || !c->has_value || b->kind != c->kind) return false;
    if (b->kind == SAMPLE_FLOAT && m->times_only) return false;
    if (c->is_gauge || is_gauge(b, i)) return false;
    return time_since(c->value_ms, b->times_ms[i]) < c->wary_ms &&
           (c->may_be_new || value_of(b, i) < c->value);
}

/* The current replica has the next sample or marker of the series at hand, or all is over. */
static enum err
find_next(struct replica_merge *m, struct why *why)
{
    struct replica_course *c = &m->now;
    enum err e = OK;
    while (e == OK && !c->is_over) {
        struct replica *other = NULL;
        if (c->current == NULL) e = c->is_ended ? begin_again(m, why) : begin(m, why);
        if (e == OK && !c->is_over) e = fill(m, c->current, why);
        if (e || c->is_over) return e;
        if (!c->is_chosen) e = find_filling(m, &other, why);
        if (e == OK && other == NULL && is_over(c->current)) {
            c->is_over = true;
            return OK;
        }
        if (e == OK && other == NULL && has_marker_at_hand(c->current)) {
            e = find_alive(m, &other, why);
        } else if (e == OK && other == NULL && is_left_out(m)) {
            step(c->current);
            c->is_chosen = false;
            continue;
        }
        if (e) return e;
        if (other == NULL) return OK;
        e = change_to(m, other, why);
    }
    return e;
}

/* How many samples from that at hand on come before a marker or a silence. */
static uint32_t
find_run(struct replica *r, const struct sample_batch *b, uint32_t from)
{
    uint32_t i = from + 1;
    for (; i < b->count && !is_marker(b, i); i++) {
        uint64_t gap_ms = time_since(b->times_ms[i - 1], b->times_ms[i]);
        if (r->gap_count == 0 || is_silence(r, gap_ms)) break;
        note_gap(r, b->times_ms[i], false);
    }
    return i - from;
}

/* Is the sample, the last one of `count`, less than the one that its replica gave before, if any?
 */
static bool
may_be_new(const struct replica_course *c, const struct sample_batch *b, uint32_t i, uint32_t count)
{
    if (count > 1) return value_of(b, i) < value_of(b, i - 1);
    bool is_second = c->has_value && c->last == c->current && c->kind == b->kind;
    return !is_second || value_of(b, i) < c->value;
}

/* The last of `count` samples of a batch. */
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

/* A hint is about the histogram before, which was another replica's. */
static void
forget_hint(struct replica_merge *m, struct sample_batch *one)
{
    m->histogram = *one->histograms;
    if (m->histogram.reset_hint != RESET_GAUGE) m->histogram.reset_hint = RESET_UNKNOWN;
    one->histograms = &m->histogram;
}

enum err
replica_merge_batch(struct replica_merge *m, struct sample_batch *ret, struct why *why)
{
    *ret = (struct sample_batch){.count = 0};
    if (m->count == 1) return m->batch(m->replicas[0].from, ret, why);
    enum err e = find_next(m, why);
    if (e || m->now.is_over) return e;
    struct replica *r = m->now.current;
    uint32_t from, count = 1;
    const struct sample_batch *b = at_hand(r, &from);
    bool alone = r->has_kept || is_marker(b, from);
    bool new_hint = m->now.is_changed && b->kind != SAMPLE_FLOAT;
    step(r);
    if (!alone && !new_hint) {
        count = find_run(r, b, from);
        r->at = from + count;
    }
    *ret = sample_batch_part(b, from, count);
    if (new_hint) forget_hint(m, ret);
    note_given(m, b, from + count - 1, count);
    return OK;
}
