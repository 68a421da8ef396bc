/*
 * kept_series.c - see kept_series.h.
 *
 * Invariants:
 *  1. Places follow each other in `text` without gaps, and the last one ends where the text ends.
 *  2. No two places have the same labels; `table` has each place once, by its hash.
 */
#include "rules/group/kept_series.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"

#define TEXT_BYTES_MAX ((size_t)4 << 30)

void
kept_series_init(struct kept_series *k, struct budget *budget, uint64_t seed)
{
    *k = (struct kept_series){.budget = budget, .seed = seed};
    buf_init(&k->text, budget, TEXT_BYTES_MAX);
}

void
kept_series_fini(struct kept_series *k)
{
    buf_fini(&k->text);
    array_free(k->budget, k->places, k->capacity);
    table_fini(&k->table, k->budget);
}

struct bytes
kept_series_at(const struct kept_series *k, uint32_t index)
{
    assert(index < k->count);
    if (k->text.size == 0) return bytes_of("", 0); /* the only series has no labels */
    return bytes_of(k->text.at + k->places[index].at, k->places[index].size);
}

static bool
kept_series_look_up(const struct kept_series *k, struct bytes labels, uint64_t hash,
                    uint32_t *ret_index)
{
    for (uint32_t at = TABLE_START; table_next(&k->table, hash, &at, ret_index);)
        if (bytes_equal(kept_series_at(k, *ret_index), labels)) return true;
    return false;
}

bool
kept_series_find(const struct kept_series *k, struct bytes labels, uint32_t *ret_index)
{
    return k->count > 0 && kept_series_look_up(k, labels, hash_bytes(labels, k->seed), ret_index);
}

bool
kept_series_has(const struct kept_series *k, struct bytes labels)
{
    uint32_t index;
    return kept_series_find(k, labels, &index);
}

enum err
kept_series_add(struct kept_series *k, struct bytes labels, bool *ret_new)
{
    uint64_t hash = hash_bytes(labels, k->seed);
    uint32_t index;
    *ret_new = !kept_series_look_up(k, labels, hash, &index);
    if (!*ret_new) return OK;
    if (!array_reserve(k->budget, &k->places, &k->capacity, (size_t)k->count + 1) ||
        !table_reserve(&k->table, k->budget, 1))
        return ERR_NOMEM;
    struct kept_place place = {k->text.size, (uint32_t)labels.size};
    buf_put_bytes(&k->text, labels);
    enum err e = buf_error(&k->text);
    k->text.failed = OK; /* the next one may get memory */
    if (e) {
        assert(k->text.size == place.at); /* invariant 1 */
        return e;
    }
    assert(k->text.size == place.at + place.size); /* invariant 1 */
    k->places[k->count] = place;
    table_add(&k->table, hash, k->count++);
    assert(k->table.count == k->count); /* invariant 2 */
    return OK;
}

enum err
kept_series_add_all(struct kept_series *k, const struct kept_series *more)
{
    enum err e = OK;
    bool is_new;
    for (uint32_t i = 0; e == OK && i < more->count; i++)
        e = kept_series_add(k, kept_series_at(more, i), &is_new);
    return e;
}

void
kept_series_mark(const struct kept_series *k, const struct kept_series *others, bool *which)
{
    uint32_t index;
    if (others->count < k->count) {
        for (uint32_t i = 0; i < others->count; i++)
            if (kept_series_find(k, kept_series_at(others, i), &index)) which[index] = true;
        return;
    }
    for (uint32_t i = 0; i < k->count; i++)
        which[i] |= kept_series_has(others, kept_series_at(k, i));
}
