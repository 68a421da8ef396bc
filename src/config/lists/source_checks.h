/*
 * source_checks.h - checks of texts and of combinations of keys of a source: functions for the rows
 * of source_keys.c. Others are in shared_checks.h.
 */
#ifndef CONFIG_LISTS_SOURCE_CHECKS_H
#define CONFIG_LISTS_SOURCE_CHECKS_H

#include "config/schema/schema.h"

/* Checks of one text, as in shared_checks.h: a name; a header of requests that read; a database or
 * table to be read. */
enum err check_source_name(const char *text, struct why *why);
enum err check_read_header_name(const char *text, struct why *why);
enum err check_timestream_name(const char *text, struct why *why);

/* Check of a mapping: `base` is a struct source_settings. Notes that a range was given. */
enum err check_times(struct schema_place *place, void *base);
/* Check of a whole source; the context is a struct typed_context. */
enum err check_source(struct schema_place *place, void *base);

#endif
