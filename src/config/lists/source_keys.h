/*
 * source_keys.h - the keys of a source and their checks, as a schema of struct source_settings. For
 * the files that read and print sources.
 */
#ifndef CONFIG_LISTS_SOURCE_KEYS_H
#define CONFIG_LISTS_SOURCE_KEYS_H

#include "backend/source_settings.h"
#include "config/schema/schema.h"

extern const struct schema source_schema;

#endif
