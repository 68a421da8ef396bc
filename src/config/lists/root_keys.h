/*
 * root_keys.h - reads, by a schema, keys of the configuration file's root that are neither settings
 * nor lists of typed entries. For config/ only.
 */
#ifndef CONFIG_LISTS_ROOT_KEYS_H
#define CONFIG_LISTS_ROOT_KEYS_H

#include "config/schema/schema.h"

/* The `context` of the schema_reader. */
struct root_context {
    const struct settings *settings; /* in force: from the file and the flags */
    const char *file_name;
    void *state; /* for the rules of the schema */
};

/*
 * Reads the keys of the schema from a YAML text. If the schema is partial, settings_yaml() checks
 * the rest of the text. `base` is zeroed, or has its defaults. The arena, which has all texts, is
 * given, for root_arena_free(); NULL if nothing was read. On an error it
 * is not set, and `base` is invalid.
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err root_keys_yaml(const struct schema *schema, const struct root_context *root,
                                   struct bytes text, void *base, struct arena **ret_arena,
                                   struct why *why);
/* NULL is fine. */
void root_arena_free(struct arena *arena);

#endif
