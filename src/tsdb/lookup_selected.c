/*
 * lookup_selected.c - names and values of labels, of series that matchers select. Series are not
 * put together of all sources for that: in each, the pairs of those that have a sample in the time
 * are gathered, and what pairs say is looked up once.
 */
#include "tsdb/lookup_private.h"
#include "tsdb/part_private.h"
#include "tsdb/select_private.h"

enum { ROWS_PER_CHECK = 1024, IDS_AT_ONCE = 512 };

/* --- parts ------------------------------------------------------------------------------------ */

struct part_pairs {
    struct query *q;
    struct source *s;
    const struct part_name *name; /* NULL: names are wanted */
    struct row_reader *rows;
    roaring_bitmap_t *found; /* pairs, or indexes of names */
    uint32_t last;           /* added last */
};

static void
add_found(struct part_pairs *x, uint32_t what)
{
    if (what != x->last) roaring_bitmap_add(x->found, what);
    x->last = what;
}

/* The pair of the label, or all names, of the row at hand. */
static void
add_row(struct part_pairs *x)
{
    const uint32_t *pairs;
    uint32_t count;
    row_pairs(x->rows, &pairs, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (x->name == NULL) {
            const struct part_name *name = part_name_of_pair(&x->s->index, pairs[i]);
            if (name != NULL) add_found(x, (uint32_t)(name - x->s->index.names));
        } else if (pairs[i] - x->name->first_pair < x->name->pair_count) {
            add_found(x, pairs[i]);
            return;
        }
    }
}

/* Has the series something in the time that is not deleted? */
static enum err
row_counts(struct part_pairs *x, uint32_t number, bool *ret_counts, struct why *why)
{
    struct query *q = x->q;
    struct source *s = x->s;
    enum err e = row_seek(x->rows, number, why);
    if (e == OK) e = row_meets(x->rows, q->min_ms, q->max_ms, ret_counts, why);
    if (e || !*ret_counts || s->deletion_count == 0) return e;
    e = row_blocks(x->rows, &s->blocks, &s->block_count, why);
    if (e) return e;
    merge_reset(&q->merge, q->min_ms, q->max_ms, q->partial);
    s->number = number;
    q->found = false;
    e = query_find_block(q, s);
    *ret_counts = q->found;
    return e;
}

static enum err
gather_rows(struct part_pairs *x, struct why *why)
{
    roaring_uint32_iterator_t it;
    roaring_init_iterator(x->s->matched, &it);
    enum err e = OK;
    for (uint32_t n = 1; it.has_value && e == OK; n++) {
        bool counts = false;
        e = row_counts(x, it.current_value, &counts, why);
        if (e == OK && counts) add_row(x);
        if (e == OK && n % ROWS_PER_CHECK == 0 && x->q->control != NULL) {
            e = query_control_check(x->q->control, why);
        }
        roaring_advance_uint32_iterator(&it);
    }
    return e;
}

static enum err
add_texts(const struct part_pairs *x, struct texts *texts, struct why *why)
{
    roaring_uint32_iterator_t it;
    struct value_walk values;
    enum err e = OK;
    value_walk_init(&values, x->s->part, x->q->budget);
    roaring_init_iterator(x->found, &it);
    for (; it.has_value && e == OK; roaring_advance_uint32_iterator(&it)) {
        if (x->name == NULL) {
            e = texts_add(texts, x->s->index.names[it.current_value].name);
            continue;
        }
        e = value_walk_get(&values, it.current_value, why);
        if (e == OK) e = texts_add(texts, buf_bytes(&values.value));
    }
    value_walk_fini(&values);
    return e;
}

static enum err
part_texts(struct query *q, struct source *s, const struct bytes *name, struct texts *texts,
           struct why *why)
{
    struct part_pairs x = {.q = q, .s = s, .last = UINT32_MAX};
    if (name != NULL) x.name = part_find_name(&s->index, *name);
    if (s->matched == NULL || (name != NULL && x.name == NULL)) return OK;
    x.found = roaring_bitmap_create();
    enum err e = x.found == NULL ? ERR_NOMEM : row_reader_new(&s->index, q->budget, &x.rows);
    if (e == OK) e = gather_rows(&x, why);
    if (e == OK) e = add_texts(&x, texts, why);
    row_reader_free(x.rows);
    if (x.found != NULL) roaring_bitmap_free(x.found);
    return e;
}

/* --- the head --------------------------------------------------------------------------------- */

/* Bits of pairs by their ids in the registry. */
static void
mark_pairs(struct query *q, const struct source *s, uint64_t *bits, uint32_t from, uint32_t to)
{
    lock_take(&q->db->head_lock);
    uint32_t visible = visible_epoch(q->db);
    for (uint32_t i = from; i < to; i++) {
        q->found = false;
        query_find_samples(q, s, s->ids[i], visible);
        if (!q->found) continue;
        const struct series_pairs *row = registry_series(s->registry, s->ids[i])->pairs;
        for (uint32_t p = 0; p < row->count; p++) {
            bits[row->ids[p] / 64] |= UINT64_C(1) << row->ids[p] % 64;
        }
    }
    lock_drop(&q->db->head_lock);
}

/* Texts of a name's pairs that are marked; of any, the name itself, if names are wanted. */
static enum err
add_marked(const struct source *s, struct id_walk pairs, const uint64_t *bits, uint32_t pair_count,
           const struct bytes *instead, struct texts *texts)
{
    uint32_t id;
    while (id_walk_next(&pairs, &id)) {
        if (id >= pair_count || (bits[id / 64] >> id % 64 & 1) == 0) continue;
        if (instead != NULL) return texts_add(texts, *instead);
        enum err e = texts_add(texts, pair_label(registry_pair(s->registry, id)).value);
        if (e) return e;
    }
    return OK;
}

static enum err
add_head_names(const struct query *q, const struct source *s, const uint64_t *bits,
               uint32_t pair_count, struct texts *texts)
{
    lock_take(&q->db->head_lock);
    const struct registry_tenant *t = registry_tenant(s->registry, q->pinned.tenant);
    struct id_walk names = t == NULL ? (struct id_walk){0} : id_list_walk(&t->names);
    lock_drop(&q->db->head_lock);
    uint32_t id;
    enum err e = OK;
    while (e == OK && id_walk_next(&names, &id)) {
        lock_take(&q->db->head_lock);
        const struct registry_name *name = registry_name(s->registry, id);
        struct id_walk pairs = id_list_walk(&name->pairs);
        lock_drop(&q->db->head_lock);
        e = add_marked(s, pairs, bits, pair_count, &name->text, texts);
    }
    return e;
}

static enum err
add_head_values(const struct query *q, const struct source *s, const struct bytes *name,
                const uint64_t *bits, uint32_t pair_count, struct texts *texts)
{
    lock_take(&q->db->head_lock);
    const struct registry_name *known = registry_find_name(s->registry, q->pinned.tenant, *name);
    struct id_walk pairs = known == NULL ? (struct id_walk){0} : id_list_walk(&known->pairs);
    lock_drop(&q->db->head_lock);
    return add_marked(s, pairs, bits, pair_count, NULL, texts);
}

static enum err
head_texts(struct query *q, const struct source *s, const struct bytes *name, struct texts *texts,
           struct why *why)
{
    lock_take(&q->db->head_lock); /* all pairs of the series selected are below */
    uint32_t pair_count = s->registry->pairs.count;
    lock_drop(&q->db->head_lock);
    size_t size = (pair_count / 64 + 1) * sizeof(uint64_t);
    uint64_t *bits = mem_new(q->budget, size);
    enum err e = bits == NULL ? ERR_NOMEM : OK;
    for (uint32_t at = 0, end; e == OK && at < s->id_count; at = end) {
        end = s->id_count - at < IDS_AT_ONCE ? s->id_count : at + IDS_AT_ONCE;
        mark_pairs(q, s, bits, at, end);
        if (q->control != NULL) e = query_control_check(q->control, why);
    }
    if (e == OK && name == NULL) e = add_head_names(q, s, bits, pair_count, texts);
    if (e == OK && name != NULL) e = add_head_values(q, s, name, bits, pair_count, texts);
    mem_free(q->budget, bits, size);
    return e;
}

/* --- both ------------------------------------------------------------------------------------- */

enum err
lookup_selected(struct tsdb *db, const struct lookup_request *request, const struct bytes *name,
                struct texts *texts, struct why *why)
{
    struct query *q;
    struct query like = {.control = request->control,
                         .min_ms = request->min_ms,
                         .max_ms = request->max_ms,
                         .sets = request->sets,
                         .set_count = request->set_count,
                         .labels_only = true,
                         .texts_only = true};
    enum err e = query_open(db, request->tenant, &like, &q, why);
    if (e) return e;
    for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
        struct source *s = &q->sources[i];
        e = source_is_head(s) ? head_texts(q, s, name, texts, why)
                              : part_texts(q, s, name, texts, why);
    }
    q->set.ops->free(&q->set);
    return e;
}
