/*
 * lookup_part.c - names and values of labels of the series that a query selects in a part.
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
#include "tsdb/part/walk.h"

#include <roaring/roaring.h>

#include "tsdb/read/lookup_private.h"

enum {
    ROWS_PER_CHECK = 1024,
    ROWS_FEW = 4096,
    LIST_WORTH = 4,   /* reading as many rows costs as much as reading a list */
    LIST_GROWTH = 16, /* factor of the rows that are taken of each list */
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

/* --- rows ------------------------------------------------------------------------------------- */

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
    for (uint32_t i = 0; i < count; i++) {
        if (what_of_pair(x, pairs[i], &what) && !roaring_bitmap_contains(x->found, what)) {
            return true;
        }
    }
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
    interleave_reset(&q->interleave, q->from_ms, q->max_ms, q->partial);
    s->number = number;
    q->found = false;
    e = query_find_block(q, s);
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

static enum err
add_lists_of_names(const struct part_lookup *x, struct postings_walk *lists, uint32_t most,
                   struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < x->s->index.name_count && e == OK; i++) {
        const struct part_name *name = &x->s->index.names[i];
        if (roaring_bitmap_contains(x->found, i)) continue;
        e = add_lists(x, lists, name->first_pair, name->first_pair + name->pair_count, most, why);
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
        if (e == OK && x->name == NULL) e = add_lists_of_names(x, &lists, most, why);
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
gather(struct part_lookup *x, struct value_walk *values, struct why *why)
{
    const struct part_name *name = x->name;
    uint32_t wanted = x->texts->wanted;
    uint64_t rows = roaring_bitmap_get_cardinality(x->s->matched);
    uint32_t lists = name == NULL ? x->s->index.name_count : name->pair_count;
    if (name != NULL && wanted > 0 && wanted < lists) lists = wanted;
    if (rows <= ROWS_FEW || rows / LIST_WORTH < lists) {
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

static bool
is_whole(const struct store_query *q, const struct query_source *s)
{
    const struct part_info *info = part_info(s->part);
    return q->request->set_count == 0 && s->deletion_count == 0 && q->rules == NULL &&
           info->min_ms >= q->min_ms && info->max_ms <= q->max_ms;
}

/* Values come in order, so the first one that is not wanted ends the walk. */
static enum err
add_value(void *context, struct bytes value)
{
    return texts_want(context, value) ? texts_add(context, value) : ERR_CANCELED;
}

static enum err
add_whole(const struct part_index *index, const struct bytes *name, struct lookup_texts *texts,
          struct why *why)
{
    if (name != NULL) return part_values(index, *name, add_value, texts, why);
    enum err e = OK;
    for (uint32_t i = 0; i < index->name_count && e == OK; i++) {
        e = texts_add(texts, index->names[i].name);
    }
    return e;
}

enum err
lookup_part(struct store_query *q, struct query_source *s, const struct bytes *name,
            struct lookup_texts *texts, struct why *why)
{
    struct part_lookup x = {.q = q, .s = s, .texts = texts, .found_max = s->index.name_count};
    if (s->at_end || s->matched == NULL) return OK;
    if (is_whole(q, s)) return add_whole(&s->index, name, texts, why);
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
    if (e == OK) e = gather(&x, &values, why);
    row_reader_free(x.rows);
    if (x.found != NULL) roaring_bitmap_free(x.found);
    value_walk_fini(&values);
    return e;
}
