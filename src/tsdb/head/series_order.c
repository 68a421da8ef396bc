/*
 * series_order.c - see series_order.h. Comparing labels by their bytes was a third of a flush: each
 * comparison walks scattered memory. Here a series shows two of its pairs at a time as one number;
 * those who share these are sorted by the next two.
 */
#include "tsdb/head/series_order.h"

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
           uint32_t *pair_numbers, struct buf *ret_pairs)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct series_pairs *row = registry_series(registry, ids[i])->pairs;
        for (uint32_t p = 0; p < row->count; p++) {
            if (pair_numbers[row->ids[p]] != NO_NUMBER) continue;
            pair_numbers[row->ids[p]] = 0;
            buf_put_le32(ret_pairs, row->ids[p]);
        }
    }
    return buf_error(ret_pairs);
}

enum err
pairs_number(const struct registry *registry, const uint32_t *ids, uint32_t count,
             uint32_t *pair_numbers, struct buf *ret_pairs)
{
    enum err e = list_pairs(registry, ids, count, pair_numbers, ret_pairs);
    if (e || ret_pairs->size == 0) return e;
    uint32_t *pairs = (uint32_t *)(void *)ret_pairs->at;
    uint32_t pair_count = (uint32_t)(ret_pairs->size / sizeof *pairs);
    sorting = registry;
    qsort(pairs, pair_count, sizeof *pairs, by_label);
    for (uint32_t i = 0; i < pair_count; i++) {
        pair_numbers[pairs[i]] = i;
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
            uint32_t count, struct budget *budget)
{
    if (count < 2) return OK;
    size_t size = count * sizeof(struct order_key);
    struct sorting s = {registry, pair_numbers, mem_alloc(budget, size), mem_alloc(budget, size)};
    enum err e = s.keys == NULL || s.spare == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        s.keys[i].id = ids[i];
    }
    if (e == OK) sort_from(&s, 0, count, 0);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        ids[i] = s.keys[i].id;
    }
    mem_free(budget, s.keys, size);
    mem_free(budget, s.spare, size);
    return e;
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
    struct buf pairs;
    size_t size = pair_count * sizeof(uint32_t);
    uint32_t *numbers = mem_alloc(budget, size);
    enum err e = numbers == NULL ? ERR_NOMEM : OK;
    buf_init(&pairs, budget, size + 1);
    if (e == OK) memset(numbers, 0xff, size);
    if (e == OK) e = pairs_number(registry, ids, count, numbers, &pairs);
    if (e == OK) e = series_sort(registry, numbers, ids, count, budget);
    buf_fini(&pairs);
    mem_free(budget, numbers, size);
    return e;
}
