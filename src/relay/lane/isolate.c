/*
 * isolate.c - see isolate.h. This file decides how a call is split, and when each piece may be
 * sent.
 *
 * Halves are tried one after the other, because if all of the first one is delivered the second is
 * known to be refused, and is halved without a call. Items are sorted by series, so that the
 * refused samples of a series stay together, and a half ends between series if there is more than
 * one.
 *
 * Invariants, asserted where pieces are replaced and taken:
 *
 * 1. Pieces are in the order of their items and share none. The pieces that replace one have
 *    exactly its items, are at least two, and none is empty. So each refusal makes pieces smaller,
 *    and an item that was settled is never part of a piece again.
 * 2. A piece that is settled is removed. That changes only whether the next piece waits, and
 *    whether that one is sure. A failure without a response changes nothing.
 * 3. A piece that waits has no attempt. The answer that ends its waiting makes it open or sure.
 * 4. isolate_next() gives no piece that waits, that another attempt has, or that has an item of a
 *    series of which an earlier item is in another piece.
 *
 * By invariant 1, isolating k of n items takes at most 2 k log2(n / k) + 2 k calls, at most 2 n.
 */
#include "relay/lane/isolate.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"

enum { PIECES_FIRST = 8, SUSPECTS_MAX = 16384 };

enum err
isolate_init(struct isolate *is, struct budget *memory)
{
    *is = (struct isolate){.memory = memory};
    is->pieces = mem_new(memory, PIECES_FIRST * sizeof *is->pieces);
    if (is->pieces == NULL) return ERR_NOMEM;
    is->capacity = PIECES_FIRST;
    return OK;
}

void
isolate_fini(struct isolate *is)
{
    array_free(is->memory, is->pieces, is->capacity);
    *is = (struct isolate){.count = 0};
}

void
isolate_begin(struct isolate *is, uint32_t count)
{
    assert(count > 0);
    assert(is->count == 0);
    is->pieces[is->count++] = (struct call_piece){.to = count};
}

struct call_piece *
isolate_next(const struct isolate *is)
{
    struct call_piece *held = NULL;
    for (uint32_t i = 0; i < is->count; i++) {
        struct call_piece *p = &is->pieces[i];
        assert(i == 0 || p->from >= is->pieces[i - 1].to); /* invariant 1 */
        bool early = i > 0 && is->pieces[i - 1].from >= p->after;
        if (p->taken != 0 || p->state == PIECE_WAITS || early) continue; /* invariant 4 */
        if (!p->held) return p;
        if (held == NULL) held = p;
    }
    return held;
}

struct call_piece *
isolate_taken(const struct isolate *is, uint8_t who)
{
    for (uint32_t i = 0; i < is->count; i++)
        if (is->pieces[i].taken == who) return &is->pieces[i];
    return NULL;
}

/* --- adding and removing pieces --------------------------------------------------------------- */

/* The outcome of a piece decides whether the next one, if it waits, is known to be refused. */
static void
inform_next(struct isolate *is, const struct call_piece *piece, bool delivered)
{
    struct call_piece *next = &is->pieces[piece - is->pieces + 1];
    if (next == &is->pieces[is->count] || next->state != PIECE_WAITS) return;
    assert(next->taken == 0); /* invariant 3 */
    next->state = delivered ? PIECE_SURE : PIECE_OPEN;
}

void
isolate_answered(struct isolate *is, struct call_piece *piece)
{
    inform_next(is, piece, false);
}

void
isolate_hold(struct isolate *is, struct call_piece *piece)
{
    piece->held = true;
    piece->taken = 0;
    inform_next(is, piece, false);
}

void
isolate_gone(struct isolate *is, struct call_piece *piece, bool delivered)
{
    uint32_t i = (uint32_t)(piece - is->pieces);
    assert(i < is->count); /* invariant 2: it was not removed before */
    inform_next(is, piece, delivered);
    is->count--;
    memmove(piece, piece + 1, (is->count - i) * sizeof *piece);
}

/* Makes room for `more` pieces. Moves pieces: pointers to them end. */
static enum err
reserve(struct isolate *is, uint32_t more)
{
    size_t wanted = (size_t)is->count + more;
    return array_reserve(is->memory, &is->pieces, &is->capacity, wanted) ? OK : ERR_NOMEM;
}

/* Replaces piece `i` by others, for which there is room. */
static void
replace(struct isolate *is, uint32_t i, const struct call_piece *by, uint32_t count)
{
    struct call_piece *at = &is->pieces[i];
    uint32_t from = at->from;
    assert(count >= 2); /* invariant 1, up to the last assertion */
    for (uint32_t k = 0; k < count; k++) {
        assert(by[k].from == from);
        assert(by[k].to > from);
        from = by[k].to;
    }
    assert(from == at->to);
    inform_next(is, at, false);
    memmove(at + count, at + 1, (is->count - i - 1) * sizeof *at);
    memcpy(at, by, count * sizeof *at);
    is->count += count - 1;
}

enum err
isolate_cut(struct isolate *is, struct call_piece *piece, uint32_t at)
{
    assert(at > piece->from);
    assert(at < piece->to);
    uint32_t i = (uint32_t)(piece - is->pieces);
    enum err e = reserve(is, 1);
    if (e) return e;
    struct call_piece two[2] = {is->pieces[i], is->pieces[i]};
    two[0].to = two[1].from = at;
    two[1].after = two[0].from;
    two[1].taken = 0;
    assert(two[0].state == PIECE_OPEN || two[0].state == PIECE_SURE); /* it was to be sent */
    two[0].state = two[1].state = PIECE_OPEN;
    replace(is, i, two, 2);
    return OK;
}

/* --- halves ----------------------------------------------------------------------------------- */

static int
compare_by_place(const void *first, const void *second)
{
    const struct call_item *a = first, *b = second;
    if (a->record != b->record) return a->record < b->record ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int
compare_by_series(const void *first, const void *second)
{
    const struct call_item *a = first, *b = second;
    if (a->series != b->series) return a->series < b->series ? -1 : 1;
    return compare_by_place(first, second);
}

enum err
isolate_halve(struct isolate *is, struct call_piece *piece, struct call_item *items, bool in_order)
{
    uint32_t at = (uint32_t)(piece - is->pieces), count = piece->to - piece->from, border = 0;
    assert(count >= 2);
    enum err e = reserve(is, 1);
    if (e) return e;
    piece = &is->pieces[at];
    struct call_item *own = &items[piece->from];
    if (!in_order) {
        qsort(own, count, sizeof *own, compare_by_series);
        /* The border between series that is next to the middle; 0 if there is only one series. */
        uint32_t below = count / 2, above = count / 2;
        while (below > 0 && own[below].series == own[below - 1].series)
            below--;
        while (above < count && own[above].series == own[above - 1].series)
            above++;
        bool is_above = above < count && (below == 0 || above - count / 2 < count / 2 - below);
        border = is_above ? above : below;
        qsort(own, border, sizeof *own, compare_by_place);
        qsort(own + border, count - border, sizeof *own, compare_by_place);
    }
    bool apart = border > 0;
    if (!apart) border = count / 2;
    struct call_piece two[2] = {*piece, *piece};
    for (int i = 0; i < 2; i++) {
        two[i].taken = 0;
        two[i].found = true;
        two[i].state = i == 0 ? PIECE_OPEN : PIECE_WAITS;
    }
    two[0].to = two[1].from = piece->from + border;
    two[0].after = two[0].from;
    two[1].after = apart ? two[1].from : two[0].from;
    replace(is, at, two, 2);
    return OK;
}

void
isolate_validate(const struct isolate *is, uint32_t items)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < is->count; i++) {
        const struct call_piece *p = &is->pieces[i];
        assert(p->from >= end); /* invariant 1 */
        assert(p->to >= p->from);
        assert(p->state != PIECE_WAITS || p->taken == 0); /* invariant 3 */
        end = p->to;
    }
    assert(end <= items);
}

/* --- suspects --------------------------------------------------------------------------------- */

static bool
is_suspect(const struct suspects *s, uint64_t series)
{
    return s->count > 0 && s->slots[series % SUSPECTS_MAX] == series;
}

void
suspects_add(struct suspects *s, struct budget *memory, uint64_t series)
{
    if (s->slots == NULL) s->slots = mem_new(memory, SUSPECTS_MAX * sizeof *s->slots);
    if (s->slots == NULL || series == 0) return;
    uint64_t *slot = &s->slots[series % SUSPECTS_MAX];
    s->count += *slot == 0;
    *slot = series;
}

void
suspects_forget(struct suspects *s, uint64_t series)
{
    if (series == 0 || !is_suspect(s, series)) return;
    s->slots[series % SUSPECTS_MAX] = 0;
    s->count--;
}

void
suspects_fini(struct suspects *s, struct budget *memory)
{
    mem_free(memory, s->slots, SUSPECTS_MAX * sizeof *s->slots);
    *s = (struct suspects){.slots = NULL};
}

enum err
isolate_set_apart(struct isolate *is, struct call_item *items, const struct suspects *suspects)
{
    assert(is->count == 1);
    uint32_t count = is->pieces[0].to, others = 0;
    for (uint32_t i = 0; i < count; i++)
        others += !is_suspect(suspects, items[i].series);
    if (others == count) return OK;
    is->pieces[0].suspect = others == 0;
    if (others == 0) return OK;
    enum err e = reserve(is, 1);
    struct call_item *apart = e ? NULL : mem_alloc(is->memory, count * sizeof *apart);
    if (apart == NULL) return ERR_NOMEM;
    for (uint32_t i = 0, other = 0, next = others; i < count; i++)
        apart[is_suspect(suspects, items[i].series) ? next++ : other++] = items[i];
    memcpy(items, apart, count * sizeof *apart);
    mem_free(is->memory, apart, count * sizeof *apart);
    const struct call_piece two[2] = {{.to = others},
                                      {others, count, .after = others, .suspect = true}};
    replace(is, 0, two, 2);
    return OK;
}
