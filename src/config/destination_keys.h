/*
 * destination_keys.h - which keys a destination has, and the rules they obey, as a schema of
 * struct destination_settings. For the files that read and print destinations.
 */
#ifndef CONFIG_DESTINATION_KEYS_H
#define CONFIG_DESTINATION_KEYS_H

#include "config/schema.h"

/* What rules of a whole destination look at: the `context` of the schema_reader. */
struct destination_context {
    const struct settings *settings;   /* in force: the file's, and the flags' */
    const struct destinations *before; /* those that were read already */
};

extern const struct schema destination_schema;

#endif
