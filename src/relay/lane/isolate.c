/*
 * isolate.c - see isolate.h. This file decides into which pieces a call is split, and when each of
 * them may be sent.
 *
 * How many pieces. Of n items of which d are refused, halving costs d * log2(n / d) calls and some:
 * as good as it gets when nothing else is known. Halves are tried one after the other, because if
 * all of the first one is delivered the second is known to be refused, and is halved without a
 * call. If the answer says how many, twice as many pieces are made at once, of which half are
 * delivered, and all may be pending at the same time. If the call has several series, the first
 * pieces are twice as many as series would be refused if each were so as a whole. Items that the
 * answer points at are set apart, and tried once the rest is settled, in one call where the answer
 * to that says that all are refused. If many more than those it points at are refused, as where
 * hundreds of metrics are and an answer names one, the rest comes in several pieces, of which each
 * answer names another.
 *
 * A series or metric that an answer points at may have thousands of items of which one is refused,
 * or all. A piece of such items comes in four: in the worst case that costs no more than halves
 * (four calls for two halvings). Where no answer says how many are refused, the items that are
 * settled say how many to expect: if most of them were refused, pieces come in up to 16, so that a
 * call of which all n items are refused takes n / 15 calls besides the n that no search can avoid.
 *
 * An answer that points at the wrong items costs calls, and must not cost one for each item. So the
 * `n oldest` of an answer are set apart HINTS_MAX times at most, and from then on what is not named
 * comes in several pieces.
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
 * By invariant 1, isolating k of n items takes about 2 k log2(n / k) + 2 k calls, and at most 2 n,
 * besides those that wrong hints cost.
 */
#include "relay/lane/isolate.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"

enum {
    PIECES_FIRST = 8,
    REST_PIECES_MAX = 16, /* pieces of the items that an answer does not name, at most */
    REST_REFUSED_EACH = 4,
    ORDERED_PIECES_MAX = 8,
    REST_PIECES_UNKNOWN = 4, /* the same if the answer has no number, unless it is the first */
    SUSPECT_PIECES = 4,      /* pieces of items that an answer names, at least */
    UNKNOWN_PIECES_MAX = 16, /* pieces if an answer has neither names nor a number, at most */
    HINTS_MAX = 4,           /* refusals of a piece until hints are no longer followed */
};

enum err
isolate_init(struct isolate *is, struct budget *memory)
{
    *is = (struct isolate){.memory = memory};
    is->pieces = mem_new(memory, PIECES_FIRST * sizeof *is->pieces);
    if (is->pieces == NULL) return ERR_NOMEM;
    is->capacity = PIECES_FIRST;
    return OK;
}

static void
forget_keys(struct isolate *is)
{
    mem_free(is->memory, is->keys, is->key_count * sizeof *is->keys);
    is->keys = NULL;
    is->key_count = 0;
}

void
isolate_fini(struct isolate *is)
{
    forget_keys(is);
    array_free(is->memory, is->pieces, is->capacity);
    *is = (struct isolate){.count = 0};
}

void
isolate_begin(struct isolate *is, uint32_t count)
{
    assert(count > 0);
    assert(is->count == 0);
    is->pieces[is->count++] = (struct call_piece){.to = count};
    is->delivered_count = is->refused_count = 0;
}

void
isolate_abandon(struct isolate *is)
{
    is->count = 0;
    forget_keys(is);
}

bool
isolate_is_done(const struct isolate *is)
{
    return is->count == 0;
}

struct call_piece *
isolate_next(const struct isolate *is)
{
    for (uint32_t i = 0; i < is->count; i++) {
        struct call_piece *p = &is->pieces[i];
        assert(i == 0 || p->from >= is->pieces[i - 1].to); /* invariant 1 */
        bool early = i > 0 && is->pieces[i - 1].from >= p->after;
        if (p->taken == 0 && p->state != PIECE_WAITS && !early) return p; /* invariant 4 */
    }
    return NULL;
}

struct call_piece *
isolate_taken(const struct isolate *is, uint8_t who)
{
    for (uint32_t i = 0; i < is->count; i++) {
        if (is->pieces[i].taken == who) return &is->pieces[i];
    }
    return NULL;
}

enum err
isolate_need_keys(struct isolate *is, uint32_t count)
{
    assert(is->keys == NULL || is->key_count == count);
    if (is->keys != NULL) return OK;
    is->keys = mem_new(is->memory, count * sizeof *is->keys);
    if (is->keys == NULL) return ERR_NOMEM;
    is->key_count = count;
    return OK;
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
isolate_settled(struct isolate *is, uint32_t delivered, uint32_t refused)
{
    is->delivered_count += delivered;
    is->refused_count += refused;
}

void
isolate_gone(struct isolate *is, struct call_piece *piece, bool delivered)
{
    uint32_t i = (uint32_t)(piece - is->pieces);
    assert(i < is->count); /* invariant 2: it was not removed before */
    inform_next(is, piece, delivered);
    is->count--;
    memmove(piece, piece + 1, (is->count - i) * sizeof *piece);
    if (is->count == 0) forget_keys(is);
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

/* --- splitting -------------------------------------------------------------------------------- */

/* An item of a piece that is split. */
struct isolate_entry {
    struct call_item item;
    struct isolate_key key;
    uint32_t was;   /* its index in the piece */
    uint32_t class; /* sorts before everything else */
};

struct split {
    struct isolate_entry *entries;
    uint32_t count;
    struct call_piece *made; /* new pieces, relative to the start of the piece */
    uint32_t made_count;
};

static int
compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int
compare_by_series(const void *first, const void *second)
{
    const struct isolate_entry *a = first, *b = second;
    int order = compare(a->class, b->class);
    if (order == 0) order = compare(a->key.metric, b->key.metric);
    if (order == 0) order = compare(a->key.series, b->key.series);
    return order != 0 ? order : compare(a->was, b->was);
}

static int
compare_by_place(const void *first, const void *second)
{
    return compare(((const struct isolate_entry *)first)->was,
                   ((const struct isolate_entry *)second)->was);
}

/* The first index from `at` on at which another series begins; `end` if there is none before it. */
static uint32_t
next_border(const struct split *s, uint32_t at, uint32_t end)
{
    while (at < end && s->entries[at].key.series == s->entries[at - 1].key.series &&
           s->entries[at].key.metric == s->entries[at - 1].key.metric) {
        at++;
    }
    return at;
}

/*
 * Makes `wanted` pieces or fewer of entries [from, to), which are sorted by series, but at least
 * two if more than one is wanted. Pieces end between series if there is more than one. With
 * `in_order`, entries are in the order of the log, and pieces are tried one after another, as those
 * of one series are.
 */
static void
make_pieces(struct split *s, uint32_t from, uint32_t to, uint32_t wanted, bool in_order,
            struct call_piece as)
{
    bool one_series = in_order || next_border(s, from + 1, to) == to;
    uint32_t begin = from, first = s->made_count;
    if (wanted > to - from) wanted = to - from;
    for (uint32_t i = 1; i <= wanted && begin < to; i++) {
        uint32_t end = from + (uint32_t)((uint64_t)(to - from) * i / wanted);
        if (end <= begin) continue;
        if (!one_series) end = next_border(s, end, to);
        /* The last series reaches to the end, with others before it in this piece. */
        if (end == to && begin == from && wanted > 1) {
            end = one_series ? from + (to - from) / 2 : next_border(s, from + 1, to);
        }
        as.from = begin;
        as.to = end;
        as.after = one_series ? from : begin;
        s->made[s->made_count++] = as;
        begin = end;
    }
    assert(begin == to);
    bool two = s->made_count - first == 2;
    if (two && wanted == 2) s->made[first + 1].state = PIECE_WAITS;
}

static void
keep_order_within(const struct split *s)
{
    for (uint32_t i = 0; i < s->made_count; i++) {
        const struct call_piece *p = &s->made[i];
        qsort(&s->entries[p->from], p->to - p->from, sizeof *s->entries, compare_by_place);
    }
}

static uint32_t
at_most(uint64_t wanted, uint32_t most)
{
    return wanted < most ? (uint32_t)wanted : most;
}

/* The number of pieces for the rest of a piece of which `blamed` items are named. */
static uint32_t
rest_pieces(const struct call_piece *piece, uint32_t blamed, const struct isolate_hint *hint)
{
    if (hint->no_response) return 1;
    bool misled = piece->depth >= HINTS_MAX;
    if (hint->refused == 0) return piece->depth > 0 ? REST_PIECES_UNKNOWN : 1;
    uint32_t others = hint->refused > blamed ? hint->refused - blamed : 0;
    uint32_t pieces = at_most(others / REST_REFUSED_EACH, REST_PIECES_MAX);
    uint32_t least = misled ? REST_PIECES_UNKNOWN : 1;
    return pieces > least ? pieces : least;
}

static uint32_t
count_series(const struct split *s)
{
    uint32_t series = 0;
    for (uint32_t at = 0; at < s->count; at = next_border(s, at + 1, s->count)) {
        series++;
    }
    return series;
}

/*
 * The number of pieces for `count` items of which an unknown number is refused: as if the share of
 * refused items were that of the items settled so far, within bounds. If that is wrong, each
 * halving costs 4 calls at most.
 */
static uint32_t
unknown_pieces(const struct isolate *is, uint32_t count, bool suspect)
{
    uint64_t settled = (uint64_t)is->delivered_count + is->refused_count;
    uint64_t few = settled == 0 ? 0 : (uint64_t)count * is->refused_count / settled;
    uint32_t least = suspect ? SUSPECT_PIECES : 2;
    uint32_t pieces = at_most(2 * few, UNKNOWN_PIECES_MAX);
    return at_most(pieces > least ? pieces : least, count);
}

/*
 * The number of pieces for all of a piece, if the response names none of its items, or all of them.
 * If most are refused, and a response says so if all are, the accepted ones are searched. At
 * first whole series are expected to be refused; if not, the responses to these pieces say so.
 */
static uint32_t
all_pieces(const struct isolate *is, const struct split *s, const struct call_piece *piece,
           bool suspect, const struct isolate_hint *hint)
{
    uint32_t count = piece->to - piece->from, few = hint->refused;
    if (few == 0) return unknown_pieces(is, count, suspect);
    if (hint->reports_all_refused && few < count && count - few < few) few = count - few;
    uint32_t series = hint->in_order ? 1 : count_series(s);
    if (piece->depth == 0 && series > 1)
        few = (uint32_t)(((uint64_t)few * series + count - 1) / count);
    uint32_t pieces = at_most(2 * (uint64_t)few, count);
    return hint->in_order && pieces > ORDERED_PIECES_MAX ? ORDERED_PIECES_MAX : pieces;
}

static void
plan(const struct isolate *is, struct split *s, const struct call_piece *piece, uint32_t blamed,
     const struct isolate_hint *hint)
{
    uint32_t n = s->count;
    bool apart = blamed > 0 && blamed < n && !(hint->by_time && piece->depth >= HINTS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        s->entries[i].class = apart && s->entries[i].key.blamed != hint->by_time;
    }
    bool in_order = hint->in_order && !apart;
    qsort(s->entries, n, sizeof *s->entries, in_order ? compare_by_place : compare_by_series);
    struct call_piece as = {.depth = piece->depth < UINT8_MAX ? piece->depth + 1 : UINT8_MAX,
                            .suspect = piece->suspect,
                            .by_time = piece->by_time};
    struct call_piece blamed_as = as;
    blamed_as.suspect = true;
    blamed_as.by_time |= hint->by_time;
    if (!apart) {
        bool suspect = piece->suspect || blamed == n;
        uint32_t pieces = all_pieces(is, s, piece, suspect, hint);
        make_pieces(s, 0, n, pieces, in_order, suspect ? blamed_as : as);
    } else if (hint->by_time) { /* both may have samples of one series: the oldest go first */
        make_pieces(s, 0, blamed, 1, false, blamed_as);
        make_pieces(s, blamed, n, 1, false, as);
    } else {
        make_pieces(s, 0, n - blamed, rest_pieces(piece, blamed, hint), false, as);
        make_pieces(s, n - blamed, n, 1, false, blamed_as);
    }
    if (apart) s->made[s->made_count - 1].after = 0;
}

/* Replaces the piece that was split by those made of it. */
static enum err
commit(struct isolate *is, uint32_t at, struct call_item *items, struct split *s)
{
    uint32_t from = is->pieces[at].from;
    enum err e = reserve(is, s->made_count);
    if (e) return e;
    keep_order_within(s);
    for (uint32_t i = 0; i < s->count; i++) {
        items[from + i] = s->entries[i].item;
        if (is->keys != NULL) is->keys[from + i] = s->entries[i].key;
    }
    for (uint32_t i = 0; i < s->made_count; i++) {
        s->made[i].from += from;
        s->made[i].to += from;
        s->made[i].after += from;
    }
    replace(is, at, s->made, s->made_count);
    return OK;
}

static enum err
split_init(struct split *s, const struct isolate *is, const struct call_piece *piece,
           const struct call_item *items, uint32_t made_most)
{
    uint32_t from = piece->from;
    *s = (struct split){.count = piece->to - from};
    s->entries = mem_alloc(is->memory, s->count * sizeof *s->entries);
    s->made = mem_alloc(is->memory, made_most * sizeof *s->made);
    if (s->entries == NULL || s->made == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->count; i++) {
        s->entries[i] = (struct isolate_entry){.item = items[from + i], .was = i};
        if (is->keys != NULL) s->entries[i].key = is->keys[from + i];
    }
    return OK;
}

static void
split_fini(struct split *s, const struct isolate *is, uint32_t made_most)
{
    mem_free(is->memory, s->entries, s->count * sizeof *s->entries);
    mem_free(is->memory, s->made, made_most * sizeof *s->made);
}

enum err
isolate_split(struct isolate *is, struct call_piece *piece, struct call_item *items,
              const struct isolate_hint *hint)
{
    struct split s;
    uint32_t at = (uint32_t)(piece - is->pieces), blamed = 0, made_most = piece->to - piece->from;
    assert(made_most >= 2);
    enum err e = split_init(&s, is, piece, items, made_most);
    for (uint32_t i = 0; i < s.count && e == OK; i++) {
        blamed += s.entries[i].key.blamed;
    }
    if (e == OK) {
        plan(is, &s, piece, blamed, hint);
        e = commit(is, at, items, &s);
    }
    split_fini(&s, is, made_most);
    return e;
}

enum err
isolate_set_apart(struct isolate *is, struct call_item *items)
{
    assert(is->count == 1);
    struct split s;
    struct isolate_hint nothing = {.refused = 0};
    uint32_t made_most = is->pieces[0].to, suspects = 0;
    enum err e = split_init(&s, is, is->pieces, items, made_most);
    for (uint32_t i = 0; i < s.count && e == OK; i++) {
        s.entries[i].key.blamed = s.entries[i].item.suspect;
        suspects += s.entries[i].item.suspect;
    }
    if (e == OK && suspects == s.count) is->pieces[0].suspect = true;
    if (e == OK && suspects > 0 && suspects < s.count) {
        plan(is, &s, is->pieces, suspects, &nothing);
        for (uint32_t i = 0; i < s.made_count; i++) {
            s.made[i].depth = 0;
        }
        e = commit(is, 0, items, &s);
    }
    split_fini(&s, is, made_most);
    return e;
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
    assert(is->keys == NULL || is->key_count == items);
}
