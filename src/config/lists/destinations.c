/* destinations.c - the list of destinations: a typed_list with the tables of destination_keys.c. */
#include "config/lists/destinations.h"

#include "config/lists/destination_keys.h"

const struct typed_list destinations_list = {
    .name = "destinations",
    .entry = "destination",
    .schema = &destination_schema,
    .line_offset = offsetof(struct destination_settings, line),
    .max = DESTINATIONS_MAX,
};

enum err
destinations_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                  struct destinations *ret_list, struct why *why)
{
    struct typed_entries entries;
    enum err e = typed_list_yaml(&destinations_list, file_name, text, settings, &entries, why);
    if (e) return e;
    *ret_list = (struct destinations){entries.arena, entries.items, entries.count};
    return OK;
}

const struct destination_settings *
destinations_find(const struct destinations *list, const char *name)
{
    return typed_list_find(&destinations_list, list->items, list->count, name);
}

void
destinations_print_yaml(const struct destinations *list, struct buf *to)
{
    typed_list_print(&destinations_list, list->items, list->count, to);
}

bool
destination_settings_equal(const struct destination_settings *a,
                           const struct destination_settings *b)
{
    return typed_list_same(&destinations_list, a, b);
}
