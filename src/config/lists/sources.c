/* sources.c - the list of sources: a typed_list with the tables of source_keys.c. */
#include "config/lists/sources.h"

#include "config/lists/destination_keys.h"
#include "config/lists/source_keys.h"
#include "config/schema/typed_list.h"

static const struct typed_list sources_list = {
    .name = "sources",
    .entry = "source",
    .schema = &source_schema,
    .line_offset = offsetof(struct source_settings, line),
    .max = SOURCES_MAX,
    .used = &destinations_list,
};

enum err
sources_yaml(const char *file_name, struct bytes text, const struct settings *settings,
             struct sources *ret_list, struct why *why)
{
    struct typed_entries entries;
    enum err e = typed_list_yaml(&sources_list, file_name, text, settings, &entries, why);
    if (e) return e;
    *ret_list = (struct sources){entries.arena, entries.items, entries.count};
    /* `use` is resolved: the keys that it filled in are printed and compared instead. */
    for (uint32_t i = 0; i < ret_list->count; i++) {
        ret_list->items[i].used = NULL;
    }
    return OK;
}

const struct source_settings *
sources_find(const struct sources *list, const char *name)
{
    return typed_list_find(&sources_list, list->items, list->count, name);
}

void
sources_print_yaml(const struct sources *list, struct buf *to)
{
    typed_list_print(&sources_list, list->items, list->count, to);
}

bool
source_settings_equal(const struct source_settings *a, const struct source_settings *b)
{
    return typed_list_same(&sources_list, a, b);
}
