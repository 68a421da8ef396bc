/*
 * window.c - see account.h. A ring of records, found by their consecutive numbers. It grows and
 * never shrinks.
 *
 *     window_push()                 window_settle(): all of it, with one fate
 *          |---> [all are open] ------------------------------------> [all settled alike]
 *                      |   window_settle(): some of it                   |
 *                      +---> [a fate per item]                           |
 *
 * Nearly every record is settled as a whole and then costs a few words; only `fates` has a byte per
 * item. Settling part of a record fails where memory for that is refused, unless window_reserve()
 * allocated it before. window_cursor() removes a record when it is the oldest and has no open
 * items.
 *
 * Repeats are items that the store gives once more. The number in a record is known, but not which
 * items they are: the first items settled with a fate that may count (not as dead letters) are
 * settled as repeats. Repeats that exceed the record's open items become the debt of their kind,
 * which later records pay.
 *
 * Invariants:
 * 1. `open` of a record is the number of its items that are FATE_OPEN; w->open is the sum by kind.
 * 2. `repeats` of a record is at most `open`; w->repeats_open is the sum by kind of `repeats`, plus
 *    `debt`.
 * 3. w->all is `before` plus the settled fates of all records in the ring.
 * 4. w->held is the sum by kind of `count`.
 * 5. Positions ascend, and the cursor is not after the oldest record.
 */
#include "relay/state/account.h"

#include <assert.h>

#include "relay/feed/log_items.h"

enum { RECORDS_MAX = 1 << 20 };

static struct window_record *
record_at(const struct window *w, uint64_t record)
{
    assert(record >= w->first);
    assert(record < w->next);
    return &w->ring[record & (w->capacity - 1)];
}

enum err
window_new(struct budget *memory, struct relay_cursor cursor, struct window **ret_window)
{
    struct window *w = mem_new(memory, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->memory = memory;
    w->cursor = cursor;
    *ret_window = w;
    return OK;
}

static void
forget_fates(struct window *w, struct window_record *r)
{
    if (r->fates != NULL) mem_free(w->memory, r->fates, r->count);
    r->fates = NULL;
}

void
window_free(struct window *w)
{
    if (w == NULL) return;
#ifdef LOCK_CHECK
    window_validate(w);
#endif
    for (; w->first < w->next; w->first++)
        forget_fates(w, record_at(w, w->first));
    mem_free(w->memory, w->ring, w->capacity * sizeof *w->ring);
    mem_free(w->memory, w, sizeof *w);
}

static enum err
ring_grow(struct window *w)
{
    if (w->next - w->first < w->capacity) return OK;
    if (w->capacity == RECORDS_MAX) return ERR_AGAIN;
    uint32_t capacity = w->capacity == 0 ? 64 : 2 * w->capacity;
    struct window_record *ring = mem_new(w->memory, capacity * sizeof *ring);
    if (ring == NULL) return ERR_NOMEM;
    for (uint64_t i = w->first; i < w->next; i++)
        ring[i & (capacity - 1)] = *record_at(w, i);
    mem_free(w->memory, w->ring, w->capacity * sizeof *w->ring);
    w->ring = ring;
    w->capacity = capacity;
    return OK;
}

enum err
window_push(struct window *w, const struct chunk *chunk, uint64_t *ret_record)
{
    enum err e = ring_grow(w);
    if (e) return e;
    bool follows = w->first == w->next || chunk->pos >= record_at(w, w->next - 1)->pos;
    assert(follows); /* invariant 5 */
    *ret_record = w->next++;
    *record_at(w, *ret_record) = (struct window_record){
        .pos = chunk->pos,
        .end_pos = chunk->end_pos,
        .segment = chunk->segment,
        .realtime_ms = chunk->realtime_ms,
        .count = chunk->count,
        .open = chunk->count,
        .kind = (uint8_t)chunk->kind,
        .fate = FATE_OPEN,
    };
    w->open[chunk->kind] += chunk->count;
    w->held[chunk->kind] += chunk->count;
    return OK;
}

enum err
window_push_lost(struct window *w, uint64_t pos, uint64_t segment, enum item_kind kind,
                 uint64_t count, uint8_t fate)
{
    struct chunk lost = {.pos = pos, .end_pos = pos, .segment = segment, .kind = kind};
    for (uint64_t left = count; left > 0; left -= lost.count) {
        uint64_t record;
        lost.count = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
        enum err e = window_push(w, &lost, &record);
        if (e) return e;
        window_note_taken(w, lost.count, 0);
        e = window_settle(w, record, 0, lost.count, fate);
        assert(e == OK); /* settling a whole record needs no memory */
        (void)e;
    }
    return OK;
}

void
window_note_taken(struct window *w, uint32_t taken, uint32_t repeats)
{
    struct window_record *r = record_at(w, w->next - 1);
    assert(r->repeats == 0);
    assert(repeats <= taken);
    assert(taken <= r->open); /* so invariant 2 holds for `repeats` */
    r->taken = taken;
    r->repeats = repeats;
    w->repeats_open[r->kind] += repeats;
}

static bool
reserve_fates(struct window *w, struct window_record *r)
{
    if (r->fates == NULL) r->fates = mem_new(w->memory, r->count);
    return r->fates != NULL;
}

enum err
window_reserve(struct window *w, uint64_t record)
{
    struct window_record *r = record_at(w, record);
    return r->count == 1 || reserve_fates(w, r) ? OK : ERR_NOMEM;
}

enum err
window_settle(struct window *w, uint64_t record, uint32_t first, uint32_t count, uint8_t fate)
{
    struct window_record *r = record_at(w, record);
    assert(fate != FATE_OPEN);
    assert(fate < FATE_COUNT);
    assert(count <= r->open); /* invariant 1 */
    assert(first <= r->count);
    assert(count <= r->count - first);
    if (count == 0) return OK;
    uint64_t repeats = r->repeats + w->debt[r->kind];
    /* A dead letter is counted by its file. */
    bool may_repeat = fate == FATE_DELIVERED || fate >= FATE_DROPPED;
    uint32_t repeated = !may_repeat ? 0 : repeats < count ? (uint32_t)repeats : count;
    if (count == r->count && r->fates == NULL && (repeated == 0 || repeated == count)) {
        r->fate = repeated > 0 ? FATE_REPEATED : fate;
    } else {
        if (!reserve_fates(w, r)) return ERR_NOMEM;
        memset(r->fates + first, FATE_REPEATED, repeated);
        memset(r->fates + first + repeated, fate, count - repeated);
    }
    assert(count <= w->open[r->kind]); /* invariant 1 */
    r->open -= count;
    w->open[r->kind] -= count;
    w->all.count[r->kind][FATE_REPEATED] += repeated;
    w->all.count[r->kind][fate] += count - repeated;
    uint32_t own = repeated < r->repeats ? repeated : r->repeats;
    assert(repeated - own <= w->debt[r->kind]);
    assert(repeated <= w->repeats_open[r->kind]); /* invariant 2 */
    r->repeats -= own;
    w->debt[r->kind] -= repeated - own;
    r->repeated += repeated;
    w->repeats_open[r->kind] -= repeated;
    if (r->repeats > r->open) { /* later records pay them */
        w->debt[r->kind] += r->repeats - r->open;
        r->repeats = r->open;
    }
    return OK;
}

struct window_place
window_place(const struct window *w, uint64_t record)
{
    const struct window_record *r = record_at(w, record);
    return (struct window_place){r->pos, r->segment, r->realtime_ms};
}

/* Counts the fates of a record's first items, up to the first open one. */
static uint32_t
count_settled(const struct window_record *r, struct fates *to)
{
    if (r->fates == NULL) {
        if (r->fate == FATE_OPEN) return 0;
        to->count[r->kind][r->fate] += r->count;
        return r->count;
    }
    uint32_t i = 0;
    for (; i < r->count && r->fates[i] != FATE_OPEN; i++)
        to->count[r->kind][r->fates[i]]++;
    return i;
}

void
window_skip(struct window *w, struct relay_cursor to)
{
    assert(to.pos >= w->cursor.pos); /* invariant 5 */
    window_cursor(w, &w->cursor, NULL);
    assert(w->first == w->next); /* an open item would keep its record in the ring */
    w->cursor = to;
}

void
window_cursor(struct window *w, struct relay_cursor *ret_cursor, struct fates *ret_before)
{
    for (; w->first < w->next && record_at(w, w->first)->open == 0; w->first++) {
        struct window_record *r = record_at(w, w->first);
        assert(r->repeats == 0);              /* invariant 2 */
        assert(r->count <= w->held[r->kind]); /* invariant 4 */
        assert(r->end_pos >= w->cursor.pos);  /* invariant 5 */
        count_settled(r, &w->before);
        w->taken_before[r->kind] += r->taken - r->repeated;
        w->held[r->kind] -= r->count;
        w->cursor = (struct relay_cursor){r->end_pos, 0};
        forget_fates(w, r);
    }
    *ret_cursor = w->cursor;
    struct fates prefix = {{{0}}};
    if (w->first < w->next) {
        const struct window_record *r = record_at(w, w->first);
        *ret_cursor = (struct relay_cursor){r->pos, count_settled(r, &prefix)};
    }
    if (ret_before == NULL) return;
    *ret_before = w->before;
    fates_add(ret_before, &prefix);
}

/* In a record that is settled in part, every settled term of the account was taken. */
struct relay_cursor
window_saved_cursor(struct window *w, struct fates *ret_before)
{
    struct relay_cursor cursor;
    window_cursor(w, &cursor, ret_before);
    if (is_fill_pos(cursor.pos)) cursor = (struct relay_cursor){.pos = cursor.pos + cursor.index};
    return cursor;
}

uint64_t
window_taken_before(const struct window *w, enum item_kind kind)
{
    uint64_t taken = w->taken_before[kind];
    if (w->first == w->next || record_at(w, w->first)->kind != kind) return taken;
    struct fates prefix = {{{0}}};
    count_settled(record_at(w, w->first), &prefix);
    return taken + fates_settled(&prefix, kind);
}

uint64_t
window_segment(const struct window *w)
{
    return w->first == w->next ? 0 : record_at(w, w->first)->segment;
}

int64_t
window_oldest_ms(const struct window *w)
{
    return w->first == w->next ? 0 : record_at(w, w->first)->realtime_ms;
}

void
window_validate(const struct window *w)
{
    struct fates all = w->before;
    uint64_t open[ITEM_KIND_COUNT] = {0}, held[ITEM_KIND_COUNT] = {0};
    uint64_t repeats[ITEM_KIND_COUNT] = {0}, pos = w->cursor.pos;
    for (uint64_t i = w->first; i < w->next; i++) {
        const struct window_record *r = record_at(w, i);
        assert(r->pos >= pos); /* invariant 5 */
        pos = r->pos;
        uint32_t is_open = 0;
        for (uint32_t k = 0; k < r->count; k++) {
            uint8_t fate = r->fates == NULL ? r->fate : r->fates[k];
            is_open += fate == FATE_OPEN;
            all.count[r->kind][fate] += fate != FATE_OPEN;
        }
        assert(is_open == r->open);    /* invariant 1 */
        assert(r->repeats <= r->open); /* invariant 2 */
        open[r->kind] += r->open;
        held[r->kind] += r->count;
        repeats[r->kind] += r->repeats;
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        assert(open[kind] == w->open[kind]);                            /* invariant 1 */
        assert(repeats[kind] + w->debt[kind] == w->repeats_open[kind]); /* invariant 2 */
        assert(held[kind] == w->held[kind]);                            /* invariant 4 */
    }
    assert(memcmp(&all, &w->all, sizeof all) == 0); /* invariant 3 */
}
