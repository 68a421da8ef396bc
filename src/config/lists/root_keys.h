/*
 * root_keys.h - keys of the configuration file's root that are neither settings nor lists of typed
 * entries, read by a schema. For config/ only.
 */
#ifndef CONFIG_LISTS_ROOT_KEYS_H
#define CONFIG_LISTS_ROOT_KEYS_H

#include "config/schema/schema.h"

/* The `context` of the schema_reader. */
struct root_context {
    const struct settings *settings; /* in force: the file's, and the flags' */
    const char *file_name;
};

/*
 * Reads what the schema, which is partial, has of a YAML text: settings_yaml() judges the rest.
 * `base` is zeroed. The arena, which has all texts, is given and on the heap, for arena_fini() and
 * mem_free(); NULL: nothing was read. After an error there is none, and `base` is of no use.
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err root_keys_yaml(const struct schema *schema, const char *file_name,
                                   struct bytes text, const struct settings *settings, void *base,
                                   struct arena **ret_arena, struct why *why);

#endif
