/*
 * typed_list.h - lists of the configuration file whose entries have a name and a type, which
 * decides their other keys: reads, finds and prints entries. For config/ only.
 */
#ifndef CONFIG_SCHEMA_TYPED_LIST_H
#define CONFIG_SCHEMA_TYPED_LIST_H

#include "config/schema/schema.h"

enum { TYPED_LIST_MAX = 64 };

/* Describes a list. */
struct typed_list {
    const char *name;            /* "destinations" */
    const char *entry;           /* "destination" */
    const struct schema *schema; /* describes an entry; all types have its keys "name" and "type" */
    size_t line_offset;          /* in an entry: a uint32_t, the line on which it begins */
    uint32_t max;                /* entries, at most TYPED_LIST_MAX */
    /* The list whose entries can be named by the key `use`, to take names, types and keys from
     * them, see struct schema_used. NULL if this list has no key `use`. */
    const struct typed_list *used;
};

/* The entries of a list; `arena` owns all of it, and is NULL if there are no entries. */
struct typed_entries {
    struct arena *arena;
    void *items;
    uint32_t count;
};

/* The `context` of the schema_reader, for checks of an entry. */
struct typed_context {
    const struct typed_list *list;
    const struct settings *settings;    /* in force: from the file and the flags */
    const struct typed_entries *before; /* entries that were already read */
};

/*
 * Reads the list from a YAML text, and nothing else. `ret_entries` are given: the arena is on the
 * heap, for arena_fini() and mem_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err typed_list_yaml(const struct typed_list *list, const char *file_name,
                                    struct bytes text, const struct settings *settings,
                                    struct typed_entries *ret_entries, struct why *why);

/* Returns the entry with that name, or NULL. */
const void *typed_list_find(const struct typed_list *list, const void *items, uint32_t count,
                            const char *name);

/* For the check of an entry, whose struct is `base`. ERR_INPUT: an earlier entry has its name. */
MUST_CHECK enum err typed_list_check_name(struct schema_place *place, const void *base);

/* Appends the list as YAML, with defaults; secrets are printed as <secret>. */
void typed_list_print(const struct typed_list *list, const void *items, uint32_t count,
                      struct buf *to);

/* Returns true if both have the same type and the same values, including secrets. */
bool typed_list_same(const struct typed_list *list, const void *a, const void *b);

#endif
