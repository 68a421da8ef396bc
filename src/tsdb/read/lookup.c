/*
 * lookup.c - queries for label names, label values and series. For names and values, series of
 * different sources are not merged: each source adds those it has to a set of texts, and no
 * sample is read for that.
 *
 * Invariants of the set:
 *  1. Texts are different, and the first ordered_count of them ascend.
 *  2. With `slots`, the table has all texts, and a free slot. Without, all texts are in order, or
 *     were appended without a look.
 *  3. With `wanted`, at most twice as many texts are kept; `beyond` is then the last that is
 *     wanted.
 */
#include "base/array.h"
#include "base/hash/hash.h"
#include "tsdb/head/series_order.h"
#include "tsdb/part/walk.h"
#include "tsdb/read/select_private.h"

#include <assert.h>
#include <roaring/roaring.h>

/* Different texts; at the end sorted, and the first `wanted` of them returned. */
struct lookup_texts {
    struct budget *budget;
    uint64_t seed;
    struct arena arena;
    struct bytes *items; /* in the order in which they came */
    uint32_t count;
    uint32_t capacity;
    uint32_t ordered_count; /* the first items that ascend */
    uint32_t *slots;        /* index + 1; open addressing; NULL while all came in order */
    uint32_t slot_count;    /* a power of two, or 0 */
    uint32_t wanted;        /* the first in order that are enough; 0 for all */
    struct bytes beyond;    /* this text and later ones are not wanted; at is NULL without limit */
};

static inline bool
texts_want(const struct lookup_texts *texts, struct bytes text)
{
    return texts->beyond.at == NULL || bytes_compare(text, texts->beyond) < 0;
}

/* --- the set of texts ------------------------------------------------------------------------- */

static struct bytes
text_of_item(const void *items, uint32_t id)
{
    return ((const struct bytes *)items)[id];
}

static enum err
sort_texts(struct bytes *items, uint32_t count, struct budget *budget)
{
    if (count < 2) return OK;
    size_t keys_size = 2 * (size_t)count * sizeof(struct order_key);
    struct order_key *keys = mem_alloc(budget, keys_size);
    struct bytes *sorted = mem_alloc(budget, count * sizeof *sorted);
    enum err e = keys == NULL || sorted == NULL ? ERR_NOMEM : OK;
    if (e == OK) {
        struct order_texts texts = {text_of_item, items};
        for (uint32_t i = 0; i < count; i++)
            keys[i].id = i;
        order_by_text(&texts, keys, keys + count, count);
        for (uint32_t i = 0; i < count; i++)
            sorted[i] = items[keys[i].id];
        memcpy(items, sorted, count * sizeof *sorted);
    }
    mem_free(budget, keys, keys_size);
    mem_free(budget, sorted, count * sizeof *sorted);
    return e;
}

/* Texts may be a million: base/table.h would take twice the memory. */
static uint32_t *
slot_of(const struct lookup_texts *x, uint32_t *slots, uint32_t slot_count, struct bytes text)
{
    uint32_t at = (uint32_t)hash_bytes(text, x->seed) & (slot_count - 1);
    while (slots[at] != 0 && !bytes_equal(x->items[slots[at] - 1], text))
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

/* Makes or grows the table: two slots for each text that fits into the list. */
static enum err
table_make(struct lookup_texts *x)
{
    uint32_t count = 2 * x->capacity;
    uint32_t *slots = mem_new(x->budget, count * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < x->count; i++)
        *slot_of(x, slots, count, x->items[i]) = i + 1;
    mem_free(x->budget, x->slots, x->slot_count * sizeof *slots);
    x->slots = slots;
    x->slot_count = count;
    return OK;
}

static enum err
texts_room(struct lookup_texts *x)
{
    if (x->count < x->capacity) return OK;
    if (x->capacity > UINT32_MAX / 4 ||
        !array_reserve(x->budget, &x->items, &x->capacity, x->count + 1))
        return ERR_NOMEM;
    return x->slots == NULL ? OK : table_make(x);
}

static enum err
append(struct lookup_texts *x, struct bytes text, bool in_order)
{
    struct bytes copy = arena_copy(&x->arena, text);
    if (copy.at == NULL) return ERR_NOMEM;
    assert(x->count < x->capacity);
    assert(!in_order || x->ordered_count == x->count); /* invariant 1 */
    x->items[x->count++] = copy;
    x->ordered_count += in_order;
    assert(x->slots == NULL || x->count < x->slot_count); /* invariant 2 */
    return OK;
}

static bool
comes_in_order(const struct lookup_texts *x, struct bytes text)
{
    if (x->ordered_count < x->count) return false;
    return x->count == 0 || bytes_compare(x->items[x->count - 1], text) < 0;
}

/*
 * Forgets all texts but the first `wanted`, when there are twice as many: so sorting them is rare,
 * and the texts that are kept are few.
 */
static enum err
keep_first_ones(struct lookup_texts *x)
{
    bool in_order = x->ordered_count == x->count;
    if (x->wanted == 0 || x->count < (in_order ? x->wanted : 2 * x->wanted)) return OK;
    struct arena kept;
    enum err e = in_order ? OK : sort_texts(x->items, x->count, x->budget);
    arena_init(&kept, x->budget, 0, 0);
    for (uint32_t i = 0; i < x->wanted && e == OK; i++) {
        struct bytes copy = arena_copy(&kept, x->items[i]);
        if (copy.at == NULL)
            e = ERR_NOMEM;
        else
            x->items[i] = copy;
    }
    arena_fini(e == OK ? &x->arena : &kept);
    if (e) return e;
    assert(x->wanted <= x->count); /* invariant 3 */
    x->arena = kept;
    x->count = x->ordered_count = x->wanted;
    x->beyond = x->items[x->wanted - 1];
    mem_free(x->budget, x->slots, x->slot_count * sizeof *x->slots);
    x->slots = NULL;
    x->slot_count = 0;
    return OK;
}

/* Adds a copy of the text, if it is wanted and not in the set; `context` is the set. While texts
 * come in order, as those of one part do, no table is needed. ERR_NOMEM. */
static MUST_CHECK enum err
texts_add(void *context, struct bytes text)
{
    struct lookup_texts *x = context;
    if (!texts_want(x, text)) return OK;
    bool in_order = comes_in_order(x, text);
    enum err e = texts_room(x);
    if (e == OK && !in_order && x->slots == NULL) e = table_make(x);
    if (e) return e;
    uint32_t *slot = x->slots == NULL ? NULL : slot_of(x, x->slots, x->slot_count, text);
    if (slot != NULL && *slot != 0) return OK;
    e = append(x, text, in_order);
    if (e == OK && slot != NULL) *slot = x->count;
    return e ? e : keep_first_ones(x);
}

/* --- the head --------------------------------------------------------------------------------- */

/*
 * Names and values of labels of the series that a query selects in the head.
 *
 * If few series are selected, their pairs are gathered. Otherwise each pair whose text is wanted is
 * checked for a selected series with a sample in the time range. The head lock is dropped now and
 * then, so that writers can go on.
 */

enum {
    LOOKUP_IDS_AT_ONCE = 512,
    CHECKED_AT_ONCE = 1024,
    PAIRS_AT_ONCE = 32,
    FEW = 64, /* at most one selected series in as many counts as few */
};

struct head_lookup {
    struct store_query *q;
    const struct query_source *s;
    struct lookup_texts *texts;
    bool alone;       /* the set has texts of this registry only, which has each once */
    uint32_t checked; /* series since the lock was dropped */

    /* If few series are selected: */
    uint32_t pair_count;   /* pairs of the registry */
    uint64_t *wanted;      /* bits by pair: no series with it was found so far */
    uint32_t wanted_count; /* set bits; with label names, an upper bound */
};

static enum err
add_head_value(const struct head_lookup *x, struct bytes value)
{
    /* A text of a registry, which has each once, is not in a set of texts of that registry only. */
    if (!x->alone || x->texts->slots != NULL || x->texts->wanted > 0)
        return texts_add(x->texts, value);
    enum err e = texts_room(x->texts);
    return e ? e : append(x->texts, value, comes_in_order(x->texts, value));
}

/* --- pair by pair; the head lock is held ------------------------------------------------------ */

/* Finds out whether any selected series with the label has a sample in the time range. */
static enum err
pair_counts(struct head_lookup *x, uint32_t pair, bool *ret_counts, struct why *why)
{
    struct store_query *q = x->q;
    const roaring_bitmap_t *matched = x->s->matched;
    uint32_t id;
    struct id_walk walk = id_list_walk(&registry_pair_use(x->s->registry, pair)->series);
    q->found = false;
    while (!q->found && id_walk_next(&walk, &id)) {
        if (matched == NULL || roaring_bitmap_contains(matched, id)) {
            enum err e = query_find_samples(q, x->s, id);
            if (e) return e;
        }
        if (++x->checked < CHECKED_AT_ONCE) continue;
        x->checked = 0;
        lock_drop(&q->head->lock);
        enum err e = query_control_check(q->control, why);
        lock_take(&q->head->lock);
        if (e == OK) e = store_view_check(q->view, why);
        if (e) return e;
    }
    *ret_counts = q->found;
    return OK;
}

static enum err
values_by_pair(struct head_lookup *x, const struct registry_name *name, struct why *why)
{
    uint32_t pairs[PAIRS_AT_ONCE], count;
    struct id_walk walk = id_list_walk(&name->pairs);
    enum err e = OK;
    while (e == OK && (count = id_walk_read(&walk, pairs, PAIRS_AT_ONCE)) > 0) {
        /* Prefetches the memory that pair_counts() and the text of a pair touch, for many at once.
         */
        const struct registry *r = x->s->registry;
        for (uint32_t i = 0; i < count; i++) {
            __builtin_prefetch(registry_pair_use(r, pairs[i]));
            __builtin_prefetch(registry_pair(r, pairs[i]));
        }
        for (uint32_t i = 0; i < count; i++) {
            const struct id_list *series = &registry_pair_use(r, pairs[i])->series;
            __builtin_prefetch(registry_pair(r, pairs[i])->field);
            for (unsigned g = 0; g < 2 && series->count > 0; g++) {
                if (x->s->gens[g] == NULL) continue;
                __builtin_prefetch(gen_series(x->s->gens[g], series->first_id));
            }
        }
        for (uint32_t i = 0; i < count && e == OK; i++) {
            struct bytes value = pair_label(registry_pair(x->s->registry, pairs[i])).value;
            bool counts;
            if (!texts_want(x->texts, value)) continue;
            e = pair_counts(x, pairs[i], &counts, why);
            if (e == OK && counts) e = add_head_value(x, value);
        }
    }
    return e;
}

static enum err
names_by_pair(struct head_lookup *x, const struct registry_tenant *tenant, struct why *why)
{
    uint32_t id, pair;
    struct id_walk names = id_list_walk(&tenant->names);
    enum err e = OK;
    while (e == OK && id_walk_next(&names, &id)) {
        const struct registry_name *name = registry_name(x->s->registry, id);
        struct id_walk pairs = id_list_walk(&name->pairs);
        bool counts = false;
        while (e == OK && !counts && id_walk_next(&pairs, &pair))
            e = pair_counts(x, pair, &counts, why);
        if (e == OK && counts) e = texts_add(x->texts, name->text);
    }
    return e;
}

static enum err
look_by_pair(struct head_lookup *x, const struct bytes *name, struct why *why)
{
    const struct store_query *q = x->q;
    lock_take(&q->head->lock);
    enum err e = store_view_check(q->view, why);
    const struct registry_tenant *t = registry_tenant(x->s->registry, q->tenant);
    if (e == OK && t != NULL && name == NULL) e = names_by_pair(x, t, why);
    if (e == OK && t != NULL && name != NULL) {
        const struct registry_name *n = registry_find_name(x->s->registry, q->tenant, *name);
        if (n != NULL) e = values_by_pair(x, n, why);
    }
    lock_drop(&q->head->lock);
    return e;
}

/* --- series by series ------------------------------------------------------------------------- */

static bool
is_wanted(const struct head_lookup *x, uint32_t pair)
{
    return pair < x->pair_count && (x->wanted[pair / 64] >> pair % 64 & 1) != 0;
}

static struct id_walk
walk_pairs(const struct store_query *q, const struct registry_name *name)
{
    lock_take(&q->head->lock);
    struct id_walk walk = name == NULL ? (struct id_walk){0} : id_list_walk(&name->pairs);
    lock_drop(&q->head->lock);
    return walk;
}

/* Clears the bits of the pairs that the series have. */
static enum err
strike_pairs(struct head_lookup *x, const uint32_t *ids, uint32_t count, struct why *why)
{
    struct store_query *q = x->q;
    lock_take(&q->head->lock);
    enum err e = store_view_check(q->view, why);
    for (uint32_t i = 0; i < count && x->wanted_count > 0 && e == OK; i++) {
        const struct series_pairs *row = registry_series(x->s->registry, ids[i])->pairs;
        bool news = false;
        for (uint32_t p = 0; p < row->count && !news; p++)
            news = is_wanted(x, row->ids[p]);
        if (!news) continue;
        q->found = false;
        e = query_find_samples(q, x->s, ids[i]);
        for (uint32_t p = 0; p < row->count && q->found; p++) {
            if (!is_wanted(x, row->ids[p])) continue;
            x->wanted[row->ids[p] / 64] &= ~(UINT64_C(1) << row->ids[p] % 64);
            assert(x->wanted_count > 0);
            x->wanted_count--;
        }
    }
    lock_drop(&q->head->lock);
    return e;
}

/* Adds the values of a name's pairs that were struck out; with `names` the name, if any was. */
static enum err
add_struck(const struct head_lookup *x, const struct registry_name *name, bool names)
{
    uint32_t id;
    enum err e = OK;
    struct id_walk walk = walk_pairs(x->q, name);
    while (e == OK && id_walk_next(&walk, &id)) {
        if (id >= x->pair_count || is_wanted(x, id)) continue;
        if (names) return texts_add(x->texts, name->text);
        e = add_head_value(x, pair_label(registry_pair(x->s->registry, id)).value);
    }
    return e;
}

static enum err
add_struck_names(const struct head_lookup *x)
{
    const struct store_query *q = x->q;
    lock_take(&q->head->lock);
    const struct registry_tenant *t = registry_tenant(x->s->registry, q->tenant);
    struct id_walk names = t == NULL ? (struct id_walk){0} : id_list_walk(&t->names);
    lock_drop(&q->head->lock);
    uint32_t id;
    enum err e = OK;
    while (e == OK && id_walk_next(&names, &id)) {
        lock_take(&q->head->lock);
        const struct registry_name *name = registry_name(x->s->registry, id);
        lock_drop(&q->head->lock);
        e = add_struck(x, name, true);
    }
    return e;
}

static enum err
look_by_series(struct head_lookup *x, const struct bytes *name, struct why *why)
{
    struct store_query *q = x->q;
    const struct registry_name *known = NULL;
    lock_take(&q->head->lock); /* all pairs of the series selected are below */
    x->pair_count = x->s->registry->pairs.count;
    if (name != NULL) known = registry_find_name(x->s->registry, q->tenant, *name);
    lock_drop(&q->head->lock);
    if (name != NULL && known == NULL) return OK;
    size_t size = (x->pair_count / 64 + 1) * sizeof(uint64_t);
    x->wanted = mem_new(q->budget, size);
    if (x->wanted == NULL) return ERR_NOMEM;
    /* Sets the bits of the pairs of one name, or all. */
    bool all = name == NULL;
    uint32_t id, ids[LOOKUP_IDS_AT_ONCE], count;
    struct id_walk walk = walk_pairs(q, known);
    x->wanted_count = all ? UINT32_MAX : 0;
    if (all) memset(x->wanted, 0xff, size);
    while (id_walk_next(&walk, &id)) {
        if (id >= x->pair_count) continue;
        x->wanted[id / 64] |= UINT64_C(1) << id % 64;
        x->wanted_count++;
    }
    enum err e = OK;
    roaring_uint32_iterator_t it;
    roaring_init_iterator(x->s->matched, &it);
    while (e == OK && x->wanted_count > 0 &&
           (count = roaring_read_uint32_iterator(&it, ids, LOOKUP_IDS_AT_ONCE)) > 0) {
        e = strike_pairs(x, ids, count, why);
        if (e == OK) e = query_control_check(q->control, why);
    }
    if (e == OK) e = all ? add_struck_names(x) : add_struck(x, known, false);
    mem_free(q->budget, x->wanted, size);
    return e;
}

static MUST_CHECK enum err
lookup_head(struct store_query *q, const struct query_source *s, const struct bytes *name,
            struct lookup_texts *texts, struct why *why)
{
    struct head_lookup x = {.q = q, .s = s, .texts = texts, .alone = texts->count == 0};
    if (s->matched == NULL) return look_by_pair(&x, name, why);
    lock_take(&q->head->lock);
    const struct registry_tenant *t = registry_tenant(s->registry, q->tenant);
    uint32_t series_count = t == NULL ? 0 : t->series.count;
    lock_drop(&q->head->lock);
    bool few = roaring_bitmap_get_cardinality(s->matched) < series_count / FEW;
    return few ? look_by_series(&x, name, why) : look_by_pair(&x, name, why);
}

/* --- a part ----------------------------------------------------------------------------------- */

/*
 * Names and values of labels of the series that a query selects in a part.
 *
 * If all series of the part are selected, its index has the answer. Otherwise the pairs of series
 * that have a sample in the time range are gathered, and their texts are read once. The choice of
 * rows that are read affects only the cost:
 *
 *     few rows are selected     all of them
 *     else                      the first ones of each pair's list; if these have no sample in the
 *                               time range, more of that list, and so on
 *
 * With a limit, values are looked up some at a time, in order.
 */

enum {
    ROWS_PER_CHECK = 1024,
    ROWS_FEW = 4096,
    LOOKUP_LIST_WORTH = 4, /* reading as many rows costs as much as reading a list */
    LIST_GROWTH = 16,      /* factor of the rows that are taken of each list */
    VALUES_FIRST = 64,
};

struct part_lookup {
    struct store_query *q;
    struct query_source *s;
    const struct part_name *name; /* NULL to look up names */
    struct lookup_texts *texts;
    struct row_reader *rows;
    roaring_bitmap_t *found; /* pairs of the name, or indexes of names */
    uint64_t found_count;
    uint64_t found_max; /* when as many are found, there are no more */
};

/* Gives what `found` holds for a pair: the pair, or the index of its name. False if the pair is not
 * of the name. */
static bool
what_of_pair(const struct part_lookup *x, uint32_t pair, uint32_t *ret_what)
{
    const struct part_name *name = x->name;
    *ret_what = pair;
    if (name != NULL) return pair - name->first_pair < name->pair_count;
    name = part_name_of_pair(&x->s->index, pair);
    if (name != NULL) *ret_what = (uint32_t)(name - x->s->index.names);
    return name != NULL;
}

/* True if the current row has a pair or name that was not found before. */
static bool
row_has_news(const struct part_lookup *x)
{
    const uint32_t *pairs;
    uint32_t count, what;
    row_pairs(x->rows, &pairs, &count);
    for (uint32_t i = 0; i < count; i++)
        if (what_of_pair(x, pairs[i], &what) && !roaring_bitmap_contains(x->found, what))
            return true;
    return false;
}

/* Finds out whether the series has a sample in the time range that is not deleted. */
static enum err
row_counts(struct part_lookup *x, uint32_t number, bool *ret_counts, struct why *why)
{
    struct store_query *q = x->q;
    struct query_source *s = x->s;
    enum err e = row_meets(x->rows, q->min_ms, q->max_ms, ret_counts, why);
    if (e || !*ret_counts || (s->deletion_count == 0 && q->rules == NULL)) return e;
    struct bytes labels;
    e = row_read(x->rows, number, q->rules == NULL ? NULL : &labels, &s->blocks, &s->block_count,
                 why);
    if (e) return e;
    q->from_ms = q->rules == NULL ? q->min_ms : query_from_ms(q, labels);
    s->number = number;
    q->found = false;
    e = query_find_block(q, s, why);
    *ret_counts = q->found;
    return e;
}

static enum err
gather_rows(struct part_lookup *x, const roaring_bitmap_t *rows, struct why *why)
{
    roaring_uint32_iterator_t it;
    roaring_init_iterator(rows, &it);
    enum err e = OK;
    for (uint32_t n = 1; it.has_value && x->found_count < x->found_max && e == OK; n++) {
        bool counts = false;
        e = row_seek(x->rows, it.current_value, why);
        if (e == OK && row_has_news(x)) e = row_counts(x, it.current_value, &counts, why);
        if (e == OK && counts) {
            const uint32_t *pairs;
            uint32_t count, what;
            row_pairs(x->rows, &pairs, &count);
            for (uint32_t i = 0; i < count; i++) {
                if (!what_of_pair(x, pairs[i], &what)) continue;
                x->found_count += roaring_bitmap_add_checked(x->found, what);
            }
        }
        if (e == OK && n % ROWS_PER_CHECK == 0) e = query_control_check(x->q->control, why);
        roaring_advance_uint32_iterator(&it);
    }
    return e;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* Adds series of the lists of pairs [from, end) that were not found, of at most `most` lists. */
static enum err
add_lists(const struct part_lookup *x, struct postings_walk *lists, uint32_t from, uint32_t end,
          uint32_t most, struct why *why)
{
    enum err e = OK;
    uint32_t added = 0;
    for (uint32_t pair = from; pair < end && e == OK; pair++) {
        if (x->name != NULL && roaring_bitmap_contains(x->found, pair)) continue;
        lists->cut |= added == most;
        if (added++ == most) break;
        e = postings_add(lists, pair, why);
        if (e == OK && pair % ROWS_PER_CHECK == 0) e = query_control_check(x->q->control, why);
    }
    return e;
}

/* Gathers rows by the lists of pairs [from, end); without a name, by those of all names. */
static enum err
gather_lists(struct part_lookup *x, uint32_t from, uint32_t end, struct why *why)
{
    const roaring_bitmap_t *all = x->s->matched;
    bool more = true;
    enum err e = OK;
    for (uint32_t most = 1; more && x->found_count < x->found_max && e == OK;) {
        struct postings_walk lists;
        postings_begin(&lists, &x->s->index, roaring_bitmap_minimum(all),
                       roaring_bitmap_maximum(all));
        lists.among = all;
        lists.list_max = most;
        e = lists.set == NULL ? ERR_NOMEM : OK;
        if (e == OK && x->name != NULL) e = add_lists(x, &lists, from, end, UINT32_MAX, why);
        if (e == OK && x->name == NULL) {
            for (uint32_t i = 0; i < x->s->index.name_count && e == OK; i++) {
                const struct part_name *name = &x->s->index.names[i];
                if (roaring_bitmap_contains(x->found, i)) continue;
                e = add_lists(x, &lists, name->first_pair, name->first_pair + name->pair_count,
                              most, why);
            }
        }
        if (e == OK) e = gather_rows(x, postings_set(&lists), why);
        more = lists.cut;
        most = most > UINT32_MAX / LIST_GROWTH ? UINT32_MAX : most * LIST_GROWTH;
        postings_end(&lists);
    }
    return e;
}

/* --- texts ------------------------------------------------------------------------------------ */

static enum err
add_found(const struct part_lookup *x, struct value_walk *values, struct why *why)
{
    roaring_uint32_iterator_t it;
    enum err e = OK;
    roaring_init_iterator(x->found, &it);
    for (; it.has_value && e == OK; roaring_advance_uint32_iterator(&it)) {
        if (x->name == NULL) {
            e = texts_add(x->texts, x->s->index.names[it.current_value].name);
            continue;
        }
        e = value_walk_get(values, it.current_value, why);
        if (e == OK) e = texts_add(x->texts, buf_bytes(&values->value));
    }
    return e;
}

/* Looks up `step` values at first, then twice as many each time, until enough are found. */
static enum err
gather_values(struct part_lookup *x, uint32_t step, struct value_walk *values, struct why *why)
{
    uint32_t from = x->name->first_pair, end = from + x->name->pair_count;
    enum err e = OK;
    while (from < end && e == OK) {
        uint32_t to = end - from < step ? end : from + step;
        e = value_walk_get(values, from, why);
        if (e || !texts_want(x->texts, buf_bytes(&values->value))) break;
        roaring_bitmap_clear(x->found);
        x->found_count = 0;
        x->found_max = to - from;
        e = gather_lists(x, from, to, why);
        if (e == OK) e = add_found(x, values, why);
        step = step > UINT32_MAX / 2 ? step : 2 * step;
        from = to;
    }
    return e;
}

static enum err
gather_part(struct part_lookup *x, struct value_walk *values, struct why *why)
{
    const struct part_name *name = x->name;
    uint32_t wanted = x->texts->wanted;
    uint64_t rows = roaring_bitmap_get_cardinality(x->s->matched);
    uint32_t lists = name == NULL ? x->s->index.name_count : name->pair_count;
    if (name != NULL && wanted > 0 && wanted < lists) lists = wanted;
    if (rows <= ROWS_FEW || rows / LOOKUP_LIST_WORTH < lists) {
        enum err e = gather_rows(x, x->s->matched, why);
        return e ? e : add_found(x, values, why);
    }
    if (name != NULL) {
        uint32_t step = wanted == 0 ? name->pair_count : wanted;
        return gather_values(x, step < VALUES_FIRST ? VALUES_FIRST : step, values, why);
    }
    enum err e = gather_lists(x, 0, 0, why);
    return e ? e : add_found(x, values, why);
}

/* --- all of a part ---------------------------------------------------------------------------- */

/* Values come in order, so the first one that is not wanted ends the walk. */
static enum err
add_value(void *context, struct bytes value)
{
    return texts_want(context, value) ? texts_add(context, value) : ERR_CANCELED;
}

/* Adds the values that a label has in the source's series that are selected and have samples in the
 * time range; with `name` NULL, the names of their labels. */
static enum err
lookup_part(struct store_query *q, struct query_source *s, const struct bytes *name,
            struct lookup_texts *texts, struct why *why)
{
    struct part_lookup x = {.q = q, .s = s, .texts = texts, .found_max = s->index.name_count};
    if (s->at_end || s->matched == NULL) return OK;
    const struct part_info *info = part_info(s->part);
    if (q->request->set_count == 0 && s->deletion_count == 0 && q->rules == NULL &&
        info->time.min_ms >= q->min_ms && info->time.max_ms <= q->max_ms) {
        if (name != NULL) return part_values(&s->index, *name, add_value, texts, why);
        enum err e = OK;
        for (uint32_t i = 0; i < s->index.name_count && e == OK; i++)
            e = texts_add(texts, s->index.names[i].name);
        return e;
    }
    if (roaring_bitmap_is_empty(s->matched)) return OK;
    if (name != NULL) {
        x.name = part_find_name(&s->index, *name);
        if (x.name == NULL) return OK;
        x.found_max = x.name->pair_count;
    }
    struct value_walk values;
    value_walk_init(&values, s->part, q->budget);
    x.found = roaring_bitmap_create();
    enum err e = x.found == NULL ? ERR_NOMEM : row_reader_new(&s->index, q->budget, &x.rows);
    if (e == OK) e = gather_part(&x, &values, why);
    row_reader_free(x.rows);
    if (x.found != NULL) roaring_bitmap_free(x.found);
    value_walk_fini(&values);
    return e;
}

/* --- the three queries ------------------------------------------------------------------------ */

static enum err
list_series(struct view *view, const struct query_request *request, const struct text_sink *to,
            struct why *why)
{
    struct store_query *q;
    struct bytes labels;
    enum err e = query_open((struct store_view *)view, request, QUERY_LABELS, &q, why);
    if (e) return e;
    uint64_t limit = request->hints.limit;
    for (uint64_t count = 0; limit == 0 || count <= limit; count++) {
        e = series_set_next(&q->set, &labels, why);
        if (e || labels.at == NULL) break;
        e = to->each(to->context, labels);
        if (e) break;
    }
    const char *sentence;
    for (uint32_t i = 0; to->warning != NULL && (e == OK || e == ERR_CANCELED); i++) {
        if ((sentence = series_set_warning(&q->set, i)) == NULL) break;
        e = err_first(e, to->warning(to->context, sentence));
    }
    series_set_free(&q->set);
    return e;
}

enum err
store_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
              struct bytes name, const struct text_sink *to, struct why *why)
{
    if (kind == LOOKUP_SERIES) return list_series(view, request, to, why);
    struct store_view *v = (struct store_view *)view;
    struct budget *budget = request->control == NULL ? NULL : request->control->budget;
    struct lookup_texts x = {.budget = budget, .seed = v->head->hash_seed};
    const struct bytes *known = kind == LOOKUP_VALUES ? &name : NULL;
    uint64_t limit = request->hints.limit;
    struct store_query *q;
    enum err e = query_open(v, request, QUERY_TEXTS, &q, why);
    if (e) return e;
    q->request = request;
    if (limit > 0 && limit < UINT32_MAX / 4) x.wanted = (uint32_t)limit + 1;
    arena_init(&x.arena, budget, 0, 0);
    for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
        struct query_source *s = &q->sources[i];
        struct why reason = {""};
        e = source_is_head(s) ? lookup_head(q, s, known, &x, &reason)
                              : lookup_part(q, s, known, &x, &reason);
        e = query_leave_out(q, e, &reason, why);
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(&q->set, i)) != NULL; i++)
        e = to->warning == NULL ? OK : to->warning(to->context, sentence);
    series_set_free(&q->set);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for the labels");
    /* Merges the texts that came in order with the others, sorted. */
    uint32_t a = 0, b = x.ordered_count, middle = b;
    if (e == OK && x.count > middle) e = sort_texts(x.items + middle, x.count - middle, budget);
    uint32_t left = x.wanted == 0 || x.wanted > x.count ? x.count : x.wanted;
    for (; e == OK && left > 0; left--) {
        bool first = b == x.count || (a < middle && bytes_compare(x.items[a], x.items[b]) < 0);
        e = to->each(to->context, x.items[first ? a++ : b++]);
    }
    array_free(budget, x.items, x.capacity);
    mem_free(budget, x.slots, x.slot_count * sizeof *x.slots);
    arena_fini(&x.arena);
    return e;
}
