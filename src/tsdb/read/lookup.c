/*
 * lookup.c - queries for label names, label values and series. For names and values, series of
 * different sources are not merged: each source adds those it has to a set of texts (lookup_part.c,
 * lookup_head.c), and no sample is read for that.
 *
 * Invariants of the set:
 *  1. Texts are different, and the first ordered_count of them ascend.
 *  2. With `slots`, the table has all texts, and a free slot. Without, all texts are in order, or
 *     came by texts_add_another().
 *  3. With `wanted`, at most twice as many texts are kept; `beyond` is then the last that is
 *     wanted.
 */
#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "tsdb/head/text_order.h"
#include "tsdb/read/lookup_private.h"

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
        for (uint32_t i = 0; i < count; i++) {
            keys[i].id = i;
        }
        order_by_text(&texts, keys, keys + count, count);
        for (uint32_t i = 0; i < count; i++) {
            sorted[i] = items[keys[i].id];
        }
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
    while (slots[at] != 0 && !bytes_equal(x->items[slots[at] - 1], text)) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

/* Makes or grows the table: two slots for each text that fits into the list. */
static enum err
table_make(struct lookup_texts *x)
{
    uint32_t count = 2 * x->capacity;
    uint32_t *slots = mem_new(x->budget, count * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < x->count; i++) {
        *slot_of(x, slots, count, x->items[i]) = i + 1;
    }
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
        !array_reserve(x->budget, &x->items, &x->capacity, x->count + 1)) {
        return ERR_NOMEM;
    }
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

/* While texts come in order, as those of one part do, no table is needed. */
enum err
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

enum err
texts_add_another(struct lookup_texts *x, struct bytes text)
{
    if (x->slots != NULL || x->wanted > 0) return texts_add(x, text);
    enum err e = texts_room(x);
    return e ? e : append(x, text, comes_in_order(x, text));
}

/* --- the three queries ------------------------------------------------------------------------ */

static enum err
gather(struct store_view *view, const struct query_request *request, const struct bytes *name,
       const struct text_sink *to, struct lookup_texts *x, struct why *why)
{
    struct store_query *q;
    enum err e = query_open(view, request, QUERY_TEXTS, &q, why);
    if (e) return e;
    q->request = request;
    for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
        struct query_source *s = &q->sources[i];
        struct why reason = {""};
        e = source_is_head(s) ? lookup_head(q, s, name, x, &reason)
                              : lookup_part(q, s, name, x, &reason);
        e = query_leave_out(q, e, &reason, why);
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(&q->set, i)) != NULL; i++) {
        e = to->warning == NULL ? OK : to->warning(to->context, sentence);
    }
    series_set_free(&q->set);
    return e;
}

static enum err
answer_texts(struct view *view, const struct query_request *request, const struct bytes *name,
             const struct text_sink *to, struct why *why)
{
    struct store_view *v = (struct store_view *)view;
    struct budget *budget = request->control == NULL ? NULL : request->control->budget;
    struct lookup_texts x = {.budget = budget, .seed = v->head->hash_seed};
    uint64_t limit = request->hints.limit;
    if (limit > 0 && limit < UINT32_MAX / 4) x.wanted = (uint32_t)limit + 1;
    arena_init(&x.arena, budget, 0, 0);
    enum err e = gather(v, request, name, to, &x, why);
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
    return answer_texts(view, request, kind == LOOKUP_VALUES ? &name : NULL, to, why);
}
