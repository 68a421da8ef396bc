/*
 * lookup.c - label names, label values, series. Without matchers and deletions the indexes answer:
 * names and values of each part whose time meets the question's, and of the head's registry as far
 * as their series have samples. Otherwise the pairs of the series that are selected are gone
 * through (lookup_selected.c); no sample is read for that.
 */
#include "base/array.h"
#include "base/hash.h"
#include "tsdb/head/text_order.h"
#include "tsdb/read/lookup_private.h"

/* --- texts, each once ------------------------------------------------------------------------- */

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
slot_of(const struct texts *x, uint32_t *slots, uint32_t slot_count, struct bytes text)
{
    uint32_t at = (uint32_t)hash_bytes(text, x->seed) & (slot_count - 1);
    while (slots[at] != 0 && !bytes_equal(x->items[slots[at] - 1], text)) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

/* The table gets twice the slots that are needed for all that fits into the list. */
static enum err
table_make(struct texts *x)
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
texts_room(struct texts *x)
{
    if (x->count < x->capacity) return OK;
    if (x->capacity > UINT32_MAX / 4 ||
        !array_reserve(x->budget, &x->items, &x->capacity, x->count + 1)) {
        return ERR_NOMEM;
    }
    return x->slots == NULL ? OK : table_make(x);
}

static enum err
append(struct texts *x, struct bytes text, bool in_order)
{
    struct bytes copy = arena_copy(&x->arena, text);
    if (copy.at == NULL) return ERR_NOMEM;
    x->items[x->count++] = copy;
    x->ordered_count += in_order;
    return OK;
}

static bool
comes_in_order(const struct texts *x, struct bytes text)
{
    if (x->ordered_count < x->count) return false;
    return x->count == 0 || bytes_compare(x->items[x->count - 1], text) < 0;
}

/*
 * Forgets what is behind the first ones. That they are twice as many as wanted before is what makes
 * sorting them cheap, and what is left a small part of what comes.
 */
static enum err
keep_first_ones(struct texts *x)
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
    x->arena = kept;
    x->count = x->ordered_count = x->wanted;
    x->beyond = x->items[x->wanted - 1];
    mem_free(x->budget, x->slots, x->slot_count * sizeof *x->slots);
    x->slots = NULL;
    x->slot_count = 0;
    return OK;
}

/* As long as they come in order, as those of one part do, nothing is looked up. */
enum err
texts_add(void *context, struct bytes text)
{
    struct texts *x = context;
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
texts_add_another(struct texts *x, struct bytes text)
{
    if (x->slots != NULL || x->wanted > 0) return texts_add(x, text);
    enum err e = texts_room(x);
    return e ? e : append(x, text, comes_in_order(x, text));
}

/* --- by the indexes --------------------------------------------------------------------------- */

enum { CHECKED_AT_ONCE = 1024, PAIRS_AT_ONCE = 32 };

struct head_look {
    const struct store_view *view;
    const struct registry *registry;
    int64_t min_ms;
    int64_t max_ms;
    uint32_t checked; /* since others had the lock */
    bool alone;       /* no texts are there but those of this registry, which has each once */
    struct query_control *control;
};

static bool
series_meets(const struct head_look *l, uint32_t id)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct gen *gen = l->view->gens[i];
        if (gen == NULL || gen->registry != l->registry) continue;
        const struct gen_series *s = gen_series(gen, id);
        if (s != NULL && gen_series_meets(gen, s, l->min_ms, l->max_ms, l->view->seen.epoch)) {
            return true;
        }
    }
    return false;
}

/* Has any series with the label a sample? The head lock is held, and let go now and then. */
static enum err
pair_meets(struct head_look *l, uint32_t pair, bool *ret_meets, struct why *why)
{
    uint32_t id;
    struct id_walk walk = id_list_walk(&registry_pair_use(l->registry, pair)->series);
    *ret_meets = false;
    while (!*ret_meets && id_walk_next(&walk, &id)) {
        *ret_meets = series_meets(l, id);
        if (++l->checked < CHECKED_AT_ONCE) continue;
        l->checked = 0;
        lock_drop(&l->view->head->lock);
        enum err e = query_control_check(l->control, why);
        lock_take(&l->view->head->lock);
        if (e) return e;
    }
    return OK;
}

/* What pair_meets() and the text of a pair will touch, asked of the processor for many at once. */
static void
prefetch_pairs(const struct head_look *l, const uint32_t *pairs, uint32_t count)
{
    const struct registry *r = l->registry;
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(registry_pair_use(r, pairs[i]));
        __builtin_prefetch(registry_pair(r, pairs[i]));
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct id_list *series = &registry_pair_use(r, pairs[i])->series;
        __builtin_prefetch(registry_pair(r, pairs[i])->field);
        for (unsigned g = 0; g < 2 && series->count > 0; g++) {
            const struct gen *gen = l->view->gens[g];
            if (gen == NULL || gen->registry != r) continue;
            __builtin_prefetch(gen_series(gen, series->first_id));
        }
    }
}

static enum err
head_values(struct head_look *l, const struct registry_name *name, struct texts *x, struct why *why)
{
    uint32_t pairs[PAIRS_AT_ONCE], count;
    struct id_walk walk = id_list_walk(&name->pairs);
    while ((count = id_walk_read(&walk, pairs, PAIRS_AT_ONCE)) > 0) {
        prefetch_pairs(l, pairs, count);
        for (uint32_t i = 0; i < count; i++) {
            struct bytes value = pair_label(registry_pair(l->registry, pairs[i])).value;
            if (!texts_want(x, value)) continue;
            bool meets;
            enum err e = pair_meets(l, pairs[i], &meets, why);
            if (e) return e;
            if (!meets) continue;
            e = l->alone ? texts_add_another(x, value) : texts_add(x, value);
            if (e) return e;
        }
    }
    return OK;
}

static enum err
head_names(struct head_look *l, const struct registry_tenant *tenant, struct texts *x,
           struct why *why)
{
    uint32_t id, pair;
    struct id_walk names = id_list_walk(&tenant->names);
    while (id_walk_next(&names, &id)) {
        const struct registry_name *name = registry_name(l->registry, id);
        struct id_walk pairs = id_list_walk(&name->pairs);
        bool meets = false;
        enum err e = OK;
        while (e == OK && !meets && id_walk_next(&pairs, &pair)) {
            e = pair_meets(l, pair, &meets, why);
        }
        if (e == OK && meets) e = texts_add(x, name->text);
        if (e) return e;
    }
    return OK;
}

static enum err
gather_head(const struct store_view *view, const struct query_request *request,
            const struct bytes *name, struct texts *x, struct why *why)
{
    struct head *head = view->head;
    struct head_look l = {.view = view,
                          .min_ms = request->min_ms,
                          .max_ms = request->max_ms,
                          .control = request->control};
    enum err e = OK;
    lock_take(&head->lock);
    const struct tenant *tenant = tenant_find(head, request->tenant);
    for (unsigned i = 0; i < 2 && e == OK && tenant != NULL; i++) {
        const struct gen *gen = view->gens[i];
        if (gen == NULL || gen->series_count == 0 || gen->registry == l.registry) continue;
        l.registry = gen->registry;
        const struct registry_tenant *t = registry_tenant(l.registry, tenant->id);
        if (t == NULL) continue;
        if (name == NULL) {
            e = head_names(&l, t, x, why);
            continue;
        }
        const struct registry_name *n = registry_find_name(l.registry, tenant->id, *name);
        l.alone = x->count == 0;
        if (n != NULL) e = head_values(&l, n, x, why);
    }
    if (e == OK) e = store_view_check(view, why);
    lock_drop(&head->lock);
    return e;
}

/* Of a part they come in order. */
static enum err
add_part_value(void *context, struct bytes value)
{
    return texts_want(context, value) ? texts_add(context, value) : ERR_CANCELED;
}

static enum err
gather_part(struct part *part, const struct query_request *request, const struct bytes *name,
            struct texts *x, struct why *why)
{
    const struct part_tenant *tenant = part_tenant(part, request->tenant);
    const struct part_info *info = part_info(part);
    if (tenant == NULL || tenant->series_count == 0) return OK;
    if (info->max_ms < request->min_ms || info->min_ms > request->max_ms) return OK;
    struct arena arena;
    struct part_index index;
    arena_init(&arena, x->budget, 0, 4096);
    enum err e = part_index_load(part, tenant, &arena, &index, why);
    if (e == OK) {
        index.control = request->control;
        if (name != NULL) e = part_values(&index, *name, add_part_value, x, why);
        for (uint32_t i = 0; name == NULL && i < index.name_count && e == OK; i++) {
            e = texts_add(x, index.names[i].name);
        }
    }
    arena_fini(&arena);
    return e;
}

static bool
something_is_deleted(const struct tombstones *set, struct bytes tenant)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (bytes_equal(set->items[i]->tenant, tenant)) return true;
    }
    return false;
}

/* --- the three questions ---------------------------------------------------------------------- */

static enum err
gather(struct store_view *view, const struct query_request *request, const struct bytes *name,
       const struct text_sink *to, struct texts *x, struct why *why)
{
    bool selects =
        request->set_count > 0 || something_is_deleted(view->version->tombstones, request->tenant);
    if (selects) return lookup_selected(view, request, name, to, x, why);
    enum err e = OK;
    for (uint32_t i = 0; i < view->version->part_count && e == OK; i++) {
        struct why reason = {""};
        e = gather_part(view->version->parts[i], request, name, x, &reason);
        if (e == ERR_CORRUPT && request->partial)
            e = to->warning == NULL ? OK : to->warning(to->context, reason.text);
        else if (e && why != NULL)
            *why = reason;
    }
    return e ? e : gather_head(view, request, name, x, why);
}

static enum err
answer_texts(struct view *view, const struct query_request *request, const struct bytes *name,
             const struct text_sink *to, struct why *why)
{
    struct store_view *v = (struct store_view *)view;
    struct budget *budget = request->control == NULL ? NULL : request->control->budget;
    struct texts x = {.budget = budget, .seed = v->head->hash_seed};
    uint64_t limit = request->hints.limit;
    if (limit > 0 && limit < UINT32_MAX / 4) x.wanted = (uint32_t)limit + 1;
    arena_init(&x.arena, budget, 0, 0);
    enum err e = gather(v, request, name, to, &x, why);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for the labels");
    /* What came in order, and the rest when that is sorted. */
    uint32_t a = 0, b = x.ordered_count, middle = b;
    if (e == OK) e = sort_texts(x.items + middle, x.count - middle, budget);
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

enum err
store_label_names(struct view *view, const struct query_request *request,
                  const struct text_sink *to, struct why *why)
{
    return answer_texts(view, request, NULL, to, why);
}

enum err
store_label_values(struct view *view, const struct query_request *request, struct bytes name,
                   const struct text_sink *to, struct why *why)
{
    return answer_texts(view, request, &name, to, why);
}

enum err
store_series(struct view *view, const struct query_request *request, const struct text_sink *to,
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
