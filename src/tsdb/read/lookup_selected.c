/*
 * lookup_selected.c - names and values of labels, of series that matchers select. Series are not
 * put together of all sources for that: in each, the pairs of those that have a sample in the time
 * are gathered, and what pairs say is looked up once.
 */
#include "tsdb/part/walk.h"
#include "tsdb/read/lookup_private.h"
#include "tsdb/read/select_private.h"

enum { ROWS_PER_CHECK = 1024, IDS_AT_ONCE = 512 };

/* --- parts ------------------------------------------------------------------------------------ */

struct part_pairs {
    struct store_query *q;
    struct query_source *s;
    const struct part_name *name; /* NULL: names are wanted */
    struct row_reader *rows;
    roaring_bitmap_t *found; /* pairs of the name, or indexes of names */
    uint64_t found_count;
    uint64_t found_max; /* there are no more */
};

/* What a pair of a row tells: itself, or the index of its name. False: nothing that is wanted. */
static bool
what_of_pair(const struct part_pairs *x, uint32_t pair, uint32_t *ret_what)
{
    const struct part_name *name = x->name;
    *ret_what = pair;
    if (name != NULL) return pair - name->first_pair < name->pair_count;
    name = part_name_of_pair(&x->s->index, pair);
    if (name != NULL) *ret_what = (uint32_t)(name - x->s->index.names);
    return name != NULL;
}

/* Has the row at hand something that was not found before? */
static bool
row_has_news(const struct part_pairs *x)
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

/* Has the series something in the time that is not deleted? */
static enum err
row_counts(struct part_pairs *x, uint32_t number, bool *ret_counts, struct why *why)
{
    struct store_query *q = x->q;
    struct query_source *s = x->s;
    enum err e = row_meets(x->rows, q->min_ms, q->max_ms, ret_counts, why);
    if (e || !*ret_counts || s->deletion_count == 0) return e;
    e = row_blocks(x->rows, &s->blocks, &s->block_count, why);
    if (e) return e;
    interleave_reset(&q->interleave, q->min_ms, q->max_ms, q->partial);
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
part_texts(struct store_query *q, struct query_source *s, const struct bytes *name,
           struct texts *texts, struct why *why)
{
    struct part_pairs x = {.q = q, .s = s, .found_max = s->index.name_count};
    if (name != NULL) x.name = part_find_name(&s->index, *name);
    if (x.name != NULL) x.found_max = x.name->pair_count;
    if (s->at_end || s->matched == NULL || (name != NULL && x.name == NULL)) return OK;
    x.found = roaring_bitmap_create();
    enum err e = x.found == NULL ? ERR_NOMEM : row_reader_new(&s->index, q->budget, &x.rows);
    if (e == OK) e = gather_rows(&x, why);
    if (e == OK) e = add_texts(&x, texts, why);
    row_reader_free(x.rows);
    if (x.found != NULL) roaring_bitmap_free(x.found);
    return e;
}

/* --- the head --------------------------------------------------------------------------------- */

struct head_pairs {
    struct store_query *q;
    const struct query_source *s;
    uint32_t pair_count; /* of the registry */
    uint64_t *wanted;    /* bits by pair: nobody was found to have it yet */
    uint32_t wanted_count;
};

static bool
is_wanted(const struct head_pairs *x, uint32_t pair)
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

/* Strikes out what series have, as long as something is left. */
static enum err
strike_pairs(struct head_pairs *x, uint32_t from, uint32_t to, struct why *why)
{
    struct store_query *q = x->q;
    lock_take(&q->head->lock);
    enum err e = store_view_check(q->view, why);
    for (uint32_t i = from; i < to && x->wanted_count > 0 && e == OK; i++) {
        const struct series_pairs *row = registry_series(x->s->registry, x->s->ids[i])->pairs;
        bool news = false;
        for (uint32_t p = 0; p < row->count && !news; p++) {
            news = is_wanted(x, row->ids[p]);
        }
        if (!news) continue;
        q->found = false;
        query_find_samples(q, x->s, x->s->ids[i]);
        for (uint32_t p = 0; p < row->count && q->found; p++) {
            if (!is_wanted(x, row->ids[p])) continue;
            x->wanted[row->ids[p] / 64] &= ~(UINT64_C(1) << row->ids[p] % 64);
            x->wanted_count--;
        }
    }
    lock_drop(&q->head->lock);
    return e;
}

/* Texts of a name's pairs that were struck out; of any, the name itself, if names are wanted. */
static enum err
add_struck(const struct head_pairs *x, const struct registry_name *name, bool names,
           struct texts *texts)
{
    uint32_t id;
    enum err e = OK;
    bool alone = texts->count == 0;
    struct id_walk walk = walk_pairs(x->q, name);
    while (e == OK && id_walk_next(&walk, &id)) {
        if (id >= x->pair_count || is_wanted(x, id)) continue;
        if (names) return texts_add(texts, name->text);
        struct bytes value = pair_label(registry_pair(x->s->registry, id)).value;
        e = alone ? texts_add_another(texts, value) : texts_add(texts, value);
    }
    return e;
}

static enum err
add_struck_names(const struct head_pairs *x, struct texts *texts)
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
        e = add_struck(x, name, true, texts);
    }
    return e;
}

static enum err
head_texts(struct store_query *q, const struct query_source *s, const struct bytes *name,
           struct texts *texts, struct why *why)
{
    struct head_pairs x = {.q = q, .s = s};
    const struct registry_name *known = NULL;
    lock_take(&q->head->lock); /* all pairs of the series selected are below */
    x.pair_count = s->registry->pairs.count;
    if (name != NULL) known = registry_find_name(s->registry, q->tenant, *name);
    lock_drop(&q->head->lock);
    if (name != NULL && known == NULL) return OK;
    size_t size = (x.pair_count / 64 + 1) * sizeof(uint64_t);
    x.wanted = mem_new(q->budget, size);
    if (x.wanted == NULL) return ERR_NOMEM;
    /* Those of one name; or all. */
    bool all = name == NULL;
    uint32_t id;
    struct id_walk walk = walk_pairs(x.q, known);
    x.wanted_count = all ? UINT32_MAX : 0;
    if (all) memset(x.wanted, 0xff, (x.pair_count / 64 + 1) * sizeof *x.wanted);
    while (id_walk_next(&walk, &id)) {
        if (id >= x.pair_count) continue;
        x.wanted[id / 64] |= UINT64_C(1) << id % 64;
        x.wanted_count++;
    }
    enum err e = OK;
    for (uint32_t at = 0, end; e == OK && at < s->id_count && x.wanted_count > 0; at = end) {
        end = s->id_count - at < IDS_AT_ONCE ? s->id_count : at + IDS_AT_ONCE;
        e = strike_pairs(&x, at, end, why);
        if (e == OK) e = query_control_check(q->control, why);
    }
    if (e == OK)
        e = name == NULL ? add_struck_names(&x, texts) : add_struck(&x, known, false, texts);
    mem_free(q->budget, x.wanted, size);
    return e;
}

/* --- both ------------------------------------------------------------------------------------- */

enum err
lookup_selected(struct store_view *view, const struct query_request *request,
                const struct bytes *name, const struct text_sink *to, struct texts *texts,
                struct why *why)
{
    struct store_query *q;
    enum err e = query_open(view, request, QUERY_TEXTS, &q, why);
    if (e) return e;
    for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
        struct query_source *s = &q->sources[i];
        struct why reason = {""};
        e = source_is_head(s) ? head_texts(q, s, name, texts, &reason)
                              : part_texts(q, s, name, texts, &reason);
        e = query_leave_out(q, e, &reason, why);
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(&q->set, i)) != NULL; i++) {
        e = to->warning == NULL ? OK : to->warning(to->context, sentence);
    }
    q->set.ops->free(&q->set);
    return e;
}
