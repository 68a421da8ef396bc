/*
 * select_metadata.c - families of a view. They are listed without the head lock, because families
 * are never removed; their texts are copied under it, some at a time.
 */
#include <assert.h>
#include <stdlib.h>

#include "tsdb/read/select_private.h"

enum { TEXTS_AT_ONCE = 64, ARENA_KEPT_BYTES = 64 * 1024 };

struct family_list {
    const struct store_view *view;
    struct budget *budget;
    const struct family **items;
    uint32_t count;
    uint32_t capacity;
};

static int
by_name(const void *a, const void *b)
{
    return bytes_compare((*(const struct family *const *)a)->name,
                         (*(const struct family *const *)b)->name);
}

/* Lists all families, or one by its name. */
static enum err
list_families(struct family_list *x, struct bytes tenant_name, struct bytes name)
{
    struct head *head = x->view->head;
    lock_take(&head->lock);
    const struct tenant *t = tenant_find(head, tenant_name);
    const struct family *newest = t == NULL ? NULL : t->newest_family;
    uint32_t count = t == NULL ? 0 : t->family_count;
    lock_drop(&head->lock);
    if (count == 0) return OK;
    x->items = mem_alloc(x->budget, count * sizeof *x->items);
    if (x->items == NULL) return ERR_NOMEM;
    x->capacity = count;
    for (const struct family *f = newest; f != NULL; f = f->before) {
        if (name.size == 0 || bytes_equal(name, f->name)) x->items[x->count++] = f;
    }
    assert(x->count <= x->capacity); /* head/tenant.c: the list had `count` families */
    qsort(x->items, x->count, sizeof *x->items, by_name);
    return OK;
}

/* Copies the texts of some families; families without a text get no name. */
static enum err
copy_texts(const struct family_list *x, uint32_t from, uint32_t count, struct arena *arena,
           struct metadata *to)
{
    enum err e = OK;
    lock_take(&x->view->head->lock);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        const struct family *f = x->items[from + i];
        const struct family_text *text = family_text_at(f, x->view->epoch);
        to[i] = (struct metadata){.family = text == NULL ? bytes_of(NULL, 0) : f->name};
        if (text == NULL) continue;
        to[i].type = text->type;
        to[i].help = arena_copy(arena, text->help);
        to[i].unit = arena_copy(arena, text->unit);
        if (to[i].help.at == NULL || to[i].unit.at == NULL) e = ERR_NOMEM;
    }
    lock_drop(&x->view->head->lock);
    return e;
}

static enum err
give_families(const struct family_list *x, struct query_control *control,
              enum err (*each)(void *context, const struct metadata *metadata), void *context,
              struct why *why)
{
    struct metadata texts[TEXTS_AT_ONCE];
    struct arena arena;
    enum err e = OK;
    arena_init(&arena, x->budget, 0, 0);
    for (uint32_t at = 0, count; at < x->count && e == OK; at += count) {
        count = x->count - at < TEXTS_AT_ONCE ? x->count - at : TEXTS_AT_ONCE;
        arena_reset_to(&arena, ARENA_KEPT_BYTES);
        e = copy_texts(x, at, count, &arena, texts);
        if (e == OK && control != NULL) e = query_control_check(control, why);
        for (uint32_t i = 0; i < count && e == OK; i++) {
            if (texts[i].family.at != NULL) e = each(context, &texts[i]);
        }
    }
    arena_fini(&arena);
    return e;
}

enum err
store_metadata(struct view *view, const struct query_request *request, struct bytes family,
               enum err (*each)(void *context, const struct metadata *metadata), void *context,
               struct why *why)
{
    struct family_list x = {.view = (struct store_view *)view,
                            .budget = request->control == NULL ? NULL : request->control->budget};
    enum err e = list_families(&x, request->tenant, family);
    if (e == OK) e = give_families(&x, request->control, each, context, why);
    mem_free(x.budget, x.items, x.capacity * sizeof *x.items);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the metadata") : e;
}
