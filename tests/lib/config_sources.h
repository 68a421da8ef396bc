/*
 * config_sources.h - texts with sources for tests of everything that reads them. After cmocka.h.
 */
#ifndef LIB_CONFIG_SOURCES_H
#define LIB_CONFIG_SOURCES_H

#include "config/lists/source_keys.h"
#include "config/lists/sources.h"
#include "lib/config_lists.h"

/* What is wanted and nothing else, to put lines behind; those begin on line 5. */
#define READ_5 "sources:\n- name: a\n  type: remote_read\n  url: http://h\n"

/* The list of a right text, for sources_free(). */
struct sources read_sources(const char *text, bool tenancy);

void check_source_fine(const char *text, bool tenancy);

void check_source_error_with(const char *text, bool tenancy, const char *expected);

void check_source_error(const char *text, const char *expected);

#endif
