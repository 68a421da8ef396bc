/*
 * config_lists.h - for tests of the lists of the configuration file: their tables, the manual, and
 * texts that are put together. After cmocka.h.
 */
#ifndef LIB_CONFIG_LISTS_H
#define LIB_CONFIG_LISTS_H

#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/schema/schema.h"
#include "lib/texts.h"

struct settings settings_with_tenancy(bool on);

/*
 * The list of that name out of the example file, as whoever copies it has it: its lines, to the
 * next empty one, without their '#'. The caller frees it.
 */
char *example_list(const char *name);

/* --- the manual ------------------------------------------------------------------------------- */

/* The page has a table for each mapping; types have theirs, too. Those of the outermost are in the
 * section, which ends with the page. Returns how many rows. */
unsigned check_manual(const char *section, const char *page, const struct schema *schema);

/* --- tables ----------------------------------------------------------------------------------- */

/* A right text with lists in it, in which every key is given somewhere. */
struct list_text {
    const char *text;
    bool tenancy;
};

void check_rows(const struct schema *schema, unsigned type_count, const struct list_text *whole,
                size_t text_count);

#endif
