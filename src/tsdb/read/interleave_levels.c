/*
 * interleave_levels.c - series of which some windows of time are stored as rollups; see
 * interleave.h.
 *
 * Where a window is, it is the truth of its interval: of windows that overlap, the coarsest one
 * stays, of equal ones the earliest arrival. Other samples and windows of the interval are joined
 * with it if they are wholly before or after its samples, so that what a flush or a partition cut
 * in the middle of a window is whole again. Those between its samples are left out: whether it
 * includes them already is only known by their times, see count_missed().
 * Resolutions of a series are multiples of one another, so that a window is within a coarser one or
 * apart from it; others are left out where they overlap.
 *
 *      window of one hour        [   first ......... last    ]
 *      samples that came late     s                 s      s
 *                              joined            left out  joined
 *
 * Windows have either floats or histograms: those of the kind that is not the window's are left
 * out. A window of histograms may be in two blocks of a part, whose rollups are joined.
 *
 * Samples outside all windows come from the merge of interleave.c, unchanged. Windows that are not
 * joined with anything are those of the blocks.
 *
 * Invariants:
 * 1. Active slots have windows left (at < count).
 * 2. The rollups among the items are sorted by the start of their first window; those from next on
 *    are not decoded.
 */
#include "tsdb/read/interleave.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/select.h"
#include "tsdb/codec/rollups.h"

enum { OUT_ROLLUPS = 256 };

/* A decoded block. */
struct level_slot {
    struct level_slot *next;
    uint32_t order;
    uint32_t at;
    uint32_t count;
    uint32_t capacity;
    int64_t resolution_ms;
    struct arena arena;                  /* all of histograms */
    struct histogram_rollup *histograms; /* NULL: windows of floats */
    struct rollup rollups[];             /* of histograms only their count and times */
};

struct interleave_levels {
    uint32_t next; /* index of the next item of rollups */
    struct level_slot *active;
    struct level_slot *spent; /* their windows may be shown */
    struct sample_batch raw;  /* samples that are not in blocks of rollups, */
    uint32_t raw_at;          /* from here on not returned */
    bool raw_ended;
    /* Windows; those from out_at on are not returned. */
    uint32_t out_at;
    uint32_t out_count;
    int64_t out_resolution_ms;
    bool out_has_histograms;
    struct arena arena; /* of out_histograms */
    struct rollup out[OUT_ROLLUPS];
    struct histogram_rollup out_histograms[OUT_ROLLUPS]; /* out[] has their count and times */
    struct histogram out_rows[2 * OUT_ROLLUPS];
    int64_t out_times[2 * OUT_ROLLUPS];
    uint64_t out_bits[2 * OUT_ROLLUPS];
    int64_t times[CODEC_SAMPLES_MAX]; /* rows of a block, while it is decoded */
    uint64_t bits[CODEC_SAMPLES_MAX];
};

static size_t
slot_bytes(uint32_t capacity)
{
    return sizeof(struct level_slot) + capacity * sizeof(struct rollup);
}

static void
slot_free(struct interleave *m, struct level_slot *s)
{
    arena_fini(&s->arena);
    mem_free(m->budget, s, slot_bytes(s->capacity));
}

static void
slots_free(struct interleave *m, struct level_slot **list)
{
    while (*list != NULL) {
        struct level_slot *s = *list;
        *list = s->next;
        slot_free(m, s);
    }
}

void
interleave_levels_reset(struct interleave *m)
{
    struct interleave_levels *l = m->levels;
    m->level_count = 0;
    if (l == NULL) return;
    slots_free(m, &l->active);
    slots_free(m, &l->spent);
    arena_reset(&l->arena);
    l->next = l->raw_at = l->out_at = l->out_count = 0;
    l->raw = (struct sample_batch){.count = 0};
    l->raw_ended = false;
}

void
interleave_levels_free(struct interleave *m)
{
    interleave_levels_reset(m);
    if (m->levels != NULL) arena_fini(&m->levels->arena);
    mem_free(m->budget, m->levels, sizeof *m->levels);
}

/* --- windows ---------------------------------------------------------------------------------- */

static const struct rollup *
head_of(const struct level_slot *s)
{
    return &s->rollups[s->at];
}

/* The interval of a window of the slot: all times in it. */
static struct time_range
interval_at(const struct level_slot *s, uint32_t i)
{
    int64_t end = rollup_window_end(rollup_end_ms(&s->rollups[i]), s->resolution_ms);
    bool has_begin = end >= INT64_MIN + s->resolution_ms;
    return (struct time_range){has_begin ? end - s->resolution_ms + 1 : INT64_MIN, end};
}

static struct time_range
interval_of(const struct level_slot *s)
{
    return interval_at(s, s->at);
}

/* True if some of the window's samples may be deleted, or all are expired. A window of which a part
 * is deleted is hidden whole, because the rest of it is not known. */
bool
rollup_is_hidden(const struct rollup *r, const struct time_range *hidden, uint32_t count)
{
    struct time_range hull = {rollup_begin_ms(r), rollup_end_ms(r)};
    for (uint32_t i = 0; i < count; i++)
        if (ranges_meet(hull, hidden[i])) return true;
    return false;
}

static enum err
interleave_levels_decode(struct interleave *m, const struct interleave_item *item,
                         struct level_slot *s, struct why *why)
{
    struct interleave_levels *l = m->levels;
    const struct block_ref *b = item->block.ref;
    enum err e = interleave_count_read(m, item, why);
    if (e == OK && block_kind(b) != SAMPLE_FLOAT) {
        s->histograms = arena_alloc(&s->arena, item->count * sizeof *s->histograms);
        if (s->histograms == NULL)
            return why_set(why, ERR_NOMEM, "not enough memory to read samples");
        e = block_read_histogram_rollups(item->block.part, b, l->times, &s->arena, s->histograms,
                                         &s->count, why);
        for (uint32_t i = 0; i < s->count && e == OK; i++)
            s->rollups[i] = histogram_rollup_times(&s->histograms[i]);
    } else if (e == OK) {
        enum rollup_use use = m->rollups == ROLLUP_NONE ? ROLLUP_COUNTS : m->rollups;
        e = block_read_rollups(item->block.part, b, use, l->times, l->bits, s->rollups, &s->count,
                               why);
    }
    if (e == OK) {
        /* Removes windows that are hidden, or outside of the range. */
        uint32_t end = search_first(i, 0u, s->count, interval_at(s, i).min_ms > m->max_ms);
        uint32_t from = search_first(i, 0u, end,
                                     interval_at(s, i).max_ms >= m->min_ms &&
                                         rollup_end_ms(&s->rollups[i]) >= m->expired_before_ms);
        s->at = s->count = from;
        for (uint32_t i = from; i < end; i++) {
            const struct rollup *r = &s->rollups[i];
            if (rollup_is_hidden(r, item->hidden, item->hidden_count)) continue;
            if (s->count < i) {
                s->rollups[s->count] = *r;
                if (s->histograms != NULL) s->histograms[s->count] = s->histograms[i];
            }
            s->count++;
        }
    }
    return e;
}

/* Decodes the next item of rollups. */
static enum err
interleave_levels_take_item(struct interleave *m, struct why *why)
{
    struct interleave_levels *l = m->levels;
    const struct interleave_item *item = &m->items[l->next];
    struct level_slot *s = mem_alloc(m->budget, slot_bytes(item->count));
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read samples");
    *s = (struct level_slot){.order = item->order,
                             .capacity = item->count,
                             .resolution_ms = item->block.ref->resolution_ms};
    arena_init(&s->arena, m->budget, 0, 0);
    struct why reason = {""};
    enum err e = interleave_levels_decode(m, item, s, &reason);
    m->failed_item = l->next;
    if (e == ERR_CORRUPT && m->partial) {
        e = warnings_add(&m->warnings, &reason);
        if (e) why_set(&reason, e, "not enough memory for warnings about damage");
        s->at = s->count = 0;
    }
    if (e && why != NULL) *why = reason;
    if (e || s->at == s->count) {
        slot_free(m, s);
    } else {
        s->next = l->active;
        l->active = s;
    }
    if (e == OK) l->next++;
    return e;
}

/* True if the window of `a` decides where it overlaps that of `b`. */
static bool
wins(const struct level_slot *a, const struct level_slot *b)
{
    if (a->resolution_ms != b->resolution_ms) return a->resolution_ms > b->resolution_ms;
    return a->order < b->order;
}

/* Finds the slot with the earliest window, or one that wins over it. NULL if no window is left. */
static enum err
find_base(struct interleave *m, struct level_slot **ret_base, struct why *why)
{
    struct interleave_levels *l = m->levels;
    for (;;) {
        struct level_slot *first = l->active, *base;
        for (struct level_slot *s = first; s != NULL; s = s->next)
            if (interval_of(s).min_ms < interval_of(first).min_ms) first = s;
        base = first;
        for (struct level_slot *s = l->active; s != NULL; s = s->next)
            if (range_holds(interval_of(s), interval_of(base)) && wins(s, base)) base = s;
        bool all = l->next == m->level_count ||
                   (base != NULL && m->items[l->next].min_ms > interval_of(base).max_ms);
        *ret_base = base;
        if (all) return OK;
        enum err e = interleave_levels_take_item(m, why);
        if (e) return e;
    }
}

static void
slot_step(struct interleave *m, struct level_slot *s, uint32_t windows)
{
    s->at += windows;
    if (s->at < s->count) return;
    struct level_slot **link = &m->levels->active;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    s->next = m->levels->spent;
    m->levels->spent = s;
}

/* --- samples outside of blocks of rollups ----------------------------------------------------- */

/* Makes sure that l->raw has a sample at raw_at, unless all were returned. */
static enum err
raw_fill(struct interleave *m, struct why *why)
{
    struct interleave_levels *l = m->levels;
    if (l->raw_ended || l->raw_at < l->raw.count) return OK;
    enum err e = interleave_next_raw(m, &l->raw, why);
    l->raw_at = 0;
    l->raw_ended = e == OK && l->raw.count == 0;
    if (e) l->raw.count = 0;
    return e;
}

/* The next piece for an interval: a sample, or a window of another slot. */
struct piece {
    struct rollup rollup;
    struct level_slot *slot; /* NULL for a sample */
    bool found;
    bool is_float;
};

static struct piece
next_piece(const struct interleave_levels *l, struct time_range interval)
{
    struct piece p = {.found = false};
    for (struct level_slot *s = l->active; s != NULL; s = s->next) {
        if (!ranges_meet(interval_of(s), interval)) continue;
        if (p.found && rollup_begin_ms(&p.rollup) <= rollup_begin_ms(head_of(s))) continue;
        p = (struct piece){*head_of(s), s, true, s->histograms == NULL};
    }
    if (l->raw_ended || l->raw.times_ms[l->raw_at] > interval.max_ms) return p;
    int64_t t_ms = l->raw.times_ms[l->raw_at];
    if (p.found && rollup_begin_ms(&p.rollup) < t_ms) return p;
    p = (struct piece){.found = true, .is_float = l->raw.kind == SAMPLE_FLOAT};
    bool is_marker = !p.is_float && l->raw.histograms[l->raw_at].sum_bits == STALE_NAN_BITS;
    p.rollup = rollup_of_sample(t_ms, p.is_float  ? l->raw.value_bits[l->raw_at]
                                      : is_marker ? STALE_NAN_BITS
                                                  : 0);
    return p;
}

/* Adds a window of a slot to out[at]. */
static enum err
join_window(struct interleave_levels *l, uint32_t at, const struct level_slot *s, uint32_t window)
{
    if (s->histograms == NULL) {
        rollup_join(&l->out[at], &s->rollups[window]);
        return OK;
    }
    struct histogram_rollup *h = &l->out_histograms[at];
    enum err e = histogram_rollup_join(&l->arena, h, &s->histograms[window]);
    if (e == OK) l->out[at] = histogram_rollup_times(h);
    return e;
}

/* Adds a piece to out[at]. */
static enum err
join_piece(struct interleave_levels *l, uint32_t at, const struct piece *p)
{
    struct histogram_rollup *h = &l->out_histograms[at], one;
    if (p->slot != NULL) return join_window(l, at, p->slot, p->slot->at);
    if (p->is_float) {
        rollup_join(&l->out[at], &p->rollup);
        return OK;
    }
    enum err e = histogram_rollup_of_sample(&l->arena, l->raw.times_ms[l->raw_at],
                                            &l->raw.histograms[l->raw_at], &one);
    if (e == OK) e = histogram_rollup_join(&l->arena, h, &one);
    if (e == OK) l->out[at] = histogram_rollup_times(h);
    return e;
}

/* Samples that a window leaves out, of its kind. */
struct window_late {
    uint64_t count;
    int64_t before_ms; /* the last one */
    int64_t step_ms;   /* least distance of two; INT64_MAX before the second */
    bool off_grid;     /* not all are where a window of as many evenly spaced samples has one */
};

enum { GRID_SHARE = 64 }; /* tolerance: this part of the distance of two samples */

static void
late_add(struct window_late *late, const struct rollup *window, int64_t t_ms)
{
    bool within = window->count > 0 && t_ms >= window->first_ms && t_ms <= window->last_ms;
    double span = within ? (double)(window->last_ms - window->first_ms) : 0;
    double at = span == 0 ? 0 : (double)(t_ms - window->first_ms) * (window->count - 1) / span;
    late->off_grid |= !within || fabs(at - round(at)) > 1.0 / GRID_SHARE;
    if (late->count++ > 0 && t_ms - late->before_ms < late->step_ms)
        late->step_ms = t_ms - late->before_ms;
    late->before_ms = t_ms;
}

/*
 * Returns how many of them the window lacks, rather too many than too few. It has all that are on
 * its grid: they were sent again. Otherwise it lacks as many as are missing for one in each step of
 * the late ones, or all, if none is: they have other times.
 */
static uint64_t
count_missed(const struct window_late *late, const struct rollup *window)
{
    if (!late->off_grid) return 0;
    double span = window->count == 0 ? 0 : (double)(window->last_ms - window->first_ms);
    double all = late->count < 2 ? 0 : round(span / (double)late->step_ms) + 1;
    double lacks = all - window->count;
    return lacks >= 1 && lacks < (double)late->count ? (uint64_t)lacks : late->count;
}

static void
note_missed(struct interleave *m, enum ledger_kind kind, uint64_t count)
{
    m->missed_count[kind] += count;
    if (count > 0 && m->control != NULL)
        atomic_store_explicit(&m->control->lacks_late, true, memory_order_relaxed);
}

/* Joins the base's window with what is before and after it in its interval, as out[out_count]. */
static enum err
compose(struct interleave *m, struct level_slot *base, struct why *why)
{
    struct interleave_levels *l = m->levels;
    uint32_t at = l->out_count, window = base->at;
    struct rollup *ret = &l->out[at];
    const struct rollup kept = *head_of(base);
    struct time_range interval = interval_of(base);
    struct window_late late = {.step_ms = INT64_MAX};
    bool joined = false;
    *ret = (struct rollup){.count = 0};
    l->out_histograms[at] = (struct histogram_rollup){.count = 0};
    slot_step(m, base, 1); /* `base` is spent at most, which keeps its windows */
    for (;;) {
        enum err e = raw_fill(m, why);
        if (e) return e;
        struct piece p = next_piece(l, interval);
        if (!joined && (!p.found || rollup_begin_ms(&p.rollup) >= rollup_begin_ms(&kept))) {
            e = join_window(l, at, base, window);
            if (e) return why_set(why, e, "not enough memory for histograms");
            joined = true;
            continue;
        }
        if (!p.found) {
            enum ledger_kind kind = base->histograms == NULL ? LEDGER_FLOAT : LEDGER_HISTOGRAM;
            uint64_t missed = count_missed(&late, &kept);
            note_missed(m, kind, missed);
            m->by_window_count[kind] += late.count - missed;
            l->out_count++;
            return OK;
        }
        bool empty = ret->count == 0 && !ret->is_stale;
        bool fits = p.is_float == (base->histograms == NULL) &&
                    (empty || rollup_begin_ms(&p.rollup) > rollup_end_ms(ret)) &&
                    rollup_end_ms(&p.rollup) <= interval.max_ms &&
                    (joined || rollup_end_ms(&p.rollup) < rollup_begin_ms(&kept));
        if (fits) e = join_piece(l, at, &p);
        if (e) return why_set(why, e, "not enough memory for histograms");
        if (p.slot != NULL) {
            slot_step(m, p.slot, 1);
            continue;
        }
        enum ledger_kind kind = ledger_kind_of(l->raw.kind);
        if (fits)
            m->joined_count[kind]++;
        else if (p.is_float != (base->histograms == NULL))
            note_missed(m, kind, 1);
        else if (p.rollup.is_stale)
            m->by_window_count[kind]++; /* a window knows only a marker after its samples */
        else
            late_add(&late, &kept, p.rollup.first_ms);
        l->raw_at++;
    }
}

/* Shows windows as they are, or their last samples within the range. */
static bool
show(struct interleave *m, struct sample_batch *ret)
{
    struct interleave_levels *l = m->levels;
    const struct histogram_rollup *h = l->out_histograms;
    uint32_t at = l->out_at++, from = 0;
    enum sample_kind kind = l->out_has_histograms ? h[at].last.kind : SAMPLE_FLOAT;
    bool is_float = kind == SAMPLE_FLOAT;
    while (l->out_at < l->out_count && (!l->out_has_histograms || h[l->out_at].last.kind == kind))
        l->out_at++; /* the next windows, whose rows have one kind */
    uint32_t count = l->out_at - at;
    *ret = (struct sample_batch){.kind = kind, .count = count};
    if (m->rollups) {
        if (is_float)
            ret->rollups = l->out + at;
        else
            ret->histogram_rollups = l->out_histograms + at;
        ret->resolution_ms = l->out_resolution_ms;
        return true;
    }
    uint32_t rows =
        is_float ? rollup_rows(l->out + at, count, l->out_times, l->out_bits)
                 : histogram_rollup_rows(l->out_histograms + at, count, l->out_times, l->out_rows);
    while (from < rows && l->out_times[from] < m->min_ms)
        from++;
    while (rows > from && l->out_times[rows - 1] > m->max_ms)
        rows--;
    ret->count = rows - from;
    ret->times_ms = l->out_times + from;
    if (is_float)
        ret->value_bits = l->out_bits + from;
    else
        ret->histograms = l->out_rows + from;
    if (ret->count > 0 && m->control != NULL) thinned_note(m->control, l->out_resolution_ms);
    return ret->count > 0;
}

/* Returns the samples before the next window, if there is one. */
static struct sample_batch
take_raw(struct interleave_levels *l, const struct level_slot *base)
{
    uint32_t from = l->raw_at, end = l->raw.count;
    if (base != NULL) {
        int64_t begin_ms = interval_of(base).min_ms;
        end = search_first(i, from, end, l->raw.times_ms[i] >= begin_ms);
    }
    l->raw_at = end;
    return sample_batch_part(&l->raw, from, end - from);
}

/* Shows windows of floats of the only active slot in place, up to the next item or sample. False if
 * the first one of them may have to be joined. */
static bool
show_in_place(struct interleave *m, struct sample_batch *ret)
{
    struct interleave_levels *l = m->levels;
    struct level_slot *s = l->active;
    if (m->rollups == ROLLUP_NONE || s == NULL || s->next != NULL || s->histograms != NULL)
        return false;
    uint32_t at = s->at, end = s->count;
    if (l->next < m->level_count) {
        int64_t next_ms = m->items[l->next].min_ms;
        end = search_first(i, at, end, interval_at(s, i).max_ms >= next_ms);
    }
    if (!l->raw_ended) {
        int64_t next_ms = l->raw.times_ms[l->raw_at];
        end = search_first(i, at, end, interval_at(s, i).max_ms >= next_ms);
    }
    if (end == at) return false;
    *ret = (struct sample_batch){.kind = SAMPLE_FLOAT,
                                 .count = end - at,
                                 .rollups = s->rollups + at,
                                 .resolution_ms = s->resolution_ms};
    slot_step(m, s, end - at);
    return true;
}

/* Gathers windows of one resolution, until samples or the other kind of windows come between
 * them. Without windows, *ret has the samples before the next one. */
static enum err
interleave_levels_gather(struct interleave *m, struct sample_batch *ret, struct why *why)
{
    struct interleave_levels *l = m->levels;
    l->out_at = l->out_count = 0;
    slots_free(m, &l->spent);
    arena_reset(&l->arena);
    *ret = (struct sample_batch){.count = 0};
    while (l->out_count < OUT_ROLLUPS) {
        struct level_slot *base;
        enum err e = find_base(m, &base, why);
        if (e == OK) e = raw_fill(m, why);
        if (e) return l->out_count == 0 ? e : OK; /* the next call returns it */
        if (l->out_count == 0 && show_in_place(m, ret)) return OK;
        bool raw_is_next = !l->raw_ended &&
                           (base == NULL || l->raw.times_ms[l->raw_at] < interval_of(base).min_ms);
        if (raw_is_next) {
            if (l->out_count == 0) *ret = take_raw(l, base);
            return OK;
        }
        if (base == NULL) return OK;
        bool has_histograms = base->histograms != NULL;
        if (l->out_count == 0) {
            l->out_resolution_ms = base->resolution_ms;
            l->out_has_histograms = has_histograms;
        }
        if (base->resolution_ms != l->out_resolution_ms || has_histograms != l->out_has_histograms)
            return OK;
        e = compose(m, base, why);
        if (e) return e;
    }
    return OK;
}

enum err
interleave_next_level(struct interleave *m, struct sample_batch *ret_batch, struct why *why)
{
    if (m->levels == NULL) {
        m->levels = mem_new(m->budget, sizeof *m->levels);
        if (m->levels == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read samples");
        arena_init(&m->levels->arena, m->budget, 0, 0);
    }
    struct interleave_levels *l = m->levels;
    for (;;) {
        while (l->out_at < l->out_count)
            if (show(m, ret_batch)) return OK;
        enum err e = interleave_levels_gather(m, ret_batch, why);
        if (e || ret_batch->count > 0 || l->out_count == 0) return e;
    }
}
