/*
 * series_order.c - see series_order.h. Comparing labels by their bytes was a third of a flush: each
 * comparison walks scattered memory. Here a series shows two of its pairs at a time as one number;
 * those who share these are sorted by the next two.
 */
#include "tsdb/series_order.h"

#include <assert.h>
#include <stdlib.h>

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, RADIX_WORTH = 2048 };
enum { NO_NUMBER = UINT32_MAX };

/* --- labels ----------------------------------------------------------------------------------- */

static _Thread_local const struct registry *sorting; /* qsort takes no context */

static int
by_label(const void *a, const void *b)
{
    struct label x = pair_label(registry_pair(sorting, *(const uint32_t *)a));
    struct label y = pair_label(registry_pair(sorting, *(const uint32_t *)b));
    int order = bytes_compare(x.name, y.name);
    return order != 0 ? order : bytes_compare(x.value, y.value);
}

static enum err
list_pairs(const struct registry *registry, const uint32_t *ids, uint32_t count,
           uint32_t *pair_numbers, struct arena *arena, uint32_t **ret_pairs, uint32_t *ret_count)
{
    uint32_t capacity = 256, pair_count = 0;
    uint32_t *pairs = arena_alloc(arena, capacity * sizeof *pairs);
    for (uint32_t i = 0; i < count && pairs != NULL; i++) {
        const struct series_pairs *row = registry_series(registry, ids[i])->pairs;
        for (uint32_t p = 0; p < row->count; p++) {
            if (pair_numbers[row->ids[p]] != NO_NUMBER) continue;
            if (pair_count == capacity) {
                uint32_t *grown = arena_alloc(arena, 2 * capacity * sizeof *grown);
                if (grown == NULL) return ERR_NOMEM;
                memcpy(grown, pairs, pair_count * sizeof *grown);
                pairs = grown;
                capacity *= 2;
            }
            pair_numbers[row->ids[p]] = 0;
            pairs[pair_count++] = row->ids[p];
        }
    }
    *ret_pairs = pairs;
    *ret_count = pair_count;
    return pairs == NULL ? ERR_NOMEM : OK;
}

enum err
pairs_number(const struct registry *registry, const uint32_t *ids, uint32_t count,
             uint32_t *pair_numbers, struct arena *arena, uint32_t **ret_pairs,
             uint32_t *ret_pair_count)
{
    enum err e = list_pairs(registry, ids, count, pair_numbers, arena, ret_pairs, ret_pair_count);
    if (e) return e;
    sorting = registry;
    qsort(*ret_pairs, *ret_pair_count, sizeof **ret_pairs, by_label);
    for (uint32_t i = 0; i < *ret_pair_count; i++) {
        pair_numbers[(*ret_pairs)[i]] = i;
    }
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

struct order_key {
    uint64_t two; /* numbers plus 1; 0: there are no more pairs */
    uint32_t id;
};

struct sorting {
    const struct registry *registry;
    const uint32_t *pair_numbers;
    struct order_key *keys;
    struct order_key *spare;
};

static uint64_t
two_pairs(const struct sorting *s, uint32_t id, uint32_t at)
{
    const struct series_pairs *row = registry_series(s->registry, id)->pairs;
    uint64_t first = 0, second = 0;
    if (at < row->count) first = s->pair_numbers[row->ids[at]] + UINT64_C(1);
    if (at + 1 < row->count) second = s->pair_numbers[row->ids[at + 1]] + UINT64_C(1);
    return first << 32 | second;
}

static int
by_two(const void *a, const void *b)
{
    const struct order_key *x = a, *y = b;
    return (x->two > y->two) - (x->two < y->two);
}

/* Stable, by the bits from `shift` on. */
static void
radix_pass(const struct order_key *from, struct order_key *to, uint32_t count, unsigned shift)
{
    uint32_t starts[RADIX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        starts[from[i].two >> shift & (RADIX - 1)]++;
    }
    for (uint32_t b = 0, at = 0; b < RADIX; b++) {
        uint32_t size = starts[b];
        starts[b] = at;
        at += size;
    }
    for (uint32_t i = 0; i < count; i++) {
        to[starts[from[i].two >> shift & (RADIX - 1)]++] = from[i];
    }
}

static void
sort_keys(struct sorting *s, uint32_t from, uint32_t count)
{
    struct order_key *a = s->keys + from, *b = s->spare + from;
    if (count < RADIX_WORTH) {
        qsort(a, count, sizeof *a, by_two);
        return;
    }
    uint64_t differ = 0;
    for (uint32_t i = 1; i < count; i++) {
        differ |= a[i].two ^ a[0].two;
    }
    for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
        if ((differ >> shift & (RADIX - 1)) == 0) continue;
        radix_pass(a, b, count, shift);
        struct order_key *swap = a;
        a = b;
        b = swap;
    }
    if (a != s->keys + from) memcpy(s->keys + from, a, count * sizeof *a);
}

/* Series [from, from + count) agree in the pairs before `at`. As deep as a series has pairs. */
static void
sort_from(struct sorting *s, uint32_t from, uint32_t count, uint32_t at)
{
    struct order_key *k = s->keys + from;
    for (uint32_t i = 0; i < count; i++) {
        k[i].two = two_pairs(s, k[i].id, at);
    }
    sort_keys(s, from, count);
    for (uint32_t i = 0, run; i < count; i += run) {
        uint64_t two = k[i].two;
        for (run = 1; i + run < count && k[i + run].two == two; run++) {
        }
        if (run == 1) continue;
        assert((uint32_t)two != 0); /* else they would have the same labels */
        sort_from(s, from + i, run, at + 2);
    }
}

enum err
series_sort(const struct registry *registry, const uint32_t *pair_numbers, uint32_t *ids,
            uint32_t count, struct arena *arena)
{
    size_t size = (count + 1u) * sizeof(struct order_key);
    struct sorting s = {registry, pair_numbers, arena_alloc(arena, size), arena_alloc(arena, size)};
    if (s.keys == NULL || s.spare == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        s.keys[i].id = ids[i];
    }
    sort_from(&s, 0, count, 0);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = s.keys[i].id;
    }
    return OK;
}

/* --- few of many ------------------------------------------------------------------------------ */

static int
by_labels(const void *a, const void *b)
{
    return series_compare(sorting, registry_series(sorting, *(const uint32_t *)a),
                          registry_series(sorting, *(const uint32_t *)b));
}

enum { FEW_SHARE = 64 };

/* Numbers take memory for each pair there is: not for a few series. */
enum err
series_order(const struct registry *registry, uint32_t pair_count, uint32_t *ids, uint32_t count,
             struct budget *budget)
{
    if (count < 2) return OK;
    if (count < pair_count / FEW_SHARE) {
        sorting = registry;
        qsort(ids, count, sizeof *ids, by_labels);
        return OK;
    }
    struct arena arena;
    arena_init(&arena, budget, 0, 0);
    uint32_t *pairs, used;
    uint32_t *numbers = arena_alloc(&arena, pair_count * sizeof *numbers);
    enum err e = numbers == NULL ? ERR_NOMEM : OK;
    if (e == OK) memset(numbers, 0xff, pair_count * sizeof *numbers);
    if (e == OK) e = pairs_number(registry, ids, count, numbers, &arena, &pairs, &used);
    if (e == OK) e = series_sort(registry, numbers, ids, count, &arena);
    arena_fini(&arena);
    return e;
}
