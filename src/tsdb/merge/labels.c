/*
 * labels.c - labels and series of a tenant in the order of the output.
 *
 * The inputs' label values are merged once, name by name, which gives every pair of an input its
 * number in the output. After that labels are not needed: these numbers ascend with the labels, so
 * series are in label order exactly if their lists of numbers are.
 *
 * A tenant that only one input has needs no list of numbers: pairs keep their order, so a pair's
 * number is the number of used ones before it.
 *
 * The order of an input's pairs and rows is checked on the way, since the writer relies on it. The
 * invariants are those of parts.c.
 */
#include <assert.h>

#include "base/heap.h"
#include "tsdb/merge/parts_private.h"

enum { NO_PAIR = UINT32_MAX, RANK_PAIRS = 512, RANK_WORDS = RANK_PAIRS / 64 };

/* --- a heap of sources ------------------------------------------------------------------------ */

typedef int (*source_order)(const struct merge_source *a, const struct merge_source *b);

static bool
comes_before(source_order order, const struct merge_source *a, const struct merge_source *b)
{
    int o = order(a, b);
    return o != 0 ? o < 0 : a->number < b->number;
}

static void
heap_push(struct source_heap *h, source_order order, struct merge_source *s)
{
    heap_up(h->at, h->count++, s, comes_before(order, *a, *b));
}

/* Moves the sources equal to the top of the heap into the group, by arrival. */
static void
heap_pop_group(struct part_merge *m, source_order order)
{
    m->group_count = 0;
    do {
        assert(m->heap.count > 0);
        assert(m->group_count < m->source_count); /* invariant 2 */
        assert(m->group_count == 0 ||
               m->group[m->group_count - 1]->number < m->heap.at[0]->number); /* invariant 3 */
        m->group[m->group_count++] = m->heap.at[0];
        struct source_heap *h = &m->heap;
        h->count--;
        heap_down(h->at, h->count, 0, h->at[h->count], comes_before(order, *a, *b));
    } while (m->heap.count > 0 && order(m->group[0], m->heap.at[0]) == 0);
}

/* --- pairs ------------------------------------------------------------------------------------ */

static int
by_value(const struct merge_source *a, const struct merge_source *b)
{
    return bytes_compare(buf_bytes(&a->values.value), buf_bytes(&b->values.value));
}

/* Moves a source to its next used pair of the name, and pushes it into the heap. */
static enum err
value_next(struct part_merge *m, struct merge_source *s)
{
    for (; s->pair < s->pair_end; s->pair++) {
        m->work++;
        enum err e = value_walk_get(&s->values, s->pair, &m->why);
        if (e) return merge_source_error(m, s, e);
        if (s->used != NULL && !bit_get(s->used, s->pair - s->tenant->first_pair)) continue;
        heap_push(&m->heap, by_value, s);
        return OK;
    }
    return OK;
}

/* Begins the next name that any source has; if none has one, all pairs are done. */
static enum err
name_next(struct part_merge *m, bool *ret_done)
{
    const struct bytes *first = NULL;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct merge_source *s = &m->sources[i];
        if (!s->active || s->next_name == s->index.name_count) continue;
        const struct bytes *name = &s->index.names[s->next_name].name;
        if (first == NULL || bytes_compare(*name, *first) < 0) first = name;
    }
    *ret_done = first == NULL;
    if (first == NULL) return OK;
    m->name = *first;
    m->has_value = false;
    for (uint32_t i = 0; i < m->source_count; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->active || s->next_name == s->index.name_count) continue;
        const struct part_name *name = &s->index.names[s->next_name];
        if (!bytes_equal(name->name, m->name)) continue;
        s->next_name++;
        s->pair = name->first_pair;
        s->pair_end = name->first_pair + name->pair_count;
        enum err e = value_next(m, s);
        if (e) return e;
    }
    return OK;
}

/* Writes the value on top of the heap, whose number all sources that have it get. */
static enum err
value_out(struct part_merge *m)
{
    heap_pop_group(m, by_value);
    struct bytes value = buf_bytes(&m->group[0]->values.value);
    if (value.size == 0 || (m->has_value && bytes_compare(buf_bytes(&m->value), value) >= 0)) {
        struct merge_source *s = m->group[0];
        return merge_source_error(m, s,
                                  part_damaged(s->part, s->values.offset, "label values", &m->why));
    }
    enum err e = part_write_pair(m->writer, (struct label){m->name, value}, &m->why);
    if (e) return e;
    m->has_value = true;
    buf_clear(&m->value);
    buf_put_bytes(&m->value, value);
    if (buf_error(&m->value)) return buf_error(&m->value);
    for (uint32_t i = 0; i < m->group_count; i++) {
        struct merge_source *s = m->group[i];
        if (s->numbers != NULL) s->numbers[s->pair - s->tenant->first_pair] = m->pair_count;
        s->pair++;
        e = value_next(m, s);
        if (e) return e;
    }
    m->pair_count++;
    return OK;
}

/* The number of a pair in the output; NO_PAIR if no series that stays was known to have it. */
static inline uint32_t
number_of(const struct merge_source *s, uint32_t pair)
{
    if (s->numbers != NULL) return s->numbers[pair];
    if (s->used == NULL) return pair;
    if (!bit_get(s->used, pair)) return NO_PAIR;
    uint32_t number = s->ranks[pair / RANK_PAIRS];
    for (uint32_t i = pair / RANK_PAIRS * RANK_WORDS; i < pair / 64; i++) {
        number += (uint32_t)__builtin_popcountll(s->used[i]);
    }
    uint64_t before = s->used[pair / 64] & ((UINT64_C(1) << pair % 64) - 1);
    return number + (uint32_t)__builtin_popcountll(before);
}

static enum err
source_pairs_begin(struct part_merge *m, struct merge_source *s, bool alone)
{
    uint32_t pair_count = s->tenant->pair_count, used = 0;
    uint32_t words = (uint32_t)(((uint64_t)pair_count + 63) / 64);
    s->numbers = s->ranks = NULL;
    if (!alone) {
        size_t size = (pair_count + 1u) * sizeof *s->numbers;
        s->numbers = arena_alloc(&m->tenant_arena, size);
        if (s->numbers == NULL) return ERR_NOMEM;
        memset(s->numbers, 0xff, size);
    } else if (s->used != NULL) { /* without `used` the part uses all pairs */
        s->ranks = arena_alloc(&m->tenant_arena, (words / RANK_WORDS + 1u) * sizeof *s->ranks);
        if (s->ranks == NULL) return ERR_NOMEM;
        for (uint32_t i = 0; i < words; i++) {
            if (i % RANK_WORDS == 0) s->ranks[i / RANK_WORDS] = used;
            used += (uint32_t)__builtin_popcountll(s->used[i]);
        }
    }
    s->next_name = 0;
    s->row = 0;
    buf_clear(&s->pairs);
    if (m->has_rules) return OK; /* the walk has loaded the index */
    return merge_source_error(
        m, s, part_index_load(s->part, s->tenant, &m->tenant_arena, &s->index, &m->why));
}

/* Begins to write the tenant, unless none of its data stay. The first such tenant opens the
 * writer. */
enum err
merge_pairs_begin(struct part_merge *m)
{
    const struct part_merge_options *o = &m->options;
    bool any = false;
    uint32_t active = 0;
    enum err e = OK;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct part_tenant *t = m->sources[i].tenant;
        any |= o->with_metadata && t != NULL && t->metadata_page != 0;
        active += m->sources[i].active;
    }
    for (uint32_t i = 0; i < m->source_count && e == OK; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->active) continue;
        any = true;
        e = source_pairs_begin(m, s, active == 1);
    }
    m->phase = any ? PHASE_PAIRS : PHASE_TENANT_END;
    m->heap.count = 0;
    m->pair_count = m->series_count = 0;
    if (e || !any) return e;
    if (m->writer == NULL) {
        e = part_writer_new(o->env, m->budget, o->parts_dir, o->number, o->from_pos, o->to_pos,
                            &m->writer, &m->why);
        if (e) return e;
        part_writer_set_level(m->writer, o->level);
        if (o->writer_bytes != 0) part_writer_set_memory(m->writer, o->writer_bytes);
    }
    return part_write_tenant(m->writer, m->tenant, &m->why);
}

/* --- series ----------------------------------------------------------------------------------- */

static int
compare_lists(const struct buf *a, const struct buf *b)
{
    const uint32_t *x = (const uint32_t *)(const void *)a->at;
    const uint32_t *y = (const uint32_t *)(const void *)b->at;
    size_t common = (a->size < b->size ? a->size : b->size) / sizeof *x;
    for (size_t i = 0; i < common; i++) {
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    }
    return (a->size > b->size) - (a->size < b->size);
}

static int
by_pairs(const struct merge_source *a, const struct merge_source *b)
{
    return compare_lists(&a->pairs, &b->pairs);
}

/* Translates the pairs of the row that was read last into numbers of the output. ERR_CORRUPT: rows
 * are not in order. */
static enum err
row_numbers(struct merge_source *s, struct why *why)
{
    const uint32_t *pairs;
    uint32_t count;
    bool known = true;
    struct buf before = s->pairs_before;
    s->pairs_before = s->pairs;
    s->pairs = before;
    buf_clear(&s->pairs);
    row_pairs(s->rows, &pairs, &count);
    if (!buf_reserve(&s->pairs, count * sizeof *pairs)) return buf_error(&s->pairs);
    uint32_t *to = (uint32_t *)(void *)s->pairs.at;
    for (uint32_t i = 0; i < count; i++) {
        to[i] = number_of(s, pairs[i] - s->tenant->first_pair);
        known &= to[i] != NO_PAIR;
    }
    s->pairs.size = count * sizeof *pairs;
    if (known && (s->row == 0 || compare_lists(&s->pairs_before, &s->pairs) < 0)) return OK;
    return part_damaged(s->part, 0, "row order", why);
}

/* Moves a source to its next series that stays, from s->row on, and pushes it into the heap. */
static enum err
row_next(struct part_merge *m, struct merge_source *s)
{
    const struct part_tenant *t = s->tenant;
    assert(s->row <= t->series_count);
    while (s->row < t->series_count && !s->whole && !bit_get(s->live, s->row)) {
        s->row++;
    }
    if (s->row == t->series_count) return OK;
    m->work += ROW_WORK;
    enum err e =
        row_read(s->rows, t->first_series + s->row, NULL, &s->blocks, &s->block_count, &m->why);
    if (e == OK) e = row_numbers(s, &m->why);
    if (e == OK) e = merge_hidden(m, s, s->row);
    if (e) return merge_source_error(m, s, e);
    heap_push(&m->heap, by_pairs, s);
    return OK;
}

static enum err
series_begin(struct part_merge *m)
{
    m->phase = PHASE_SERIES;
    m->group_count = 0;
    for (uint32_t i = 0; i < m->source_count; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->active) continue;
        enum err e = OK;
        if (s->has_exemplars) {
            e = exemplar_walk_enter(&s->exemplars, s->tenant->first_series, &m->why);
        }
        if (e) return merge_source_error(m, s, e);
        e = row_next(m, s);
        if (e) return e;
    }
    return OK;
}

enum err
merge_pair(struct part_merge *m)
{
    m->work += PAIR_WORK;
    if (m->heap.count > 0) return value_out(m);
    bool done;
    enum err e = name_next(m, &done);
    return e == OK && done ? series_begin(m) : e;
}

enum err
merge_next_series(struct part_merge *m)
{
    for (uint32_t i = 0; i < m->group_count; i++) {
        m->group[i]->row++;
        enum err e = row_next(m, m->group[i]);
        if (e) return e;
    }
    m->group_count = 0;
    if (m->heap.count == 0) {
        m->phase = PHASE_TENANT_END;
        return OK;
    }
    heap_pop_group(m, by_pairs);
    assert(m->writer != NULL);
    const struct buf *pairs = &m->group[0]->pairs;
    m->series_count++;
    enum err e = part_write_series(m->writer, (const uint32_t *)(const void *)pairs->at,
                                   (uint32_t)(pairs->size / sizeof(uint32_t)), &m->why);
    return e ? e : merge_samples_begin(m);
}
