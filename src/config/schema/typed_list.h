/*
 * typed_list.h - lists of the configuration file whose entries have a name and a type, which
 * decides what other keys they have: reading, finding and printing entries. For config/ only.
 */
#ifndef CONFIG_SCHEMA_TYPED_LIST_H
#define CONFIG_SCHEMA_TYPED_LIST_H

#include "config/schema/schema.h"

enum { TYPED_LIST_MAX = 64 };

/* What is known of a list, of whichever file. */
struct typed_list {
    const char *name;            /* "destinations" */
    const char *entry;           /* "destination" */
    const struct schema *schema; /* of an entry; all types have its keys "name" and "type" */
    size_t line_offset;          /* in an entry: a uint32_t, the line on which it begins */
    uint32_t max;                /* entries, at most TYPED_LIST_MAX */
    /*
     * Whose entries those of this list can name by their key `use`, to have their names, types and
     * keys where they give none themselves, see struct schema_used; NULL: none.
     */
    const struct typed_list *used;
};

/* Entries that were read; `arena` owns all of it, and is NULL if there are none. */
struct typed_entries {
    struct arena *arena;
    void *items;
    uint32_t count;
};

/* The `context` of the schema_reader: what rules of an entry look at. */
struct typed_context {
    const struct typed_list *list;
    const struct settings *settings;    /* in force: the file's, and the flags' */
    const struct typed_entries *before; /* those that were read already */
};

/*
 * Reads the list of a YAML text, and nothing else of it. `ret_entries` are given: the arena is on
 * the heap, for arena_fini() and mem_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err typed_list_yaml(const struct typed_list *list, const char *file_name,
                                    struct bytes text, const struct settings *settings,
                                    struct typed_entries *ret_entries, struct why *why);

/* The entry of that name; NULL: not found. */
const void *typed_list_find(const struct typed_list *list, const void *items, uint32_t count,
                            const char *name);

/* For the rule of an entry, whose struct is `base`. ERR_INPUT: one before it has its name. */
MUST_CHECK enum err typed_list_check_name(struct schema_place *place, const void *base);

/* The list as the file would have it, defaults too; secrets are <secret>. */
void typed_list_print(const struct typed_list *list, const void *items, uint32_t count,
                      struct buf *to);

/* Whether both are of one type, and were given the same in all keys, secrets too. */
bool typed_list_same(const struct typed_list *list, const void *a, const void *b);

#endif
