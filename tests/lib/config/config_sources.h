/* config_sources.h - texts with sources, and checks of how they are read. For tests. */
#ifndef LIB_CONFIG_CONFIG_SOURCES_H
#define LIB_CONFIG_CONFIG_SOURCES_H

#include "config/lists/lists.h"
#include "lib/config/config_lists.h"

/* The required keys. Lines that are appended begin with line 5. */
#define READ_5 "sources:\n- name: a\n  type: remote_read\n  url: http://h\n"

/* Reads a valid text. The result is given: sources_free(). */
struct sources read_sources(const char *text, bool tenancy);

/* Check that the text is valid; that it is refused with this message; that without tenancy. */
void check_source_fine(const char *text, bool tenancy);
void check_source_error_with(const char *text, bool tenancy, const char *expected);
void check_source_error(const char *text, const char *expected);

#endif
