/*
 * column.c - see column.h.
 *
 * One struct serves two purposes. A column that an operator fills (column_init()) owns arrays with
 * an item for each step, and is cleared for each series. A column that is kept (columns_add()) lies
 * in an arena with others and has room from its first step to its last one only: most series of a
 * long query exist for a short part of it.
 *
 * Invariants:
 *
 *  1. Bits of `present` at or after the number of steps are 0.
 *  2. The room of a kept column lies within the steps and includes those that are present.
 *  3. The histograms of a filled column lie in its `room`; NULL if it has none.
 *  4. held->now counts the samples of each column that is kept.
 *  5. A table of columns has each of them once.
 */
#include "promql/eval/column.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"

uint32_t
bits_search(const uint64_t *bits, uint32_t step, uint32_t steps)
{
    if (step >= steps) return steps;
    size_t word = step / 64, words = bits_words(steps);
    uint64_t left = bits[word] >> step % 64 << step % 64;
    while (left == 0) {
        if (++word == words) return steps;
        left = bits[word];
    }
    return (uint32_t)word * 64 + (uint32_t)__builtin_ctzll(left);
}

uint32_t
bits_end(const uint64_t *bits, uint32_t steps)
{
    size_t word = bits_words(steps);
    while (word > 0 && bits[word - 1] == 0)
        word--;
    return word == 0 ? 0 : (uint32_t)(word * 64) - (uint32_t)__builtin_clzll(bits[word - 1]);
}

uint32_t
bits_count(const uint64_t *bits, uint32_t steps)
{
    uint32_t count = 0;
    for (size_t i = 0; i < bits_words(steps); i++)
        count += (uint32_t)__builtin_popcountll(bits[i]);
    return count;
}

bool
bits_meet(const uint64_t *a, const uint64_t *b, uint32_t steps)
{
    for (size_t i = 0; i < bits_words(steps); i++)
        if ((a[i] & b[i]) != 0) return true;
    return false;
}

void
bits_add(uint64_t *to, const uint64_t *from, uint32_t steps)
{
    for (size_t i = 0; i < bits_words(steps); i++)
        to[i] |= from[i];
}

/* --- room ------------------------------------------------------------------------------------- */

struct step_room
room_of(const uint64_t *bits, uint32_t steps)
{
    uint32_t end = bits_end(bits, steps);
    assert(end <= steps); /* invariant 1 */
    return (struct step_room){bits_next(bits, 0, end), end};
}

bool
room_widen(struct step_room *room, struct step_room more, uint32_t steps)
{
    struct step_room was = *room;
    if (more.end == 0) return false;
    assert(more.first < more.end);
    assert(more.end <= steps); /* invariant 2 */
    if (was.end == 0) {
        *room = more;
        return true;
    }
    if (more.first >= was.first && more.end <= was.end) return false;
    if (more.first < was.first) room->first = more.first;
    if (more.end > was.end) room->end = more.end;
    uint32_t spare = room->end - room->first;
    if (more.first < was.first) room->first -= room->first < spare ? room->first : spare;
    if (more.end > was.end) room->end += steps - room->end < spare ? steps - room->end : spare;
    assert(room->first <= more.first); /* invariant 2 */
    assert(room->end >= more.end);     /* invariant 2 */
    return true;
}

void *
room_list(struct arena *arena, struct step_room room, const void *from, struct step_room before,
          size_t item_bytes)
{
    assert(room.first <= room.end);
    assert(before.end == 0 || before.first >= room.first); /* a room only grows */
    assert(before.end <= room.end);
    uint8_t *list = arena_new(arena, (room.end - room.first) * item_bytes);
    if (list == NULL) return NULL;
    size_t skipped = room.first * item_bytes, bytes = (before.end - before.first) * item_bytes;
    if (before.end > 0) {
        const uint8_t *old = (const uint8_t *)((uintptr_t)from + before.first * item_bytes);
        memcpy(list + (before.first - room.first) * item_bytes, old, bytes);
    }
    return (void *)((uintptr_t)list - skipped);
}

/* --- columns ---------------------------------------------------------------------------------- */

static size_t
values_bytes(uint32_t steps)
{
    return steps * sizeof(double);
}

static size_t
present_bytes(uint32_t steps)
{
    return bits_words(steps) * sizeof(uint64_t);
}

enum err
column_init(struct column *c, struct budget *budget, uint32_t steps)
{
    *c = (struct column){.labels = bytes_of(NULL, 0)};
    c->values = mem_alloc(budget, values_bytes(steps));
    c->present = mem_new(budget, present_bytes(steps));
    if (c->values != NULL && c->present != NULL) return OK;
    column_fini(c, budget, steps);
    return ERR_NOMEM;
}

void
column_fini(struct column *c, struct budget *budget, uint32_t steps)
{
    if (c->values != NULL) mem_free(budget, c->values, values_bytes(steps));
    if (c->present != NULL) mem_free(budget, c->present, present_bytes(steps));
    if (c->room != NULL) mem_free(budget, c->room, steps * sizeof *c->room);
    *c = (struct column){.labels = bytes_of(NULL, 0)};
}

void
column_clear(struct column *c, uint32_t steps)
{
    memset(c->present, 0, present_bytes(steps));
    c->drops_name = c->lost_type = false;
    c->histograms = NULL;
}

enum err
column_set_histogram(struct column *c, struct budget *budget, uint32_t steps, uint32_t step,
                     const struct fhist *h)
{
    assert(step < steps);
    if (c->room == NULL) c->room = mem_alloc(budget, steps * sizeof *c->room);
    if (c->room == NULL) return ERR_NOMEM;
    assert(c->histograms == NULL || c->histograms == c->room); /* invariant 3 */
    if (c->histograms == NULL) {
        memset(c->room, 0, steps * sizeof *c->room);
        c->histograms = c->room;
    }
    c->histograms[step] = h;
    bits_set(c->present, step);
    return OK;
}

void
columns_init(struct columns *columns, struct budget *budget, struct held_samples *held)
{
    *columns = (struct columns){.budget = budget, .held = held};
    arena_init(&columns->arena, budget, 0, 0);
}

/* No longer counts the samples of the columns as held. */
static void
column_release(struct columns *columns)
{
    assert(columns->held->now >= columns->samples); /* invariant 4 */
    columns->held->now -= columns->samples;
    columns->samples = 0;
}

void
columns_fini(struct columns *columns)
{
    array_free(columns->budget, columns->items, columns->capacity);
    table_fini(&columns->table, columns->budget);
    arena_fini(&columns->arena);
    if (columns->held != NULL) column_release(columns);
    columns->items = NULL;
    columns->count = columns->capacity = 0;
}

void
columns_clear(struct columns *columns)
{
    column_release(columns);
    columns->count = 0;
    arena_reset(&columns->arena);
}

enum err
columns_add_bits(struct columns *columns, const struct column *c, uint32_t steps)
{
    struct column copy = {.drops_name = c->drops_name, .lost_type = c->lost_type};
    if (!array_reserve(columns->budget, &columns->items, &columns->capacity, columns->count + 1))
        return ERR_NOMEM;
    copy.labels = arena_copy(&columns->arena, c->labels);
    copy.present = arena_alloc(&columns->arena, present_bytes(steps));
    if ((copy.labels.at == NULL && c->labels.size > 0) || copy.present == NULL) return ERR_NOMEM;
    memcpy(copy.present, c->present, present_bytes(steps));
    columns->items[columns->count++] = copy;
    return OK;
}

static void
hold(struct columns *columns, uint64_t samples)
{
    columns->samples += samples; /* invariant 4 */
    columns->held->now += samples;
}

static enum err
column_make_room(struct columns *columns, struct column *c, struct step_room room)
{
    c->values = room_list(&columns->arena, room, c->values, c->kept, sizeof *c->values);
    if (c->histograms != NULL) {
        c->histograms =
            room_list(&columns->arena, room, c->histograms, c->kept, sizeof *c->histograms);
        if (c->histograms == NULL) return ERR_NOMEM;
    }
    c->kept = room;
    return c->values == NULL ? ERR_NOMEM : OK;
}

static enum err
keep_histograms(struct columns *columns, struct column *to, const struct column *c, uint32_t steps)
{
    if (c->histograms == NULL) return OK;
    if (to->histograms == NULL) {
        to->histograms = room_list(&columns->arena, to->kept, NULL, (struct step_room){0, 0},
                                   sizeof *to->histograms);
        if (to->histograms == NULL) return ERR_NOMEM;
    }
    for (bits_each(i, c->present, steps)) {
        if (c->histograms[i] == NULL) continue;
        to->histograms[i] = fhist_keep(&columns->arena, c->histograms[i]);
        if (to->histograms[i] == NULL) return ERR_NOMEM;
        hold(columns, c->histograms[i]->weight);
    }
    return OK;
}

enum err
columns_add(struct columns *columns, const struct column *c, uint32_t steps)
{
    if (columns_add_bits(columns, c, steps)) return ERR_NOMEM;
    struct column *kept = &columns->items[columns->count - 1];
    struct step_room room = room_of(c->present, steps);
    if (room.end == 0) return OK; /* the list has no items */
    if (column_make_room(columns, kept, room)) return ERR_NOMEM;
    memcpy(kept->values + room.first, c->values + room.first,
           (room.end - room.first) * sizeof *c->values);
    hold(columns, bits_count(c->present, steps));
    return keep_histograms(columns, kept, c, steps);
}

enum err
columns_index(struct columns *columns)
{
    assert(columns->count > 0);
    if (!table_reserve(&columns->table, columns->budget, 1)) return ERR_NOMEM;
    uint32_t last = columns->count - 1;
    table_add(&columns->table, hash_bytes(columns->items[last].labels, 0), last);
    assert(columns->table.count == columns->count); /* invariant 5 */
    return OK;
}

struct column *
columns_find(const struct columns *columns, struct bytes labels)
{
    uint64_t hash = hash_bytes(labels, 0);
    for (uint32_t at = TABLE_START, id; table_next(&columns->table, hash, &at, &id);)
        if (bytes_equal(columns->items[id].labels, labels)) return &columns->items[id];
    return NULL;
}

void
column_validate(const struct column *c, uint32_t steps)
{
    struct step_room present = room_of(c->present, steps); /* asserts invariant 1 */
    if (c->kept.end == 0) return;
    assert(c->kept.first < c->kept.end);                        /* invariant 2 */
    assert(c->kept.end <= steps);                               /* invariant 2 */
    assert(present.end == 0 || present.first >= c->kept.first); /* invariant 2 */
    assert(present.end <= c->kept.end);                         /* invariant 2 */
}

enum err
columns_join(struct columns *columns, struct column *to, const struct column *c, uint32_t steps)
{
    struct step_room room = to->kept, more = room_of(c->present, steps);
    assert(to >= columns->items);
    assert(to < columns->items + columns->count);
#ifdef LOCK_CHECK
    column_validate(to, steps);
#endif
    if (more.end == 0) return OK;
    if (room_widen(&room, more, steps) && column_make_room(columns, to, room)) return ERR_NOMEM;
    for (bits_each(i, c->present, steps))
        to->values[i] = c->values[i];
    bits_add(to->present, c->present, steps);
    hold(columns, bits_count(c->present, steps));
    return keep_histograms(columns, to, c, steps);
}
