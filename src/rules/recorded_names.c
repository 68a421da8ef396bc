/* recorded_names.c - see recorded_names.h. */
#include "rules/recorded_names.h"

#include "base/array.h"
#include "rules/group_private.h"

void
recorded_names_init(struct recorded_names *r, struct budget *budget, uint64_t seed)
{
    *r = (struct recorded_names){.items = NULL};
    kept_series_init(&r->names, budget, seed);
}

void
recorded_names_fini(struct recorded_names *r)
{
    array_free(r->names.budget, r->items, r->capacity);
    kept_series_fini(&r->names);
}

static struct recorded_name *
item_of(const struct recorded_names *r, struct bytes name)
{
    uint32_t index;
    return kept_series_find(&r->names, name, &index) ? &r->items[index] : NULL;
}

const struct recorded_name *
recorded_names_find(const struct recorded_names *r, struct bytes name)
{
    return item_of(r, name);
}

enum err
recorded_names_put(struct recorded_names *r, struct bytes name, int64_t offset_ms)
{
    bool is_new;
    size_t wanted = (size_t)r->names.count + 1;
    if (!array_reserve(r->names.budget, &r->items, &r->capacity, wanted) ||
        kept_series_add(&r->names, name, &is_new)) {
        return ERR_NOMEM;
    }
    if (is_new) r->items[wanted - 1] = (struct recorded_name){.offset_ms = offset_ms};
    struct recorded_name *item = item_of(r, name);
    if (offset_ms > item->offset_ms) item->offset_ms = offset_ms;
    return OK;
}

enum err
recorded_names_add(struct recorded_names *r, const struct group *g)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct bytes name = bytes_of_text(g->rules[i].text->name);
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        if (recorded_names_put(r, name, g->query_offset_ms)) return ERR_NOMEM;
        struct recorded_name *item = item_of(r, name);
        item->last_rule = i;
        item->groups += item->added != g;
        item->added = g;
    }
    return OK;
}

void
recorded_names_remove(struct recorded_names *r, const struct group *g)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        struct recorded_name *item = item_of(r, bytes_of_text(g->rules[i].text->name));
        item->groups -= item->removed != g;
        item->removed = g;
    }
}
