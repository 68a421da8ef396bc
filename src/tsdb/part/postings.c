/*
 * postings.c - gathers the series of one pair, or of many, as a set, within the window of series
 * that other matchers have left. Long lists come in segments, so that those outside of the window
 * are skipped.
 *
 * One list, and a few, go straight into a compressed bitmap. Many lists of a few series each touch
 * it all over, which costs more than reading them: once enough series have come to be worth
 * clearing plain bits for the window, series go there.
 *
 * Invariants: numbers that are added are within the window. The set is the union of `set`, `bits`
 * and `batch`.
 */
#include <assert.h>
#include <roaring/roaring.h>

#include "tsdb/part/walk.h"

enum {
    LISTS_FEW = 4,
    BITS_WORTH = 256, /* clearing as many bits costs as much as adding a series to the bitmap */
};

void
postings_begin(struct postings_walk *w, const struct part_index *index, uint32_t from, uint32_t to)
{
    *w = (struct postings_walk){
        .part = index->part,
        .tenant = index->tenant,
        .from = from - index->tenant->first_series,
        .to = to - index->tenant->first_series,
        .list_max = UINT32_MAX,
        .set = roaring_bitmap_create(),
    };
}

static size_t
bits_bytes(const struct postings_walk *w)
{
    return ((size_t)(w->to - w->from) / 64 + 1) * sizeof(uint64_t);
}

void
postings_end(struct postings_walk *w)
{
    page_release(&w->part->source, w->page);
    if (w->set != NULL) roaring_bitmap_free(w->set);
    if (w->bits != NULL) mem_free(w->part->budget, w->bits, bits_bytes(w));
}

/* --- the set ---------------------------------------------------------------------------------- */

static inline void
batch_out(struct postings_walk *w)
{
    if (w->batch_count > 0) roaring_bitmap_add_many(w->set, w->batch_count, w->batch);
    w->batch_count = 0;
}

/* Within the window. */
static inline void
add_one(struct postings_walk *w, uint32_t number)
{
    w->added_count++;
    if (w->bits != NULL) {
        uint32_t at = number - w->from;
        w->bits[at / 64] |= UINT64_C(1) << at % 64;
        return;
    }
    w->batch[w->batch_count++] = w->tenant->first_series + number;
    if (w->batch_count == sizeof w->batch / sizeof w->batch[0]) batch_out(w);
}

/* Within the window; runs stay runs. */
static void
add_run(struct postings_walk *w, uint32_t first, uint32_t last)
{
    enum { RUN_SHORT = 8 };
    assert(first <= last);
    assert(last <= w->to);
    if (last - first < RUN_SHORT) {
        for (uint32_t i = first; i <= last; i++) {
            add_one(w, i);
        }
        return;
    }
    batch_out(w);
    uint32_t base = w->tenant->first_series;
    roaring_bitmap_add_range_closed(w->set, base + first, base + last);
}

static enum err
bits_begin(struct postings_walk *w)
{
    uint64_t window = (uint64_t)w->to - w->from;
    if (w->bits != NULL || w->list_count <= LISTS_FEW || w->added_count < window / BITS_WORTH) {
        return OK;
    }
    batch_out(w);
    w->bits = mem_new(w->part->budget, bits_bytes(w));
    return w->bits == NULL ? ERR_NOMEM : OK;
}

roaring_bitmap_t *
postings_set(struct postings_walk *w)
{
    if (w->bits != NULL) {
        /* The bits follow in order: full words as runs. */
        size_t words = bits_bytes(w) / sizeof *w->bits;
        uint64_t *bits = w->bits;
        w->bits = NULL; /* later series go into the bitmap */
        for (size_t i = 0; i < words; i++) {
            uint32_t first = w->from + (uint32_t)i * 64;
            if (bits[i] == UINT64_MAX) {
                size_t end = i;
                while (end + 1 < words && bits[end + 1] == UINT64_MAX) {
                    end++;
                }
                add_run(w, first, w->from + (uint32_t)end * 64 + 63);
                i = end;
                continue;
            }
            for (uint64_t left = bits[i]; left != 0; left &= left - 1) {
                add_one(w, first + (uint32_t)__builtin_ctzll(left));
            }
        }
        mem_free(w->part->budget, bits, words * sizeof *bits);
    }
    batch_out(w);
    return w->set;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* True if the number of the current list is wanted. */
static bool
postings_is_wanted(struct postings_walk *w, uint32_t number)
{
    if (w->among != NULL && !roaring_bitmap_contains(w->among, w->tenant->first_series + number)) {
        return false;
    }
    w->list_ended = w->list_left == 0;
    w->list_left -= !w->list_ended;
    return !w->list_ended;
}

static void
read_differences(struct postings_walk *w, struct cursor *c, uint64_t number)
{
    uint64_t all = w->tenant->series_count;
    while (c->at != c->end && !w->list_ended) {
        uint64_t step = cursor_varint(c);
        if (c->bad || step >= all - number) {
            cursor_fail(c);
            return;
        }
        number += step;
        if (number > w->to) return;
        if (number >= w->from && postings_is_wanted(w, (uint32_t)number))
            add_one(w, (uint32_t)number);
    }
}

static void
read_run(struct postings_walk *w, uint32_t first, uint32_t last)
{
    if (w->among == NULL && w->list_max == UINT32_MAX) {
        add_run(w, first, last);
        return;
    }
    for (uint32_t i = first; i <= last && !w->list_ended; i++) {
        if (postings_is_wanted(w, i)) add_one(w, i);
    }
}

static void
read_runs(struct postings_walk *w, struct cursor *c, uint64_t next)
{
    uint64_t all = w->tenant->series_count;
    while (c->at != c->end && !w->list_ended) {
        uint64_t gap = cursor_varint(c), more = cursor_varint(c);
        if (c->bad || gap >= all - next || more >= all - next - gap) {
            cursor_fail(c);
            return;
        }
        uint64_t first = next + gap, last = first + more;
        next = last + 1;
        if (first > w->to) return;
        if (last < w->from) continue;
        read_run(w, first < w->from ? w->from : (uint32_t)first,
                 last > w->to ? w->to : (uint32_t)last);
    }
}

static void
read_segment(struct postings_walk *w, struct cursor *c, enum list_form form, uint64_t first)
{
    if (form == LIST_RUNS)
        read_runs(w, c, first);
    else
        read_differences(w, c, first);
}

/* A segment ends before the next one begins, so the next one decides whether it is read. */
static void
read_segments(struct postings_walk *w, struct cursor *c, enum list_form form)
{
    struct cursor before = {NULL, NULL, false};
    uint64_t first = 0, before_first = 0;
    while (c->at != c->end && first <= w->to && !w->list_ended) {
        uint64_t step = cursor_varint(c);
        struct bytes bytes = cursor_counted(c);
        if (c->bad || step >= w->tenant->series_count - first) {
            cursor_fail(c);
            return;
        }
        first += step;
        if (first > w->from) read_segment(w, &before, form, before_first);
        if (before.bad) cursor_fail(c);
        before = cursor_of(bytes);
        before_first = first;
    }
    if (before_first <= w->to && !w->list_ended) read_segment(w, &before, form, before_first);
    if (before.bad) cursor_fail(c);
}

/* Reads or skips the next list. */
static enum err
next_list(struct postings_walk *w, bool wanted, struct why *why)
{
    uint64_t head = cursor_varint(&w->c);
    struct cursor list = cursor_of(cursor_bytes(&w->c, head >> LIST_SIZE_SHIFT));
    enum err e = wanted ? bits_begin(w) : OK;
    if (e) return why_set(why, e, "not enough memory to match series");
    if (wanted) {
        enum list_form form = (head & 1) != 0 ? LIST_RUNS : LIST_DIFFERENCES;
        w->list_count++;
        w->list_left = w->list_max;
        w->list_ended = false;
        if (head & LIST_SEGMENTS)
            read_segments(w, &list, form);
        else
            read_segment(w, &list, form, 0);
        w->cut |= w->list_ended;
    }
    w->next_pair++;
    return w->c.bad || list.bad ? part_damaged(w->part, w->offset, "postings", why) : OK;
}

static enum err
postings_enter(struct postings_walk *w, uint32_t pair, struct why *why)
{
    struct part *p = w->part;
    page_release(&p->source, w->page);
    w->page = NULL;
    enum err e =
        part_directory_find(p, &p->postings, pair, &w->offset, &w->next_pair, &w->page_end, why);
    if (e == OK) e = page_get(&p->source, w->offset, PAGE_POSTINGS, &w->page, why);
    if (e) return e;
    w->c = (struct cursor){w->page->at, w->page->at + w->page->size, false};
    return OK;
}

enum err
postings_add(struct postings_walk *w, uint32_t pair, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair < w->next_pair || pair >= w->page_end)
        e = postings_enter(w, pair, why);
    while (e == OK && w->next_pair < pair) {
        e = next_list(w, false, why);
    }
    return e ? e : next_list(w, true, why);
}
