/*
 * series_order.c - see series_order.h. Comparing labels by their bytes was a third of a flush: each
 * comparison walks scattered memory. Here series are sorted by two of their pairs at a time, as one
 * number; those with equal pairs are sorted by the next two.
 */
#include "tsdb/head/series_order.h"

#include "base/array.h"

#include <assert.h>
#include <stdlib.h>

/* --- texts ------------------------------------------------------------------------------------ */

/*
 * Sorts texts by the eight bytes after their common prefix, as a number; those with
 * equal bytes by the next eight, and few texts, or texts that end there, by comparing.
 */

enum { RADIX_WORTH = 2048 };

/* `spare` has room for `count` keys. */
static void
order_by_key(struct order_key *keys, struct order_key *spare, uint32_t count)
{
    void *sorted = radix_sort(keys, spare, count, sizeof *keys, 0, RADIX_WORTH);
    if (sorted != keys) memcpy(keys, sorted, count * sizeof *keys);
}

enum { KEYS_WORTH = 32, DEPTH_MAX = 16 };

static struct bytes
text_order_at(const struct order_texts *x, const struct order_key *key)
{
    return x->text_of(x->context, key->id);
}

static int
by_text(const void *a, const void *b, void *texts)
{
    return bytes_compare(text_order_at(texts, a), text_order_at(texts, b));
}

/* The next eight bytes as a number; a shorter text is filled up with zeros, and then compared. */
static uint64_t
eight_from(struct bytes text, size_t at)
{
    uint8_t bytes[8] = {0};
    size_t left = text.size - at;
    memcpy(bytes, text.at + at, left < sizeof bytes ? left : sizeof bytes);
    return __builtin_bswap64(load_le64(bytes));
}

/* The bytes before `from` are equal in all of them. */
static void
sort_texts_from(const struct order_texts *x, struct order_key *keys, struct order_key *spare,
                uint32_t count, size_t from, unsigned depth)
{
    if (count < KEYS_WORTH || depth == DEPTH_MAX) {
        qsort_r(keys, count, sizeof *keys, by_text, (void *)(uintptr_t)x);
        return;
    }
    struct bytes first = text_order_at(x, &keys[0]);
    size_t start = first.size;
    for (uint32_t i = 1; i < count; i++) {
        struct bytes text = text_order_at(x, &keys[i]);
        size_t at = from, most = text.size < start ? text.size : start;
        while (at < most && text.at[at] == first.at[at])
            at++;
        start = at;
    }
    for (uint32_t i = 0; i < count; i++)
        keys[i].key = eight_from(text_order_at(x, &keys[i]), start);
    order_by_key(keys, spare, count);
    for (uint32_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && keys[i + run].key == keys[i].key; run++) {
        }
        bool go_on = run >= KEYS_WORTH;
        for (uint32_t k = i; k < i + run && go_on; k++)
            go_on = text_order_at(x, &keys[k]).size > start + 8;
        if (run > 1)
            sort_texts_from(x, keys + i, spare + i, run, start + 8, go_on ? depth + 1 : DEPTH_MAX);
    }
}

void
order_by_text(const struct order_texts *texts, struct order_key *keys, struct order_key *spare,
              uint32_t count)
{
    if (count > 1) sort_texts_from(texts, keys, spare, count, 0, 0);
}

enum { NO_NUMBER = UINT32_MAX };

/* --- labels ----------------------------------------------------------------------------------- */

/* Pairs of one name, one after another. */
struct name_run {
    uint32_t name;
    uint32_t begin;
    uint32_t count;
};

struct name_runs {
    const struct registry *registry;
    struct name_run *items;
    struct order_key *order; /* order of the items, and room for as many */
    uint32_t count;
    uint32_t capacity;
};

static struct bytes
name_of_run(const void *context, uint32_t id)
{
    const struct name_runs *runs = context;
    return registry_name(runs->registry, runs->items[id].name)->text;
}

static struct bytes
value_of_pair(const void *registry, uint32_t id)
{
    return pair_label(registry_pair(registry, id)).value;
}

/* Finds the runs of equal names in pairs sorted by the ids of names, and sorts the runs by name. */
static enum err
order_names(struct name_runs *runs, const struct order_key *pairs, uint32_t count,
            struct budget *budget)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t name = (uint32_t)pairs[i].key;
        if (i == 0 || name != pairs[i - 1].key) {
            if (!array_reserve(budget, &runs->items, &runs->capacity, runs->count + 1u))
                return ERR_NOMEM;
            runs->items[runs->count++] = (struct name_run){name, i, 0};
        }
        runs->items[runs->count - 1].count++;
    }
    runs->order = mem_alloc(budget, 2 * runs->count * sizeof *runs->order);
    if (runs->order == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < runs->count; i++)
        runs->order[i].id = i;
    struct order_texts by_name = {name_of_run, runs};
    order_by_text(&by_name, runs->order, runs->order + runs->count, runs->count);
    return OK;
}

enum err
pairs_number(const struct registry *registry, const uint32_t *ids, uint32_t count,
             uint32_t *pair_numbers, struct buf *ret_pairs, struct query_control *control,
             struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct series_pairs *row = registry_series(registry, ids[i])->pairs;
        for (uint32_t p = 0; p < row->count; p++) {
            if (pair_numbers[row->ids[p]] != NO_NUMBER) continue;
            pair_numbers[row->ids[p]] = 0;
            buf_put_le32(ret_pairs, row->ids[p]);
        }
    }
    enum err e = buf_error(ret_pairs);
    if (e || ret_pairs->size == 0) return e;
    struct budget *budget = ret_pairs->budget;
    struct name_runs runs = {.registry = registry};
    struct order_texts by_value = {value_of_pair, registry};
    uint32_t *pairs = (uint32_t *)(void *)ret_pairs->at, at = 0;
    uint32_t pair_count = (uint32_t)(ret_pairs->size / sizeof *pairs);
    size_t size = 2 * (size_t)pair_count * sizeof(struct order_key);
    struct order_key *keys = mem_alloc(budget, size);
    if (keys == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < pair_count; i++)
        keys[i] = (struct order_key){registry_pair_use(registry, pairs[i])->name, pairs[i]};
    order_by_key(keys, keys + pair_count, pair_count);
    e = order_names(&runs, keys, pair_count, budget);
    for (uint32_t n = 0; n < runs.count && e == OK; n++) {
        const struct name_run *run = &runs.items[runs.order[n].id];
        struct order_key *values = keys + run->begin;
        order_by_text(&by_value, values, keys + pair_count, run->count);
        for (uint32_t i = 0; i < run->count; i++, at++) {
            pairs[at] = values[i].id;
            pair_numbers[pairs[at]] = at;
        }
        e = query_control_check(control, why);
    }
    assert(e || at == pair_count);
    mem_free(budget, runs.order, 2 * runs.count * sizeof *runs.order);
    array_free(budget, runs.items, runs.capacity);
    mem_free(budget, keys, size);
    return e;
}

/* --- series ----------------------------------------------------------------------------------- */

struct sorting {
    const struct registry *registry;
    const uint32_t *pair_numbers;
    struct order_key *keys; /* numbers of two pairs, each plus 1; 0 after the last pair */
    struct order_key *spare;
};

/* Sorts series [from, from + count), which have equal pairs before `at`. */
static void
sort_from(struct sorting *s, uint32_t from, uint32_t count, uint32_t at)
{
    struct order_key *k = s->keys + from;
    for (uint32_t i = 0; i < count; i++) {
        const struct series_pairs *row = registry_series(s->registry, k[i].id)->pairs;
        uint64_t first = 0, second = 0;
        if (at < row->count) first = s->pair_numbers[row->ids[at]] + UINT64_C(1);
        if (at + 1 < row->count) second = s->pair_numbers[row->ids[at + 1]] + UINT64_C(1);
        k[i].key = first << 32 | second;
    }
    order_by_key(k, s->spare + from, count);
    for (uint32_t i = 0, run; i < count; i += run) {
        uint64_t two = k[i].key;
        for (run = 1; i + run < count && k[i + run].key == two; run++) {
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
    for (uint32_t i = 0; i < count && e == OK; i++)
        s.keys[i].id = ids[i];
    if (e == OK) sort_from(&s, 0, count, 0);
    for (uint32_t i = 0; i < count && e == OK; i++)
        ids[i] = s.keys[i].id;
    mem_free(budget, s.keys, size);
    mem_free(budget, s.spare, size);
    return e;
}

/* --- few series ------------------------------------------------------------------------------- */

static int
by_labels(const void *a, const void *b, void *context)
{
    const struct registry *r = context;
    return series_compare(r, registry_series(r, *(const uint32_t *)a),
                          registry_series(r, *(const uint32_t *)b));
}

enum { FEW_SHARE = 64 };

/* Numbers take memory for each pair of the registry, so few series are sorted without. */
enum err
series_order(const struct registry *registry, uint32_t pair_count, uint32_t *ids, uint32_t count,
             struct budget *budget, struct query_control *control, struct why *why)
{
    if (count < 2) return OK;
    if (count < pair_count / FEW_SHARE) {
        qsort_r(ids, count, sizeof *ids, by_labels, (void *)(uintptr_t)registry);
        return OK;
    }
    struct buf pairs;
    size_t size = pair_count * sizeof(uint32_t);
    uint32_t *numbers = mem_alloc(budget, size);
    enum err e = numbers == NULL ? ERR_NOMEM : OK;
    buf_init(&pairs, budget, size + 1);
    if (e == OK) memset(numbers, 0xff, size);
    if (e == OK) e = pairs_number(registry, ids, count, numbers, &pairs, control, why);
    if (e == OK) e = series_sort(registry, numbers, ids, count, budget);
    if (e == OK) e = query_control_check(control, why);
    buf_fini(&pairs);
    mem_free(budget, numbers, size);
    return e;
}
