/* select_metadata.c - families of a view. */
#include <stdlib.h>

#include "tsdb/select_private.h"

static int
by_family(const void *a, const void *b)
{
    return bytes_compare(((const struct metadata *)a)->family,
                         ((const struct metadata *)b)->family);
}

enum err
store_metadata(struct view *view, const struct query_request *request, struct bytes family,
               enum err (*each)(void *context, const struct metadata *metadata), void *context,
               struct why *why)
{
    struct tsdb *db = ((struct store_view *)view)->db;
    struct arena arena;
    struct metadata *list = NULL;
    uint32_t count = 0;
    enum err e = OK;
    arena_init(&arena, request->control == NULL ? NULL : request->control->budget,
               256 * 1024 * 1024, 0);
    lock_take(&db->head_lock);
    const struct tenant *t = tenant_find(db, request->tenant);
    if (t != NULL) {
        list = arena_alloc(&arena, (t->family_count + 1u) * sizeof *list);
        if (list == NULL) e = ERR_NOMEM;
    }
    for (uint32_t s = 0; t != NULL && e == OK && s < t->family_capacity; s++) {
        for (const struct family *f = t->families[s]; f != NULL && e == OK; f = f->next) {
            if (f->undone || (family.size > 0 && !bytes_equal(family, f->name))) continue;
            struct metadata *m = &list[count++];
            m->family = arena_copy(&arena, f->name);
            m->type = f->type;
            m->help = arena_copy(&arena, f->help);
            m->unit = arena_copy(&arena, f->unit);
            if (m->family.at == NULL || m->help.at == NULL || m->unit.at == NULL) e = ERR_NOMEM;
        }
    }
    lock_drop(&db->head_lock);
    if (e) why_set(why, e, "no memory for the metadata");
    if (count > 1) qsort(list, count, sizeof *list, by_family);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = each(context, &list[i]);
    }
    arena_fini(&arena);
    return e;
}
